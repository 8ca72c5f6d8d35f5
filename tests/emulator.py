"""Runs a schedule kernel by kernel with NumPy, in an arena as the memory plan lays it out.

Values that die in the program lie in one block of bytes, where freed ones are spoiled; a donated
input is really overwritten. What a kernel may rely on (see `Kernel`) is asserted on the way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from strategies import Array

from glubina.graph import Node
from glubina.schedule.fuse import HEAVY, REDUCTIONS, SCATTERS, WINDOWS
from glubina.schedule.kernel import Kernel, root
from glubina.schedule.memory import Arena, Span, lay_out
from glubina.schedule.plan import Schedule
from glubina.schedule.rows import RowExtent, row_extent, stays_in_row
from glubina.schedule.views import affine_view


def emulate(plan: Schedule, bindings: Mapping[Node, Array]) -> list[Array]:
    """The array in the memory of each result, after all kernels ran."""
    _check_unique(plan)
    memory = {node: bindings[node].copy() for node in plan.inputs}
    taken = {
        result: plan.inputs[number]
        for result, number in zip(plan.results, plan.donated, strict=True)
        if number >= 0
    }
    block = _Block(plan)
    stale: set[Node] = set()
    made = {output for kernel in plan.kernels for output in kernel.outputs}
    for number, kernel in enumerate(plan.kernels):
        check_kernel(kernel)
        block.spoil(number)
        read = {}
        for node in kernel.inputs:
            place = root(node)
            assert place not in stale, f"{node!r} is read after it was overwritten"
            assert place in memory or not node.size, f"{node!r} is read before it is there"
            check_waited(node, made, memory)
            array = memory[place] if place in memory else np.empty(node.shape, node.dtype)
            read[node] = array.reshape(node.shape)
        values = evaluate(kernel, read)
        if kernel.kind == "rows":
            check_row_by_row(kernel, read, values)
        for output in kernel.outputs:
            if output in taken and taken[output] in map(root, read):
                check_in_step(kernel, taken[output], read, values)
            assert output not in memory, f"{output!r} is computed twice"
        for output, value in zip(kernel.outputs, values, strict=True):
            if output in taken:
                stale.add(taken[output])
                memory[output] = memory[taken[output]].reshape(output.shape)
            else:
                memory[output] = block.place(output)
            memory[output][...] = value
    empty = {node: np.empty(node.shape, node.dtype) for node in plan.results if not node.size}
    return [empty[node] if node in empty else memory[node] for node in plan.results]


class _Block:
    """The arena, and memory of their own for the outputs."""

    def __init__(self, plan: Schedule) -> None:
        last = {root(node): i for i, kernel in enumerate(plan.kernels) for node in kernel.inputs}
        results = set(plan.results)
        self.spans: dict[Node, Span] = {}
        for i, kernel in enumerate(plan.kernels):
            for node in kernel.outputs:
                if node not in results:
                    size = node.size * node.dtype.itemsize
                    self.spans[node] = Span(size, i, last.get(node, i))
        arena = lay_out(list(self.spans.values()))
        check_arena(list(self.spans.values()), arena)
        self.offsets = dict(zip(self.spans, arena.offsets, strict=True))
        self.bytes = np.full(arena.size, 0xA5, np.uint8)

    def place(self, node: Node) -> Array:
        """Where the value of a node lies."""
        if node not in self.offsets:
            return np.empty(node.shape, node.dtype)
        start = self.offsets[node]
        part = self.bytes[start : start + self.spans[node].size]
        return part.view(node.dtype).reshape(node.shape)

    def spoil(self, number: int) -> None:
        """Overwrite whatever no kernel from this one on reads."""
        keep = np.zeros(self.bytes.shape, np.bool_)
        for node, span in self.spans.items():
            if span.first < number <= span.last:
                keep[self.offsets[node] : self.offsets[node] + span.size] = True
        self.bytes[~keep] = 0xA5


def evaluate(kernel: Kernel, read: Mapping[Node, Array], row: int | None = None) -> list[Array]:
    """What the kernel writes, from nothing but what it says it reads.

    With `row`, the anchors' values for all other rows are lost.
    """
    values: dict[Node, Array] = dict(read)
    for node in inside(kernel):
        arrays = [values[s] for s in node.sources]
        with np.errstate(all="ignore"):
            values[node] = np.asarray(node.op.numpy(node.attributes, *arrays))
        if row is not None and node in kernel.anchors:
            lost = np.full_like(values[node], np.nan if node.dtype.kind == "f" else 1)
            lost.reshape(-1)[row] = values[node].reshape(-1)[row]
            values[node] = lost
    return [values[o].copy() for o in kernel.outputs]  # not a view of what is overwritten


def inside(kernel: Kernel) -> list[Node]:
    """The nodes that a kernel works out, sources first."""
    stop = set(kernel.inputs)
    order: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(kernel.outputs)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order[node] = None
        elif node not in order and node not in stop:
            assert node.op.name != "input", f"the kernel reads {node!r} and does not say so"
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(node.sources))
    return list(order)


def above(nodes: Iterable[Node], inner: list[Node]) -> set[Node]:
    """Those of the inner nodes (sources first) that depend on the nodes, and the nodes."""
    found = set(nodes)
    for node in inner:
        if any(s in found for s in node.sources):
            found.add(node)
    return found


def check_in_step(
    kernel: Kernel, taken: Node, read: Mapping[Node, Array], values: list[Array]
) -> None:
    """An output may overwrite an input if element e needs only element e of that input."""
    size = taken.size
    there = [node for node in read if root(node) is taken]
    for element in sorted({0, size // 2, size - 1}):
        spoiled = read[there[0]].copy()
        kept = spoiled.reshape(-1)[element]
        spoiled[...] = np.nan if taken.dtype.kind == "f" else 1
        spoiled.reshape(-1)[element] = kept
        again = evaluate(kernel, {**read, **{n: spoiled.reshape(n.shape) for n in there}})
        for before, after in zip(values, again, strict=True):
            np.testing.assert_array_equal(
                before.reshape(-1)[element], after.reshape(-1)[element], "not read in step"
            )


def check_waited(node: Node, made: set[Node], memory: Mapping[Node, Array]) -> None:
    """What an input waits for, or what that is worked out from, is there."""
    stack, seen = [node] if node.op.name == "after" else [], set[Node]()
    while stack:
        current = stack.pop()
        if current in seen:
            continue
        seen.add(current)
        if current in made:
            assert current in memory, f"{node!r} is read before {current!r} is there"
        else:
            stack.extend(current.sources)


def lies_there(node: Node, stop: Collection[Node]) -> bool:
    """Whether a node, or what it is a reshape of, is one of these."""
    while node not in stop and node.op.name == "reshape":
        node = node.sources[0]
    return node in stop


def check_row_by_row(kernel: Kernel, read: Mapping[Node, Array], values: list[Array]) -> None:
    """A row of the outputs needs no other row's reductions: those are spoiled here."""
    rows, _ = kernel.space
    for row in sorted({0, rows // 2, rows - 1}):
        again = evaluate(kernel, read, row)
        for before, after in zip(values, again, strict=True):
            np.testing.assert_array_equal(
                before.reshape(rows, -1)[row], after.reshape(rows, -1)[row], "reads other rows"
            )


# -- what every kernel keeps to -----------------------------------------------------------------


def check_kernel(kernel: Kernel) -> None:
    """Assert what `Kernel` promises to whoever writes its code."""
    inner = inside(kernel)
    assert kernel.outputs
    if kernel.kind != "rows":
        size = math.prod(kernel.space)
        assert all(o.size == size for o in kernel.outputs), "an output of another size"
    assert len(set(kernel.inputs)) == len(kernel.inputs)
    plain = [n for n in kernel.inputs if n.op.name != "after"]
    assert all(root(n) is n for n in (*plain, *kernel.outputs)), "a reshape in memory"
    read = {s for node in inner for s in node.sources} | set(kernel.outputs)
    assert set(kernel.inputs) <= read, "an input that is not read"
    assert set(kernel.outputs) <= set(inner)
    assert {n for n in inner if n.op.name in HEAVY} == set(kernel.anchors)
    if kernel.kind == "rows":
        _check_rows(kernel, inner)
    else:
        _check_anchors(kernel)
        _check_followers(kernel, inner)
    _check_operands(kernel, inner)


def _check_rows(kernel: Kernel, inner: list[Node]) -> None:
    """All reductions are over the last axes of the same rows, and nothing needs another row's."""
    extent = RowExtent(*kernel.space)
    assert kernel.anchors
    assert all(a.op.name in REDUCTIONS and row_extent(a) == extent for a in kernel.anchors)
    assert all(o.size in (extent.rows, extent.size) for o in kernel.outputs)
    after = above(kernel.anchors, inner)
    for node in after - set(kernel.anchors):
        assert stays_in_row(node, extent), f"{node!r} in a kernel over rows"


def _check_followers(kernel: Kernel, inner: list[Node]) -> None:
    size = math.prod(kernel.space)
    after = above(kernel.anchors, inner)
    for node in after - set(kernel.anchors):
        light = node.op.family == "elementwise" or node.op.name == "reshape"
        assert light, f"{node!r} after the anchor"
        assert node.size == size, f"{node!r} is not the size of the space {kernel.space}"
    for anchor in kernel.anchors:
        assert not after & set(anchor.sources), "an anchor needs another one of its kernel"


def _check_anchors(kernel: Kernel) -> None:
    names = {anchor.op.name for anchor in kernel.anchors}
    if not names:
        assert kernel.kind == "map"
        return
    assert all(anchor.shape == kernel.space for anchor in kernel.anchors)
    first = kernel.anchors[0]
    if kernel.kind == "reduce":
        assert names <= set(REDUCTIONS)
        assert len({a.sources[0].shape for a in kernel.anchors}) == 1
        assert len({a.attributes for a in kernel.anchors}) == 1
    elif kernel.kind == "window":
        assert names <= set(WINDOWS)
        assert {(a.sources[0], a.attributes) for a in kernel.anchors} == {
            (first.sources[0], first.attributes)
        }
    else:
        assert len(kernel.anchors) == 1
        assert first.op.name in SCATTERS if kernel.kind == "scatter" else kernel.kind in names


def _check_operands(kernel: Kernel, inner: list[Node]) -> None:
    """What is read as it lies in memory (by address, not by evaluation) does lie there."""
    stop = frozenset(kernel.inputs)
    for node in inner:
        name = node.op.name
        if name == "matmul":
            for source in node.sources:
                view = affine_view(source, stop)
                assert lies_there(source if view is None else view.root, stop)
        elif name in ("conv", "conv_filter", *SCATTERS):
            assert all(lies_there(s, stop) for s in node.sources), (
                f"{node!r} reads what is not there"
            )
        elif name in ("random_bits", "take", *WINDOWS):
            assert lies_there(node.sources[0], stop), f"{node!r} reads what is not there"


def _check_unique(plan: Schedule) -> None:
    written = [o for kernel in plan.kernels for o in kernel.outputs]
    assert len(set(written)) == len(written), "a value is written twice"
    heavy = [a for kernel in plan.kernels for a in kernel.anchors]
    assert len(set(heavy)) == len(heavy), "a heavy node is worked out twice"
    assert {result for result in plan.results if result.size} <= set(written)
    assert len(set(plan.results)) == len(plan.results)
    numbers = [d for d in plan.donated if d >= 0]
    assert len(set(numbers)) == len(numbers), "one input is donated twice"


def check_arena(spans: list[Span], arena: Arena) -> None:
    """Spans alive together do not overlap and lie inside."""
    for i, (a, start) in enumerate(zip(spans, arena.offsets, strict=True)):
        assert start % 64 == 0
        assert 0 <= start <= arena.size - a.size
        for b, other in zip(spans[:i], arena.offsets, strict=False):
            together = a.first <= b.last and b.first <= a.last
            apart = start + a.size <= other or other + b.size <= start
            assert apart or not together or not (a.size and b.size)
