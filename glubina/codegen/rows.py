"""Kernels over rows: several reductions of the same rows and what lies between and after them.

Each row is worked on in a few passes, one after the other, while it lies in the core's own cache:
a pass works out the reductions that need only what earlier passes gave, and one of them stores
the full-size outputs. What is dear and needed by two passes is kept in a line of the thread's own
memory. Short rows take no loop: their values stay in registers from pass to pass. A row belongs
to one thread. Rows much shorter than a vector stand upright (`rows_upright`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from glubina.codegen.accumulate import Reduction, State
from glubina.codegen.blocks import alloca
from glubina.codegen.canonical import Structure
from glubina.codegen.elementwise import one_bit, one_byte
from glubina.codegen.emitter import Function, module
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.rows_plan import Pass, RowPlan, make_plan
from glubina.codegen.rows_upright import Upright
from glubina.codegen.target import Target, llvm_type
from glubina.codegen.values import Value, vector
from glubina.graph.node import Node
from glubina.schedule.affine import ZERO, Affine, Index, Space, constant
from glubina.schedule.views import reshaped, steady_inputs

T = TypeVar("T")


def lower(form: Structure, target: Target) -> Lowering:
    """The native function of a kernel over rows."""
    kernel = form.kernel
    rows, length = kernel.space
    symbol = f"rows_{form.key}"
    buffers = tuple(range(len(kernel.inputs) + len(kernel.outputs)))
    stage = Stage(symbol, buffers, (rows, *form.arguments()))
    cost = sum(n.op.cost for n in form.order if n.dtype.kind == "f" and n.size == rows * length)

    def text() -> str:
        plan = make_plan(form, target)
        writer = Upright if plan.upright else _Rows
        return module([writer(symbol, form, plan).function()])

    flops = rows * length * (cost + len(kernel.anchors))
    return Lowering(form.key, (stage,), (), text, flops)


class _RowEvaluator(Evaluator):
    """An evaluator that finds kept values of the current row in the thread's own memory."""

    def __init__(self, frame: Frame, form: Structure, space: Space, lanes: int) -> None:
        kernel = form.kernel
        pointers = {node: frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        constants = frame.constants(form.numbers, 1)
        super().__init__(frame, space, lanes, pointers, constants, steady_inputs(kernel))
        self.kept: dict[Node, Value] = {}
        self.column = self.flat = ZERO  # of lane 0 of the vector at hand; of all its lanes

    def _is_kept(self, node: Node, index: Index) -> bool:
        """Whether the elements at the index were put aside: those of this row and column only."""
        return node in self.kept and self.space.flatten(index, node.shape) == self.flat

    def _plain_reads(self, node: Node, index: Index) -> list[tuple[Node, Index]]:
        return [] if self._is_kept(node, index) else super()._plain_reads(node, index)

    def _value(self, node: Node, index: Index, reads: list[tuple[Node, Index]]) -> Value:
        if not self._is_kept(node, index):
            return super()._value(node, index, reads)
        scalar = llvm_type(node.dtype)
        place = self._place(self.kept[node], scalar)
        return one_bit(self.f, self.f.load(place, vector(scalar, self.lanes)), node.dtype)

    def keep(self, node: Node, value: Value, memory: Value) -> None:
        """Put a whole vector aside; the memory has room for full vectors only."""
        place = self._place(memory, llvm_type(node.dtype))
        self.f.store(one_byte(self.f, value, node.dtype), place)

    def _place(self, memory: Value, scalar: str) -> Value:
        return self.f.element(memory, self.index.scalar(self.column), scalar)


class _Rows:
    """One such function being written."""

    def __init__(self, symbol: str, form: Structure, plan: RowPlan) -> None:
        kernel = form.kernel
        self.kernel, self.plan, self.lanes = kernel, plan, plan.lanes
        self.frame = Frame(symbol, len(kernel.inputs) + len(kernel.outputs))
        self.f: Function = self.frame.f
        self.space = Space()
        self.evaluator = _RowEvaluator(self.frame, form, self.space, plan.lanes)
        self.reductions = {anchor: Reduction(anchor) for anchor in kernel.anchors}
        self.targets = {
            node: self.frame.buffer(len(kernel.inputs) + i) for i, node in enumerate(kernel.outputs)
        }
        room = -(-plan.length // plan.lanes) * plan.lanes
        self.memory = {
            node: alloca(self.f, llvm_type(node.dtype), room)
            for p in plan.passes
            for node in p.keeps
        }
        self.row = ZERO  # the one at hand

    def function(self) -> Function:
        """Write it: several rows side by side, where they are short, then the last ones."""
        f, at_once = self.f, self.plan.rows_at_once
        start, stop = self.frame.share(self.frame.number(0), 1)
        if at_once > 1:
            last = f.sub(stop, f.i64(at_once - 1))
            with f.loop(start, last, f.i64(at_once)) as loop:
                self._rows([f.add(loop.index, f.i64(i)) for i in range(at_once)])
            count = f.maximum(f.sub(stop, start), f.i64(0))
            start = f.sub(stop, f.binary("urem", count, f.i64(at_once)))
        with f.rarely(at_once > 1), f.loop(start, stop, f.i64(1)) as loop:
            self._rows([loop.index])
        return self.frame.finish()

    def _rows(self, numbers: Sequence[Value]) -> None:
        """Work on some rows, all of them through one pass after the other."""
        f, e = self.f, self.evaluator
        rows = [_Row(self, number) for number in numbers]
        for number, p in enumerate(self.plan.passes):
            for row in rows:
                with row.at_hand():
                    self._spread_numbers(number)
            for row in rows:
                with row.at_hand():
                    states = row.unrolled(p) if self.plan.unrolled else self._looped(p)
                    for anchor, state in zip(p.anchors, states, strict=True):
                        e.given[anchor] = self.row, self.reductions[anchor].result(f, state)
            e.kept.update({node: self.memory[node] for node in p.keeps})
        for row in rows:
            with row.at_hand():
                self._store_numbers()
        e.kept.clear()

    # -- numbers of rows ------------------------------------------------------------------------

    def _spread_numbers(self, number: int) -> None:
        """Work out what is spread along the row in this pass, once and not for each vector."""
        for node, ready in self.plan.ready.items():
            if ready == number:
                self.evaluator.evaluate(node, self._at_row(node))

    def _at_row(self, node: Node) -> Index:
        return reshaped((self.row,), (node.size,), node.shape, self.space) if node.shape else ()

    def _store_numbers(self) -> None:
        """Store the outputs that have one element for each row."""
        f, e = self.f, self.evaluator
        rows = [n for n in self.kernel.outputs if n.size == self.kernel.space[0]]
        values = [e.evaluate(node, self._at_row(node)) for node in rows]
        for node, value in zip(rows, values, strict=True):
            place = f.element(self.targets[node], e.index.scalar(self.row), llvm_type(node.dtype))
            f.store(one_byte(f, value, node.dtype), place)

    # -- one vector -----------------------------------------------------------------------------

    def work_out(self, p: Pass, column: Affine, mask: Value | None) -> list[State]:
        """Evaluate what a pass needs of one vector; the states of its reductions."""
        f, e, space = self.f, self.evaluator, self.space
        inner = space.add(column, e.index.lane)
        flat = space.combine(((self.row, self.plan.length), (inner, 1)))
        e.column, e.flat = column, flat
        states = []
        for anchor in p.anchors:
            value = self._element(anchor.sources[0], flat)
            position = self._position(inner) if anchor.op.name == "argmax" else None
            state = self.reductions[anchor].element(f, value, position)
            if mask is not None:
                state = self.reductions[anchor].masked(f, state, mask)
            states.append(state)
        for node in p.keeps:
            e.keep(node, self._element(node, flat), self.memory[node])
        for node in p.outputs:
            self._element(node, flat)
        return states

    def store(self, p: Pass, column: Affine) -> None:
        """Store the full-size outputs of one vector that was worked out."""
        e, space = self.evaluator, self.space
        start = space.combine(((self.row, self.plan.length), (column, 1)))
        flat = space.add(start, e.index.lane)
        e.column, e.flat = column, flat
        for node in p.outputs:
            e.store(self.targets[node], node, start, self._element(node, flat))

    def _element(self, node: Node, flat: Affine) -> Value:
        return self.evaluator.full(node, reshaped((flat,), (node.size,), node.shape, self.space))

    def _position(self, inner: Affine) -> Value:
        index = self.evaluator.index
        number = (index.vector if self.lanes > 1 else index.scalar)(inner)
        wide = vector("i64", self.lanes)
        return number if number.type == wide else self.f.convert("zext", number, "i64")

    def mask(self, left: int) -> Value | None:
        """The lanes of a vector when so many elements are left."""
        return None if left >= self.lanes else self.evaluator.mask_below(self.f.i64(left))

    # -- long rows ------------------------------------------------------------------------------

    def _looped(self, p: Pass) -> list[State]:
        """One pass, as a loop and a rest: the reductions' states."""
        f, length, step = self.f, self.plan.length, self.lanes * p.vectors
        values = [
            v
            for anchor in p.anchors
            for _ in range(p.vectors)
            for v in self.reductions[anchor].start(f, self.lanes)
        ]
        full = length // step * step
        column = self.space.counter(full - step, step)
        with f.loop(f.i64(0), f.i64(full), f.i64(step), values) as loop:
            self.evaluator.index.bind(column, loop.index)
            loop.carry(self._step(p, column, loop.values, p.vectors, None, None))
        values = loop.results
        for position in range(full, length, self.lanes):
            left = min(length - position, self.lanes)
            values = self._step(p, constant(position), values, 1, self.mask(left), left)
        return self._across(p, values)

    def _step(
        self,
        p: Pass,
        column: Affine,
        values: Sequence[Value],
        vectors: int,
        mask: Value | None,
        real: int | None,
    ) -> list[Value]:
        """Add so many vectors of elements to the states, and store them."""
        f, e = self.f, self.evaluator
        following = list(values)
        with e.masked(mask), e.index.lanes_in_use(real):
            for v in range(vectors):
                states = self.work_out(p, self.space.add(column, v * self.lanes), mask)
                position = 0
                for anchor, state in zip(p.anchors, states, strict=True):
                    size = len(state)
                    at = slice(position + v * size, position + (v + 1) * size)
                    following[at] = self.reductions[anchor].merge(f, following[at], state)
                    position += size * p.vectors
            for v in range(vectors):
                self.store(p, self.space.add(column, v * self.lanes))
        return following

    def _across(self, p: Pass, values: list[Value]) -> list[State]:
        """The vectors of each reduction put together, and their lanes."""
        found, rest = [], list(values)
        for anchor in p.anchors:
            size = len(self.reductions[anchor].types)
            own, rest = rest[: size * p.vectors], rest[size * p.vectors :]
            states = [own[i : i + size] for i in range(0, len(own), size)]
            found.append(self.reductions[anchor].together(self.f, states))
        return found


class _Row:
    """A row that is being worked on, and what is known of it so far."""

    def __init__(self, rows: _Rows, number: Value) -> None:
        self.rows = rows
        self.symbol = rows.space.loop(None)
        rows.evaluator.index.bind(self.symbol, number)
        self.given: dict[Node, tuple[Affine, Value]] = {}
        self.scope: dict[Hashable, Value] = {}
        vectors = -(-rows.plan.length // rows.lanes)
        self.known: list[dict[Hashable, Value]] = [{} for _ in range(vectors)]

    @contextmanager
    def at_hand(self) -> Iterator[None]:
        """Inside, this is the row that is worked on."""
        rows, e = self.rows, self.rows.evaluator
        rows.row, e.given = self.symbol, self.given
        with e.index.resumed(self.scope):
            yield

    def unrolled(self, p: Pass) -> list[State]:
        """One pass without a loop: what was known of a vector is still in its register."""
        rows = self.rows
        states = self._each(lambda column, mask: rows.work_out(p, column, mask))
        if p.outputs:
            self._each(lambda column, mask: rows.store(p, column))
        return [
            rows.reductions[anchor].together(rows.f, [of[i] for of in states])
            for i, anchor in enumerate(p.anchors)
        ]

    def _each(self, do: Callable[[Affine, Value | None], T]) -> list[T]:
        """Do something with every vector of the row."""
        rows, e, results = self.rows, self.rows.evaluator, list[T]()
        for v, known in enumerate(self.known):
            left = min(rows.plan.length - v * rows.lanes, rows.lanes)
            e.mask = rows.mask(left)
            with e.index.resumed(known), e.index.lanes_in_use(left):
                results.append(do(constant(v * rows.lanes), e.mask))
        e.mask = None
        return results
