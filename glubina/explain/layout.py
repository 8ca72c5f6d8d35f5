"""Where boxes lie in a drawing of a graph: in layers, with few crossings and short lines.

The method of Sugiyama, Tagawa and Toda ("Methods for visual understanding of hierarchical system
structures", 1981): layers by the longest path; lines over several layers get a place in each; the
order in each layer by the medians of the neighbours; positions by least squares in that order.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Node = Any  # whatever is placed: hashable
_SWEEPS = 12
_ALIGNMENTS = 10
_ROOM = 36.0  # between layers, at least
_LEAF = 0.02  # the weight of a leaf's position: so little that chains stay straight


@dataclass(frozen=True)
class Placed:
    """The drawing: the middle of each box, and for each line the points that it goes through.

    `along` is the direction from layer to layer, `across` that in a layer. rows: from where to
    where each box's layer reaches, along. bends: the source's middle, then for each layer on the
    way where the line enters it and where it leaves, then the target's middle.
    """

    along: dict[Node, float]
    across: dict[Node, float]
    rows: dict[Node, tuple[float, float]]
    bends: dict[tuple[Node, Node], list[tuple[float, float]]]
    length: float
    breadth: float


@dataclass(frozen=True)
class Arranged:
    """Layers, and places across in them; how far apart the layers are is still open.

    across: of the boxes, and of lines where they cross a layer. before: the place across from which
    each line comes to its target.
    """

    sizes: Mapping[Node, tuple[float, float]]
    layer: dict[Node, int]
    across: dict[Node, float]
    before: dict[tuple[Node, Node], float]
    breadth: float
    _chains: dict[tuple[Node, Node], list[Node]]
    _depths: list[float]

    def placed(self, between: Mapping[tuple[Node, Node], float] | None = None) -> Placed:
        """The drawing. between: room that a line needs before its target, along."""
        room = [_ROOM] * len(self._depths)
        for (_, b), wanted in (between or {}).items():
            room[self.layer[b] - 1] = max(room[self.layer[b] - 1], wanted)
        rows, position = [], 0.0
        for number, depth in enumerate(self._depths):
            rows.append((position, position + depth))
            position += depth + (room[number] if number < len(self._depths) - 1 else 0)
        middles = [(start + end) / 2 for start, end in rows]
        bends = {}
        for (a, b), chain in self._chains.items():
            points = [(middles[self.layer[a]], self.across[a])]
            for number, bend in enumerate(chain[1:-1], self.layer[a] + 1):
                points += [(edge, self.across[bend]) for edge in rows[number]]
            bends[a, b] = [*points, (middles[self.layer[b]], self.across[b])]
        return Placed(
            {n: middles[self.layer[n]] for n in self.sizes},
            {n: self.across[n] for n in self.sizes},
            {n: rows[self.layer[n]] for n in self.sizes},
            bends,
            position,
            self.breadth,
        )


def place(
    sizes: Mapping[Node, tuple[float, float]],
    lines: Sequence[tuple[Node, Node]],
    *,
    gap: float = 24.0,
) -> Placed:
    """Place boxes of sizes (along, across) so that every line leads forward.

    gap: between boxes in a layer.
    """
    return arrange(sizes, lines, gap=gap).placed()


def arrange(
    sizes: Mapping[Node, tuple[float, float]],
    lines: Sequence[tuple[Node, Node]],
    *,
    gap: float = 24.0,
) -> Arranged:
    """The first part of `place`, as far as it does not depend on the room between the layers."""
    layer = _layers(list(sizes), lines)
    chains = {(a, b): _chain(a, b, layer) for a, b in lines}
    rows = _rows(sizes, layer, chains)
    below: dict[Node, list[Node]] = {n: [] for row in rows for n in row}
    above: dict[Node, list[Node]] = {n: [] for row in rows for n in row}
    for chain in chains.values():
        for first, second in itertools.pairwise(chain):
            below[first].append(second)
            above[second].append(first)
    rows = _ordered(rows, above, below)
    across = _aligned(rows, above, below, {n: s[1] for n, s in sizes.items()}, gap)
    lowest = min(across[n] - _half(sizes, n) for row in rows for n in row)
    across = {n: y - lowest for n, y in across.items()}
    return Arranged(
        sizes,
        layer,
        across,
        {line: across[chain[-2]] for line, chain in chains.items()},
        max(across[n] + _half(sizes, n) for row in rows for n in row),
        chains,
        [max((sizes[n][0] for n in row if n in sizes), default=0.0) for row in rows],
    )


def _half(sizes: Mapping[Node, tuple[float, float]], node: Node) -> float:
    return sizes[node][1] / 2 if node in sizes else 2.0


def _layers(nodes: list[Node], lines: Sequence[tuple[Node, Node]]) -> dict[Node, int]:
    """Each node behind those that lead to it; leaves right before their first reader.

    So is what is made of leaves for one reader alone, such as a transposed weight.
    """
    before: dict[Node, list[Node]] = {n: [] for n in nodes}
    after: dict[Node, list[Node]] = {n: [] for n in nodes}
    for a, b in lines:
        before[b].append(a)
        after[a].append(b)
    layer: dict[Node, int] = {}
    for node in nodes:
        stack = [node]
        while stack:
            current = stack[-1]
            waiting = [n for n in before[current] if n not in layer]
            if waiting:
                stack.extend(waiting)
            else:
                layer[current] = max((layer[n] + 1 for n in before[current]), default=0)
                stack.pop()
    _delay(layer, before, after)
    lowest = min(layer.values(), default=0)
    return {n: value - lowest for n, value in layer.items()}


def _delay(
    layer: dict[Node, int], before: Mapping[Node, list[Node]], after: Mapping[Node, list[Node]]
) -> None:
    """Move what depends on leaves alone near to its readers, where that makes lines shorter."""
    forward = sorted(layer, key=layer.__getitem__)
    light: set[Node] = set()
    for node in forward:
        if all(n in light and (not before[n] or len(after[n]) == 1) for n in before[node]):
            light.add(node)
    latest = dict(layer)
    for node in reversed(forward):
        if node in light and after[node]:
            latest[node] = min(latest[n] for n in after[node]) - 1
    for node in reversed(forward):
        if node not in light or not after[node]:
            continue
        end = min(layer[n] for n in after[node]) - 1
        longer = 0  # the lines of leaves that cannot come along
        for leaf in before[node]:
            others = [latest[n] for n in after[leaf] if n is not node and not before[leaf]]
            longer += max(0, end - max(layer[node], min(others, default=end)))
        if not before[node] or len(after[node]) * (end - layer[node]) > longer:
            layer[node] = end


def _chain(a: Node, b: Node, layer: Mapping[Node, int]) -> list[Node]:
    """A line's nodes, with a place of its own in each layer between its ends."""
    return [a, *(("bend", a, b, at) for at in range(layer[a] + 1, layer[b])), b]


def _rows(
    sizes: Mapping[Node, tuple[float, float]],
    layer: Mapping[Node, int],
    chains: Mapping[tuple[Node, Node], list[Node]],
) -> list[list[Node]]:
    rows: list[list[Node]] = [[] for _ in range(max(layer.values(), default=0) + 1)]
    for node in sizes:
        rows[layer[node]].append(node)
    for (a, _), chain in chains.items():
        for number, node in enumerate(chain[1:-1], 1):
            rows[layer[a] + number].append(node)
    return rows


def _ordered(
    rows: list[list[Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
) -> list[list[Node]]:
    """The rows in an order with few crossings: sweeps of medians, the best of them."""
    best, fewest = rows, _crossings(rows, below)
    current = [list(row) for row in rows]
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forward = sweep % 2 == 0
        numbers = range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1)
        for number in numbers:
            fixed = current[number - 1 if forward else number + 1]
            place_of = {n: i for i, n in enumerate(fixed)}
            near = above if forward else below
            own = {n: i for i, n in enumerate(current[number])}
            current[number].sort(key=lambda n: _median(n, near, place_of, own))
        count = _crossings(current, below)
        if count < fewest:
            best, fewest = [list(row) for row in current], count
    return best


def _median(
    node: Node,
    near: Mapping[Node, list[Node]],
    place_of: Mapping[Node, int],
    own: Mapping[Node, int],
) -> float:
    places = sorted(place_of[n] for n in near[node] if n in place_of)
    if not places:
        return float(own[node])
    middle = len(places) // 2
    if len(places) % 2:
        return float(places[middle])
    return (places[middle - 1] + places[middle]) / 2


def _crossings(rows: list[list[Node]], below: Mapping[Node, list[Node]]) -> int:
    total = 0
    for first, second in itertools.pairwise(rows):
        place_of = {n: i for i, n in enumerate(second)}
        ends = [end for n in first for end in sorted(place_of[m] for m in below[n])]
        total += sum(later < end for i, end in enumerate(ends) for later in ends[i + 1 :])
    return total


def _aligned(
    rows: list[list[Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
    breadth: Mapping[Node, float],
    gap: float,
) -> dict[Node, float]:
    """Positions in each row near those of the neighbours, in order and without overlap."""
    position: dict[Node, float] = {}
    for row in rows:
        at = 0.0
        for node in row:
            half = breadth.get(node, 4.0) / 2
            position[node] = at + half
            at += 2 * half + gap
        for node in row:
            position[node] -= at / 2
    for turn in range(_ALIGNMENTS):
        near = (above, below) if turn % 2 == 0 else (below, above)
        for row in rows if turn % 2 == 0 else rows[::-1]:
            wanted = []
            for node in row:
                around = near[0][node] or near[1][node]
                weights = [_LEAF if not above[n] and above[node] else 1.0 for n in around]
                total = sum(weights)
                pull = sum(w * position[n] for w, n in zip(weights, around, strict=True))
                wanted.append(pull / total if around else position[node])
            firm = [1.0 if above[node] else _LEAF for node in row]
            _settle(row, wanted, firm, position, breadth, gap)
    return position


def _settle(
    row: list[Node],
    wanted: list[float],
    firm: list[float],
    position: dict[Node, float],
    breadth: Mapping[Node, float],
    gap: float,
) -> None:
    """The positions nearest to the wanted ones (least squares) that keep order and distances.

    firm: the weight of each. With the distances taken off this is isotonic regression:
    neighbours that would overlap are pooled to their mean.
    """
    offset, at = [], 0.0
    for number, node in enumerate(row):
        half = breadth.get(node, 4.0) / 2
        at += half if number == 0 else half + gap
        offset.append(at)
        at += half
    pools: list[tuple[float, float, int]] = []  # weighted sum, weight, members
    for want, weight, shift in zip(wanted, firm, offset, strict=True):
        pool = weight * (want - shift), weight, 1
        while pools and pools[-1][0] / pools[-1][1] > pool[0] / pool[1]:
            before = pools.pop()
            pool = before[0] + pool[0], before[1] + pool[1], before[2] + pool[2]
        pools.append(pool)
    number = 0
    for total, weight, members in pools:
        for _ in range(members):
            position[row[number]] = total / weight + offset[number]
            number += 1
