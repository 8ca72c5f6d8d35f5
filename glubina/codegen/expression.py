"""Evaluates fused nodes at a symbolic index: the code of one element, or of one per lane.

The evaluator starts at a wanted element and follows the graph to what lies in memory. Movements
change the index and cost nothing; an element that does not depend on the lane is worked out once,
as a scalar; what was worked out is found again by node and index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from glubina.codegen import elementwise, philox, window
from glubina.codegen.elementwise import one_bit, one_byte, register_type
from glubina.codegen.frame import INDEX_OUT_OF_RANGE, Frame
from glubina.codegen.index import IndexCode
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, lanes_of, vector
from glubina.graph.node import Node
from glubina.graph.philox import BLOCKS, GROUP
from glubina.schedule.affine import ZERO, Affine, Index, Space, Term, constant
from glubina.schedule.views import (
    MOVES,
    concat_reads,
    moved_index,
    padded_read,
    take_indices,
    take_source,
)


class Evaluator:
    """Writes the values of nodes into a kernel function.

    frame: the function being written.
    space: where its symbolic indices live.
    lanes: how many elements one value holds.
    pointers: the buffer of every node that lies in memory.
    constants: run-time scalars.
    steady: the nodes in memory that nothing writes while the function runs.
    """

    def __init__(
        self,
        frame: Frame,
        space: Space,
        lanes: int,
        pointers: Mapping[Node, Value],
        constants: Mapping[Node, Value],
        steady: frozenset[Node] = frozenset(),
    ) -> None:
        self.frame = frame
        self.f = frame.f
        self.space = space
        self.lanes = lanes
        self.index = IndexCode(self.f, space, lanes)
        self.pointers = pointers
        self.constants = constants
        self.steady = steady
        self.mask: Value | None = None  # the lanes that exist, in the last vector of a row
        self.guard: Value | None = None  # when the element is needed
        self.indexed: frozenset[tuple[Node, Any]] = frozenset()  # windows whose index is wanted
        self.given: dict[Node, tuple[Affine, Value]] = {}  # anchors: row-major position, value
        # copies that go on periodically: the position that the lanes read, where that begins
        self.repeated: dict[Node, tuple[Affine, Value]] = {}
        self.clamped: dict[tuple[Affine, int], Term] = {}  # positions brought inside an axis

    # -- contexts -------------------------------------------------------------------------------

    @contextmanager
    def masked(self, mask: Value | None) -> Iterator[None]:
        """Only the lanes of the mask exist."""
        before, self.mask = self.mask, mask
        with self.index.scope():
            yield
        self.mask = before

    @contextmanager
    def guarded(self, condition: Value | None) -> Iterator[None]:
        """What is evaluated inside is used only where the condition holds."""
        if condition is None:
            yield
            return
        before = self.guard
        self.guard = condition if before is None else self.index.both(before, condition)
        with self.index.scope():
            yield
        self.guard = before

    def mask_below(self, left: Value) -> Value:
        """The lanes below the number (i64) of elements that are left."""
        f = self.f
        numbers = f.lane_numbers(self.lanes, "i32")
        bound = f.minimum(left, f.i64(self.lanes))
        return f.compare("ult", numbers, self.index.spread(bound, "i32"))

    # -- values ---------------------------------------------------------------------------------

    def evaluate(self, node: Node, index: Index) -> Value:
        """The node's element at the index: a scalar, or one value per lane."""
        stack = [(node, index)]
        while stack:
            node, index = key = stack[-1]
            if self.index.known(key) is not None:
                stack.pop()
                continue
            reads = self._plain_reads(node, index)
            missing = [r for r in reads if self.index.known(r) is None]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            self.index.keep(key, self._value(node, index, reads))
        found = self.index.known((node, index))
        assert found is not None
        return found

    def full(self, node: Node, index: Index) -> Value:
        """The node's element at the index in every lane, even if it is the same in all."""
        value = self.evaluate(node, index)
        if self.lanes == 1 or value.type[0] == "<":
            return value
        return self.f.splat(value, self.lanes)

    def _plain_reads(self, node: Node, index: Index) -> list[tuple[Node, Index]]:
        """The elements that are needed whatever happens, to be evaluated first."""
        if node in self.given or node in self.pointers:
            return []
        if node.op.family == "elementwise":
            return [(s, index) for s in node.sources]
        if node.op.name in MOVES:
            return [(node.sources[0], moved_index(node, index, self.space))]
        return []

    def _value(self, node: Node, index: Index, reads: list[tuple[Node, Index]]) -> Value:
        if node in self.given:
            return self._given(node, index)
        if node in self.pointers:
            return self.load(node, index)
        if reads:
            values = [self.index.known(read) for read in reads]
            operands = [v for v in values if v is not None]
            if node.op.name in MOVES:
                return operands[0]
            return self._apply(node, operands)
        if node.op.name == "constant":
            return self._constant(node)
        return _SPECIAL[node.op.name](self, node, index)

    def _given(self, node: Node, index: Index) -> Value:
        position, value = self.given[node]
        # Of one element there is no other, whatever the index that leads to it looks like.
        if node.size > 1 and self.space.flatten(index, node.shape) != position:
            raise ValueError(f"{node!r} is read at another element than the one at hand")
        return value

    def _apply(self, node: Node, operands: list[Value]) -> Value:
        if len({lanes_of(v.type) for v in operands}) > 1:
            operands = [v if v.type[0] == "<" else self.f.splat(v, self.lanes) for v in operands]
        dtype = node.sources[-1].dtype
        return elementwise.apply(self.f, node.op.name, dtype, node.dtype, operands)

    def _constant(self, node: Node) -> Value:
        if node in self.constants:
            return self.constants[node]
        value = node.op.numpy(node.attributes).item()
        return self.f.const(value, register_type(node.dtype))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """a where the condition holds, else b; one lane or all."""
        if condition.type == "i1" and a.type == b.type:
            return self.f.select(condition, a, b)
        wide = [v if v.type[0] == "<" else self.f.splat(v, self.lanes) for v in (a, b)]
        if condition.type == "i1":
            return self.f.select(condition, *wide)
        return self.f.select(condition, *wide)

    # -- memory ---------------------------------------------------------------------------------

    def load(self, node: Node, index: Index) -> Value:
        """An element that lies in memory; zero where a mask or guard says it is not needed."""
        f, scalar = self.f, llvm_type(node.dtype)
        flat = self.space.flatten(index, node.shape)
        if node in self.repeated and self.repeated[node][0] == flat:
            value = f.load(self.repeated[node][1], vector(scalar, self.lanes))
            return one_bit(f, value, node.dtype)
        same, varying = self.index.parts(flat)
        pointer = self.pointers[node]
        if not varying.terms:
            value = self._load_one(node, pointer, same, scalar)
        else:
            type_ = vector(scalar, self.lanes)
            base = f.element(pointer, self.index.scalar(same), scalar)
            needed = self.needed()
            if varying == self.index.lane:
                if self.mask is None and self._may_read_elsewhere(node):
                    assert self.guard is not None
                    # cheaper than a mask: what is read in vain is read at the beginning
                    value = f.load(f.select(self.guard, base, pointer), type_)
                elif needed is not None:
                    value = f.masked_load(base, type_, needed)
                elif node in self.steady:
                    value = f.invariant_load(base, type_)
                else:
                    value = f.load(base, type_)
            else:
                offsets = self.index.vector(varying)
                pointers = f.emit(
                    vector("ptr", self.lanes),
                    f"getelementptr inbounds {scalar}, {base}, {offsets}",
                )
                everywhere = f.const(True, vector("i1", self.lanes))
                value = f.gather(pointers, type_, needed or everywhere)
        return one_bit(f, value, node.dtype)

    def _may_read_elsewhere(self, node: Node) -> bool:
        """Whether no lane needs its element, or all do, and there are others to read instead."""
        guard = self.guard
        return guard is not None and guard.type == "i1" and node.size >= self.lanes

    def _load_one(self, node: Node, pointer: Value, position: Affine, scalar: str) -> Value:
        f = self.f
        offset = self.index.scalar(position)
        if self.guard is not None:
            # The first element always exists, and reading it does no harm.
            offset = f.select(f.any(self.guard), offset, f.i64(0))
        address = f.element(pointer, offset, scalar)
        if node not in self.steady:
            return f.load(address, scalar)
        exists = not position.terms and 0 <= position.const < node.size
        return f.invariant_load(address, scalar, exists)

    def needed(self) -> Value | None:
        """One condition per lane: the lane exists and its element is needed."""
        parts = [p for p in (self.mask, self.guard) if p is not None]
        if not parts:
            return None
        needed = parts[0] if len(parts) == 1 else self.index.both(*parts)
        return needed if needed.type[0] == "<" else self.f.splat(needed, self.lanes)

    def store(self, pointer: Value, node: Node, position: Affine, value: Value) -> None:
        """Write the node's elements at a row-major position (of lane 0; lanes are neighbours)."""
        f = self.f
        value = one_byte(f, value, node.dtype)
        same, _ = self.index.parts(position)
        address = f.element(pointer, self.index.scalar(same), llvm_type(node.dtype))
        if self.lanes > 1 and value.type[0] != "<":
            value = f.splat(value, self.lanes)
        f.store_lanes(value, address, self.mask)


# -- nodes that are neither element-wise nor plain movements --------------------------------------


def _pad(e: Evaluator, node: Node, index: Index) -> Value:
    read = padded_read(node, index, e.space)
    condition = e.index.condition(read.checks)
    if condition is None:
        return e.evaluate(read.node, read.at)
    with e.guarded(condition):
        value = e.evaluate(read.node, read.at)
    return e.select(condition, value, e.f.const(0, value.type))


def _concat(e: Evaluator, node: Node, index: Index) -> Value:
    result: Value | None = None
    for read in reversed(concat_reads(node, index, e.space)):
        condition = e.index.condition(read.checks)
        with e.guarded(condition):
            value = e.evaluate(read.node, read.at)
        if result is None or condition is None:
            result = value
        else:
            result = e.select(condition, value, result)
    # Code for more elements than there are is written, but never runs.
    return result or e.f.const(0, register_type(node.dtype))


def _iota(e: Evaluator, node: Node, index: Index) -> Value:
    position = index[node.attributes.axis]
    value = (e.index.vector if position.varies else e.index.scalar)(position)
    dtype = node.dtype
    if dtype.kind == "f":
        return e.f.convert("sitofp", value, llvm_type(dtype))
    have, want = elementwise.bits_of(value.type), 8 * dtype.itemsize
    if have == want:
        return value
    return e.f.convert("trunc" if want < have else "zext", value, f"i{want}")


def _take(e: Evaluator, node: Node, index: Index) -> Value:
    """The element at a run-time index; one outside the axis raises, and reads a valid one."""
    f, extent = e.f, node.sources[0].shape[node.attributes.axis]
    indices = node.sources[1]
    raw = e.evaluate(indices, take_indices(node, index))
    value = elementwise.cast(f, raw, indices.dtype, elementwise.INDEX)
    key = ("taken", value, extent)
    if e.index.known(key) is None:
        check_range(e, value, extent)
        clamped = f.maximum(f.minimum(value, f.const(extent - 1, value.type)),
                            f.const(0, value.type))  # fmt: skip
        e.index.keep(key, clamped)
    clamped = e.index.known(key) or value
    term = e.space.term("value", 0, extent - 1)
    term.value, term.varies = clamped, clamped.type[0] == "<"
    position = Affine(0, ((term, 1),))
    return e.evaluate(node.sources[0], take_source(node, index, position))


def check_range(e: Evaluator, value: Value, extent: int) -> None:
    """Raise the first index outside [0, extent) among those that are needed."""
    f = e.f
    wrong = f.compare("uge", value, f.const(extent, value.type))
    if value.type[0] == "<":
        needed = e.needed()
        wrong = wrong if needed is None else f.binary("and", wrong, needed)
    elif e.guard is not None:
        wrong = f.binary("and", wrong, f.any(e.guard))
    with f.when(f.any(wrong)):
        if value.type[0] == "<":
            bits = f.emit(f"i{e.lanes}", f"bitcast {wrong} to i{e.lanes}")
            first = f.call(f"llvm.cttz.i{e.lanes}", bits.type, bits, Value("true", "i1"))
            value = f.emit("i64", f"extractelement {value}, {first}")
        e.frame.fail(INDEX_OUT_OF_RANGE, value, f.i64(extent))


def _alone(e: Evaluator, node: Node, index: Index) -> Value:
    """A reduction over axes of extent 1: its one element, or its place 0."""
    source = node.sources[0]
    if node.op.name == "argmax":
        return e.f.const(0, "i64")
    rest = list(index)
    full = [ZERO if a in node.attributes.axes else rest.pop(0) for a in range(len(source.shape))]
    return e.evaluate(source, tuple(full))


def _random_bits(e: Evaluator, node: Node, index: Index) -> Value:
    """The element's word of its Philox block; 64 neighbours share the work where they can."""
    flat = e.space.flatten(index, node.shape)
    same, varying = e.index.parts(flat)
    aligned = _aligned(same)
    straight = varying == e.index.lane and e.lanes > 1
    within = same.const % BLOCKS
    if straight and aligned % GROUP == 0 and within + e.lanes <= BLOCKS:
        start = Affine(same.const - same.const % GROUP, same.terms)
        block = e.space.add(e.space.scale(e.space.floordiv(start, GROUP), BLOCKS), within)
        words = _philox(e, node, e.space.add(block, e.index.lane))
        return words[same.const % GROUP // BLOCKS]
    group = e.space.floordiv(flat, GROUP)
    word = e.space.mod(e.space.floordiv(flat, BLOCKS), GROUP // BLOCKS)
    block = e.space.combine(((group, BLOCKS), (e.space.mod(flat, BLOCKS), 1)))
    words = _philox(e, node, block)
    number = (e.index.vector if word.varies else e.index.scalar)(word)
    result = words[3]
    for w in range(2, -1, -1):
        chosen = e.f.compare("eq", number, e.f.const(w, number.type))
        result = e.f.select(chosen, words[w], result)
    return result


def _aligned(a: Affine) -> int:
    """A number that divides the index without its constant."""
    result = GROUP
    for term, k in a.terms:
        while k * term.multiple % result:
            result //= 2
    return result


def _philox(e: Evaluator, node: Node, block: Affine) -> list[Value]:
    keys = [("philox", node, block, w) for w in range(4)]
    found = [e.index.known(key) for key in keys]
    if all(w is not None for w in found):
        return [w for w in found if w is not None]
    key = node.sources[0]
    seed, counter = (e.evaluate(key, (constant(i),)) for i in range(2))
    if block.varies:
        blocks = e.index.vector(block)
        if elementwise.bits_of(blocks.type) != 64:
            blocks = e.f.convert("zext", blocks, "i64")
    else:
        blocks = e.index.scalar(block)
    words = philox.words(e.f, blocks, e.constants[node], seed, counter)
    return [e.index.keep(k, w) for k, w in zip(keys, words, strict=True)]


_SPECIAL: dict[str, Callable[[Evaluator, Node, Index], Value]] = {
    "pad": _pad,
    "concat": _concat,
    "iota": _iota,
    "take": _take,
    "random_bits": _random_bits,
    "sum": _alone,
    "prod": _alone,
    "max": _alone,
    "argmax": _alone,
    "pool_max": window.pool_max,
    "pool_index": window.pool_index,
    "pool_sum": window.pool_sum,
    "pool_gather": window.pool_gather,
    "pool_scatter": window.pool_scatter,
}
