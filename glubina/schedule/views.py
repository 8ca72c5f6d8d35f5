"""Where a node reads its sources: indices of sources as symbols, for one index of the node.

Kernels never run a movement node: they follow it, from the element that is wanted to the element
that is read. The schedule asks the same functions whether a chain of movements is plain strided
memory, and which buffers may be overwritten in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from glubina.schedule.affine import ZERO, Affine, Index, Space, Term, bounds, constant

if TYPE_CHECKING:
    from glubina.graph.node import Node
    from glubina.graph.ops.window import ScatterAttributes, WindowAttributes
    from glubina.schedule.kernel import Kernel

MOVES = frozenset({"reshape", "transpose", "broadcast", "slice", "detach"})


class Check(NamedTuple):
    """A condition on an index: `position % divisor == 0 and 0 <= position < limit`."""

    position: Affine
    limit: int
    divisor: int = 1


class Read(NamedTuple):
    """A source's element that a node needs, and when it needs it (all checks hold)."""

    node: Node
    at: Index
    checks: tuple[Check, ...] = ()


def needed(checks: list[Check]) -> tuple[Check, ...]:
    """The checks that the ranges of their indices do not settle."""
    left = []
    for check in checks:
        low, high = bounds(check.position)
        if low < 0 or high >= check.limit or check.divisor > 1:
            left.append(check)
    return tuple(left)


def moved_index(node: Node, index: Index, space: Space) -> Index:
    """The source's index for reshape, transpose, broadcast, slice and detach."""
    name, source = node.op.name, node.sources[0]
    if name == "reshape":
        return reshaped(index, node.shape, source.shape, space)
    if name == "transpose":
        result = [ZERO] * len(index)
        for position, axis in zip(index, node.attributes.permutation, strict=True):
            result[axis] = position
        return tuple(result)
    if name == "broadcast":
        extra = len(node.shape) - len(source.shape)
        return tuple(
            ZERO if have == 1 and want != 1 else position
            for position, have, want in zip(
                index[extra:], source.shape, node.shape[extra:], strict=True
            )
        )
    if name == "slice":
        a = node.attributes
        return tuple(
            space.combine(((position, step),), start) if step != 1 or start else position
            for position, start, step in zip(index, a.starts, a.steps, strict=True)
        )
    return index


def reshaped(index: Index, shape: tuple[int, ...], other: tuple[int, ...], space: Space) -> Index:
    """The index of the same row-major position in another shape."""
    if shape == other:
        return index
    if len(shape) == len(other) and shape[1:] == other[1:]:
        return index
    return space.unflatten(space.flatten(index, shape), other)


def padded_read(node: Node, index: Index, space: Space) -> Read:
    """What a pad reads, and where it is a source's element rather than zero."""
    source, a = node.sources[0], node.attributes
    result, checks = [], []
    for position, extent, low, high, between in zip(index, source.shape, *a, strict=True):
        if low or high or between:
            position = space.add(position, -low)
            checks.append(Check(position, max(extent - 1, 0) * (between + 1) + 1, between + 1))
            position = space.floordiv(position, between + 1)
        result.append(position)
    return Read(source, tuple(result), needed(checks))


def concat_reads(node: Node, index: Index, space: Space) -> list[Read]:
    """The parts that a concat may read; each check says that the index is below the part's end."""
    axis, start, reads = node.attributes.axis, 0, []
    low, high = bounds(index[axis])
    for source in node.sources:
        extent = source.shape[axis]
        if low < start + extent and high >= start and extent:
            position = space.add(index[axis], -start)
            check = Check(position, extent)
            reads.append(
                Read(source, (*index[:axis], position, *index[axis + 1 :]), needed([check]))
            )
        start += extent
    return reads


def window_read(node: Node, index: Index, taps: Index, space: Space) -> Read:
    """The element of a pooled source under one window position (`taps`, per spatial axis)."""
    source: Node = node.sources[0]
    a: WindowAttributes = node.attributes
    spots, checks = [], []
    for axis, (stride, (low, _), tap) in enumerate(
        zip(a.stride, a.padding, taps, strict=True), start=1
    ):
        spot = space.combine(((index[axis], stride), (tap, 1)), -low)
        spots.append(spot)
        checks.append(Check(spot, source.shape[axis]))
    return Read(source, (index[0], *spots, index[-1]), needed(checks))


class Cover(NamedTuple):
    """A window that covers an element: its read and the element's position inside it."""

    at: Index
    tap: Affine
    checks: tuple[Check, ...]


def covering_windows(node: Node, index: Index, space: Space) -> list[Cover]:
    """The windows of a pool_scatter that can cover the element at an index, in a fixed order."""
    attributes: ScatterAttributes = node.attributes
    a, windows = attributes.geometry, node.sources[0].shape
    covers = [Cover((index[0],), ZERO, ())]
    for axis, (extent, stride, (low, _)) in enumerate(
        zip(a.window, a.stride, a.padding, strict=True), start=1
    ):
        shifted = space.add(index[axis], low)
        quotient, remainder = space.floordiv(shifted, stride), space.mod(shifted, stride)
        options = []
        for back in range(-(-extent // stride)):
            tap, window = space.add(remainder, back * stride), space.add(quotient, -back)
            options.append(
                (window, tap, needed([Check(tap, extent), Check(window, windows[axis])]))
            )
        covers = [
            Cover(
                (*cover.at, window),
                space.combine(((cover.tap, extent), (tap, 1))),
                cover.checks + checks,
            )
            for cover in covers
            for window, tap, checks in options
        ]
    return [Cover((*c.at, index[-1]), c.tap, c.checks) for c in covers]


def take_indices(node: Node, index: Index) -> Index:
    """Where a take reads its indices."""
    axis, rank = node.attributes.axis, len(node.sources[1].shape)
    return index[axis : axis + rank]


def take_source(node: Node, index: Index, position: Affine) -> Index:
    """Where a take reads its array, when its index has the value `position`."""
    axis, rank = node.attributes.axis, len(node.sources[1].shape)
    return (*index[:axis], position, *index[axis + rank :])


# -- views --------------------------------------------------------------------------------------


class View(NamedTuple):
    """Plain strided memory: element i of the node is root[offset + Σ strides · i]."""

    root: Node
    offset: int
    strides: tuple[int, ...]


def affine_view(node: Node, stop: frozenset[Node] = frozenset()) -> View | None:
    """The node as strided memory of the first node below its movements; None if it is not.

    Follows reshape, transpose, broadcast, slice and detach, down to another kind of node or to
    one in `stop` (a node that lies in memory). Strides count elements and may be 0 or negative;
    along axes of extent 1 the stride is 0.
    """
    space = Space()
    index = tuple(space.loop(extent) for extent in node.shape)
    variables: list[Term | None] = [i.terms[0][0] if i.terms else None for i in index]
    while node.op.name in MOVES and node not in stop:
        index = moved_index(node, index, space)
        node = node.sources[0]
    flat = space.flatten(index, node.shape)
    if any(term.kind != "loop" for term, _ in flat.terms):
        return None
    strides = tuple(flat.coefficient(v) if v is not None else 0 for v in variables)
    return View(node, flat.const, strides)


# -- what a kernel touches ----------------------------------------------------------------------


class Accesses:
    """Every index that a kernel's expressions use, found without writing code.

    loads: (input or anchor, its row-major position) for every read.
    indices: all other indices whose value the code needs (conditions, counters, positions).
    """

    def __init__(self, space: Space, leaves: frozenset[Node]) -> None:
        self.space = space
        self.leaves = leaves
        self.loads: dict[tuple[Node, Affine], None] = {}
        self.indices: dict[Affine, None] = {}
        self._seen: set[tuple[Node, Index]] = set()

    def visit(self, node: Node, index: Index) -> None:
        """Follow everything that the node's element at the index needs."""
        todo = [(node, index)]
        while todo:
            step = todo.pop()
            if step in self._seen:
                continue
            self._seen.add(step)
            node, index = step
            if node in self.leaves:
                self.loads[node, self.space.flatten(index, node.shape)] = None
                continue
            for read in self._reads(node, index):
                for check in read.checks:
                    self.indices[check.position] = None
                todo.append((read.node, read.at))

    def _reads(self, node: Node, index: Index) -> list[Read]:
        name, space = node.op.name, self.space
        family = node.op.family
        if family == "elementwise":
            return [Read(s, index) for s in node.sources]
        if name in MOVES:
            return [Read(node.sources[0], moved_index(node, index, space))]
        if name == "pad":
            return [padded_read(node, index, space)]
        if name == "concat":
            return concat_reads(node, index, space)
        if name == "iota":
            self.indices[index[node.attributes.axis]] = None
        elif name == "random_bits":
            self.indices[space.flatten(index, node.shape)] = None
            return [Read(node.sources[0], (constant(i),)) for i in range(2)]
        elif name == "take":
            last = node.sources[0].shape[node.attributes.axis] - 1
            value = Affine(0, ((space.term("value", 0, last), 1),))
            return [
                Read(node.sources[1], take_indices(node, index)),
                Read(node.sources[0], take_source(node, index, value)),
            ]
        elif name == "pool_scatter":
            covers = covering_windows(node, index, space)
            for cover in covers:
                self.indices[cover.tap] = None
            return [Read(s, c.at, c.checks) for c in covers for s in node.sources]
        elif family == "reduction":  # over axes of extent 1: nothing is added up
            source, rest = node.sources[0], list(index)
            axes = getattr(node.attributes, "axes", None) or (node.attributes.axis,)
            full = [ZERO if a in axes else rest.pop(0) for a in range(len(source.shape))]
            return [Read(source, tuple(full))]
        elif family == "window":
            taps = tuple(space.loop(k) for k in node.attributes.window)
            reads = [window_read(node, index, taps, space)]
            return reads + [Read(s, index) for s in node.sources[1:]]
        return []


def steady_inputs(kernel: Kernel) -> frozenset[Node]:
    """The inputs that surely keep their values while the kernel runs.

    An input that an output depends on element for element may be overwritten by that output,
    each element after it was read; all others lie in memory that nothing writes meanwhile.
    """
    moving: set[Node] = set()
    inputs = set(kernel.inputs)
    stack = list(kernel.outputs)
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in inputs:
            moving.add(node)
        elif node.op.family == "elementwise" or node.op.name in ("reshape", "detach"):
            stack.extend(node.sources)
    return frozenset(inputs - moving)
