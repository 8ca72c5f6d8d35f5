"""What of an explanation a drawing shows: boxes and links, with layers collapsed to a depth."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.computation import Explanation
from glubina.explain.formulas import LONGEST, number, shortened
from glubina.explain.vertex import Edge, Vertex
from glubina.graph.origins import Origin, path_of

Array = NDArray[Any]


@dataclass(eq=False)
class Box:
    """A vertex, or a layer with all its vertices, as a drawing shows it.

    name, title: the first line. members: the vertices in it; `shown` is the one whose value and
        derivative stand for the box (a layer's last).
    """

    name: str
    title: str
    kind: str
    members: list[Vertex]
    shown: Vertex

    @property
    def value(self) -> str:
        """The forward value on one line."""
        return described(self.shown.value)

    @property
    def derivative(self) -> str:
        """The accumulated derivative on one line, "" if there is none."""
        found = self.shown.derivative
        return "" if found is None else described(found)


@dataclass(eq=False)
class Link:
    """An arrow from one box to another. label: the local derivative, where it is a short one."""

    source: Box
    target: Box
    label: str
    edges: list[Edge] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """What is drawn."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]


def described(value: Array) -> str:
    """A number, or the shape of an array with its mean, smallest and largest element."""
    if value.size == 1 and value.ndim <= 1:
        return number(value.reshape(()))
    shape = "×".join(map(str, value.shape))
    if value.size == 0:
        return f"{shape}: empty"
    if value.size <= 4 and value.ndim == 1:
        return "[" + ", ".join(map(number, value)) + "]"
    if value.dtype.kind == "b":
        return f"{shape}: {value.mean():.0%} true"
    if value.dtype.kind != "f":
        return f"{shape}: {number(value.min())} … {number(value.max())}"
    finite = value[np.isfinite(value)]
    if finite.size < value.size:
        return f"{shape}: {value.size - finite.size:,} not finite"
    mean = number(np.float64(value.mean(dtype=np.float64)))
    return f"{shape}: mean {mean}, {number(value.min())} … {number(value.max())}"


def view(explanation: Explanation, depth: int | None = None) -> View:
    """The boxes and links. depth: layers so deep are collapsed into one box each (None: none)."""
    groups: dict[Hashable, list[Vertex]] = {}
    for vertex in explanation.nodes:
        groups.setdefault(_group(vertex, depth), []).append(vertex)
    boxes = {key: _box(key, members, depth) for key, members in groups.items()}
    while True:
        of = {vertex: box for box in boxes.values() for vertex in box.members}
        links = _links(explanation.edges, of)
        tied = _in_circles(list(boxes.values()), links)
        split = {key for key, box in boxes.items() if box in tied and len(box.members) > 1}
        if not split:
            break
        # what two calls share cannot be in one box with both: those are shown open
        boxes = {
            new: made for key, box in boxes.items() for new, made in _opened(key, box, key in split)
        }
    return View(tuple(boxes.values()), tuple(links))


def _opened(key: Hashable, box: Box, split: bool) -> list[tuple[Hashable, Box]]:
    if not split:
        return [(key, box)]
    return [((v.number,), _box(("vertex", v.number), [v], None)) for v in box.members]


def layers_around(vertex: Vertex) -> Origin | None:
    """The layers that a vertex stands in; a parameter of one reader stands with that."""
    if vertex.kind == "parameter" and len(vertex.outgoing) == 1:
        return layers_around(vertex.outgoing[0].target)
    return vertex.origin if vertex.kind == "operation" else None


def layer_title(origin: Origin, depth: int) -> str:
    """The path and kind of the layer at a depth."""
    modules = origin.modules[: depth + 1]
    title = f"{path_of(modules)} {type(modules[-1]).__name__}".strip()
    # the end of a path tells more than its beginning
    return title if len(title) <= LONGEST else "…" + title[1 - LONGEST :]


def _group(vertex: Vertex, depth: int | None) -> Hashable:
    """What a vertex is drawn together with: its layer's call, at that depth or above."""
    origin = None if depth is None else layers_around(vertex)
    if depth is None or origin is None or len(origin.calls) <= 1:
        return ("vertex", vertex.number)
    return ("call", origin.calls[min(depth, len(origin.calls) - 1)])


def _box(key: Any, members: list[Vertex], depth: int | None) -> Box:
    last = members[-1]
    if key[0] == "call" and last.origin is not None:
        place = min(depth or 0, len(last.origin.modules) - 1)
        return Box(last.name, layer_title(last.origin, place), "layer", members, last)
    title = last.name if not last.incoming else f"{last.name} = {last.formula}"
    return Box(last.name, shortened(title), last.kind, members, last)


def _links(edges: Sequence[Edge], of: dict[Vertex, Box]) -> list[Link]:
    found: dict[tuple[Box, Box], Link] = {}
    for edge in edges:
        source, target = of[edge.source], of[edge.target]
        if source is target:
            continue
        link = found.setdefault((source, target), Link(source, target, ""))
        link.edges.append(edge)
    for link in found.values():
        if len(link.edges) == 1 and link.target.kind != "layer":
            link.label = _label(link.edges[0])
    return list(found.values())


def _label(edge: Edge) -> str:
    if not edge.smooth:
        return ""
    text = shortened(edge.formula, 28)
    local = edge.local
    if local is not None and local.size == 1:
        value = number(local.reshape(()))
        return value if text == value else f"{text} = {value}"
    return text


def _in_circles(boxes: list[Box], links: list[Link]) -> set[Box]:
    """The boxes that cannot be put in an order."""
    waiting = dict.fromkeys(boxes, 0)
    after: dict[Box, list[Box]] = {box: [] for box in boxes}
    for link in links:
        waiting[link.target] += 1
        after[link.source].append(link.target)
    ready = deque(box for box, count in waiting.items() if not count)
    done: set[Box] = set()
    while ready:
        box = ready.popleft()
        done.add(box)
        for target in after[box]:
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return set(boxes) - done
