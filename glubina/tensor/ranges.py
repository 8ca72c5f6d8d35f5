"""Which index was out of range: found after a program stopped, from the values it was given."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from glubina.graph import origins
from glubina.graph.autodiff import expand
from glubina.graph.errors import IndexRangeError
from glubina.graph.interpreter import interpret
from glubina.graph.node import Array, Node, topological
from glubina.graph.ops.composite import COMPOSITE
from glubina.graph.ops.indexing import INDICES, position
from glubina.graph.origins import Origin, Place, Site
from glubina.runtime.buffer import Buffer
from glubina.tensor.base import TensorBase
from glubina.tensor.mode import mode


def out_of_range(indices: TensorBase, low: int, high: int) -> str | None:
    """The first index below `low` or not below `high`, and where it is; None if there is none.

    Also None where the indices have no values yet: what runs then checks them.
    """
    leaf = indices._cell.value()
    if leaf is None or leaf.buffer is None or not indices.size or mode.trace is not None:
        return None
    values = leaf.buffer.array(leaf.shape, leaf.dtype)
    if values.max() < high and (leaf.dtype.kind == "u" or values.min() >= low):
        return None
    wrong = (values < low) | (values >= high)
    return f"{values[wrong][0]}{position(wrong)}"


_FAR = 1 << 39  # what `tensor.indexing` makes of an index beyond one of several axes is further


class Sites:
    """Where the nodes of a graph that use indices were made: of each kind the first, the second."""

    def __init__(self, outputs: Sequence[Node]) -> None:
        self._known: defaultdict[Any, list[Site | None]] = defaultdict(list)
        for node in _users(outputs):
            self._known[origins.kind_of(node)].append(
                origins.site_of(node) or origins.last_site(node)
            )

    def of(self, outputs: Sequence[Node]) -> dict[Node, Site]:
        """The same of a graph that was copied from that one."""
        seen: Counter[Any] = Counter()
        found = {}
        for node in _users(outputs):
            kind = origins.kind_of(node)
            sites, number = self._known.get(kind, []), seen[kind]
            seen[kind] += 1
            if number < len(sites) and (site := sites[number]) is not None:
                found[node] = site
        return found


def _users(outputs: Sequence[Node]) -> list[Node]:
    return [n for n in topological(outputs) if n.op is COMPOSITE or n.op.name in INDICES]


def _last_sites(outputs: Sequence[Node]) -> dict[Node, Site]:
    """Of a graph that has been let go: where nodes of these kinds were made last."""
    pairs = [(node, origins.last_site(node)) for node in _users(outputs)]
    return {node: site for node, site in pairs if site is not None}


def located(
    outputs: Sequence[Node], inputs: Sequence[Node], buffers: Sequence[Buffer], sites: Sites | None
) -> IndexRangeError | None:
    """The error for the first index that is out of range, with its layer and line if known.

    Only what leads to indices is worked out again. sites: None for a graph that runs once. Gives
    None if all are in range (a program that overwrote what it was given before it failed).
    """
    with origins.watching() as watch:
        known = _last_sites(outputs) if sites is None else sites.of(outputs)
        marks: dict[Origin, tuple[Node, Site]] = {}
        for node, site in known.items():
            # the passes carry an origin from node to node: one for each site, to be told apart by
            mark = Origin(Place("", len(marks), ""), site.user, (), origins.FORWARD)
            marks[mark] = node, site
            watch.table[node] = mark
        plain = expand(outputs)
        uses = [node for node in topological(plain) if node.op.name in INDICES]
        pairs = zip(inputs, buffers, strict=True)
        values = {node: buffer.array(node.shape, node.dtype) for node, buffer in pairs}
        for node in uses:
            found = _wrong(node, values)
            if found is not None:
                origin = watch.of(node)
                from_ = marks.get(origin) if origin is not None else None
                return _error(*found, node, *(from_ or (None, None)))
    return None


def healthy(
    outputs: Sequence[Node],
    inputs: Sequence[Node],
    buffers: Sequence[Buffer],
    wanted: Sequence[int],
    results: Sequence[Buffer],
) -> set[int]:
    """After an index was out of range: fill the wanted results that do not depend on it.

    Returns their numbers. By the interpreter, which tells one output's error from another's.
    """
    with origins.passing():
        plain = expand([outputs[number] for number in wanted])
    pairs = zip(inputs, buffers, strict=True)
    values = {node: buffer.array(node.shape, node.dtype) for node, buffer in pairs}
    found = set()
    for number, node in zip(wanted, plain, strict=True):
        with suppress(IndexRangeError):
            (value,) = interpret([node], values)
            np.copyto(results[number].array(node.shape, node.dtype), value)
            found.add(number)
    return found


def _wrong(node: Node, values: dict[Node, Array]) -> tuple[Array, Array] | None:
    """The indices of a node and which of them are wrong; None if none is."""
    indices = node.sources[INDICES[node.op.name]]
    try:
        (given,) = interpret([indices], values)
    except IndexRangeError:  # an earlier one, which is met in its turn
        return None
    wrong = (given < 0) | (given >= _extent(node))
    return (given, wrong) if wrong.any() else None


def _extent(node: Node) -> int:
    """How many elements the indices choose from."""
    if node.op.name == "take":
        return int(node.sources[0].shape[node.attributes.axis])
    return int(node.attributes.shape[node.attributes.axis])


def _error(
    given: Array, wrong: Array, node: Node, user: Node | None, site: Site | None
) -> IndexRangeError:
    """The error for the wrong ones of the indices of a node, which comes from `user` at `site`."""
    extent = _extent(node)
    value = int(given[wrong].flat[0])
    word, things = "index", "elements"
    if user is not None and user.op is COMPOSITE:
        word, things = user.attributes.formula.indices
    elif value < 0:
        value -= extent  # there negative ones are counted from the end
    which = f"{word} {value}" if value > -_FAR else f"an {word}"  # (one of several axes)
    text = (
        f"{which}{position(wrong)} is out of range: {extent} {things} have the numbers 0 to "
        f"{extent - 1}"
    )
    layer = site.layer if site is not None else ""
    error = IndexRangeError(f"{layer}: {text}" if layer else text)
    error.position = tuple(np.argwhere(wrong)[0].tolist())
    error.__dict__["trail"] = {"layer": layer}
    if site is not None and site.user is not None:
        error.place = site.user
    return error
