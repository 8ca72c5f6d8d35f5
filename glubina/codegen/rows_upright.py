"""Kernels over very short rows: a lane for each row, so that reductions are plain arithmetic.

As many rows as a vector has lanes fill as many vectors as a row has elements. They are read as they
lie in memory and dealt out to one vector for each column; results go back the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from glubina.codegen.accumulate import Reduction, State
from glubina.codegen.blocks import first_lanes, shuffle
from glubina.codegen.canonical import Structure
from glubina.codegen.elementwise import one_bit, one_byte
from glubina.codegen.emitter import Function
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.rows_plan import RowPlan
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, lanes_of, vector
from glubina.graph.node import Node
from glubina.schedule.affine import ZERO, Affine, Index, Space
from glubina.schedule.views import reshaped, steady_inputs


class _UprightEvaluator(Evaluator):
    """An evaluator whose lanes are rows."""

    length = 0
    row = ZERO  # of the first lane
    left: Value | None = None  # how many rows there are, where not all lanes have one

    def load(self, node: Node, index: Index) -> Value:
        """An element of each lane's row: from the column that it was dealt to, if of these rows."""
        flat = self.space.flatten(index, node.shape)
        lane = self.index.lane.terms[0][0]
        column = self.space.combine(((flat, 1), (self.row, -self.length)))
        own = column.terms == ((lane, self.length),) and 0 <= column.const < self.length
        if not own or self.guard is not None:
            return super().load(node, index)
        key = ("column", node)
        if self.index.known((*key, 0)) is None:
            for c, value in enumerate(self._columns(node)):
                self.index.keep((*key, c), value)
        found = self.index.known((*key, column.const))
        assert found is not None
        return one_bit(self.f, found, node.dtype)

    def _columns(self, node: Node) -> list[Value]:
        f, scalar = self.f, llvm_type(node.dtype)
        type_ = vector(scalar, self.lanes)
        lines = self.lines(self.pointers[node], scalar)
        return dealt(f, [f.load_lanes(place, type_, mask) for place, mask in lines])

    def lines(self, pointer: Value, scalar: str) -> list[tuple[Value, Value | None]]:
        """The vectors that the rows fill: where each lies, and the lanes that exist."""
        f = self.f
        first = self.index.scalar(self.space.scale(self.row, self.length))
        base = f.element(pointer, first, scalar)
        found = []
        for line in range(self.length):
            mask = None
            if self.left is not None:
                rest = f.mul(self.left, f.i64(self.length))
                mask = first_lanes(f, f.sub(rest, f.i64(line * self.lanes)), self.lanes)
            found.append((f.element(base, f.i64(line * self.lanes), scalar), mask))
        return found


def dealt(f: Function, lines: Sequence[Value]) -> list[Value]:
    """n vectors of neighbours as n columns: lane r of column c is element n r + c of them all."""
    n, lanes = len(lines), lanes_of(lines[0].type)
    return [_picked(f, lines, [n * r + c for r in range(lanes)]) for c in range(n)]


def gathered(f: Function, columns: Sequence[Value]) -> list[Value]:
    """The inverse of `dealt`."""
    n, lanes = len(columns), lanes_of(columns[0].type)
    places = [[divmod(line * lanes + p, n) for p in range(lanes)] for line in range(n)]
    return [_picked(f, columns, [c * lanes + r for r, c in line]) for line in places]


def _picked(f: Function, vectors: Sequence[Value], elements: Sequence[int]) -> Value:
    """A vector of elements of several vectors, which are counted on."""
    lanes = lanes_of(vectors[0].type)
    result: Value | None = None
    for number, source in enumerate(vectors):
        own = [divmod(e, lanes) for e in elements]
        if all(v != number for v, _ in own):
            continue
        if result is None:
            result = shuffle(f, source, source, [p if v == number else 0 for v, p in own])
        else:
            picks = [lanes + p if v == number else i for i, (v, p) in enumerate(own)]
            result = shuffle(f, result, source, picks)
    assert result is not None
    return result


class Upright:
    """One such function being written."""

    def __init__(self, symbol: str, form: Structure, plan: RowPlan) -> None:
        kernel = form.kernel
        self.kernel, self.plan = kernel, plan
        self.frame = Frame(symbol, len(kernel.inputs) + len(kernel.outputs))
        self.f: Function = self.frame.f
        self.space = Space()
        pointers = {node: self.frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        constants = self.frame.constants(form.numbers, 1)
        self.evaluator = _UprightEvaluator(
            self.frame, self.space, plan.lanes, pointers, constants, steady_inputs(kernel)
        )
        self.evaluator.length = plan.length
        first = len(kernel.inputs)
        self.targets = {node: self.frame.buffer(first + i) for i, node in enumerate(kernel.outputs)}

    def function(self) -> Function:
        """Write it."""
        f, lanes = self.f, self.plan.lanes
        start, stop = self.frame.share(self.frame.number(0), lanes)
        with f.loop(start, f.sub(stop, f.i64(lanes - 1)), f.i64(lanes)) as loop:
            self._rows(loop.index, None)
        done = f.binary("and", f.maximum(f.sub(stop, start), f.i64(0)), f.i64(-lanes))
        with f.rarely(), f.loop(f.add(start, done), stop, f.i64(lanes)) as loop:
            self._rows(loop.index, f.sub(stop, loop.index))
        return self.frame.finish()

    def _rows(self, number: Value, left: Value | None) -> None:
        """Work out and store the results of a row in each lane."""
        f, e, space = self.f, self.evaluator, self.space
        e.row = space.loop(None)
        e.index.bind(e.row, number)
        e.left = left
        e.given = {}
        mask = None if left is None else first_lanes(f, left, self.plan.lanes)
        with e.masked(mask):
            for p in self.plan.passes:
                for anchor in p.anchors:
                    reduction = Reduction(anchor)
                    value = reduction.result(f, self._reduced(reduction))
                    e.given[anchor] = space.add(e.row, e.index.lane), value
            wide = [n for n in self.kernel.outputs if n.size > self.kernel.space[0]]
            lines = [(node, gathered(f, self._columns(node))) for node in wide]
            self._store_numbers()
            for node, values in lines:
                places = e.lines(self.targets[node], llvm_type(node.dtype))
                for value, (place, inside) in zip(values, places, strict=True):
                    f.store_lanes(value, place, inside)

    def _reduced(self, reduction: Reduction) -> State:
        """The state of all elements of each row."""
        f, e = self.f, self.evaluator
        state: State | None = None
        for c in range(self.plan.length):
            value = e.full(reduction.anchor.sources[0], self._at(reduction.anchor.sources[0], c))
            place = None
            if reduction.name == "argmax":
                place = f.const(c, vector("i64", self.plan.lanes))
            element = reduction.element(f, value, place)
            state = element if state is None else reduction.merge(f, state, element)
        assert state is not None
        return state

    def _columns(self, node: Node) -> list[Value]:
        values = [self.evaluator.full(node, self._at(node, c)) for c in range(self.plan.length)]
        return [one_byte(self.f, value, node.dtype) for value in values]

    def _store_numbers(self) -> None:
        e, space = self.evaluator, self.space
        rows = [n for n in self.kernel.outputs if n.size == self.kernel.space[0]]
        flat = space.add(e.row, e.index.lane)
        at = [reshaped((flat,), (n.size,), n.shape, space) if n.shape else () for n in rows]
        values = [e.evaluate(node, index) for node, index in zip(rows, at, strict=True)]
        for node, value in zip(rows, values, strict=True):
            e.store(self.targets[node], node, e.row, value)

    def _at(self, node: Node, column: int) -> Index:
        e, space, length = self.evaluator, self.space, self.plan.length
        flat: Affine = space.combine(((e.row, length), (e.index.lane, length)), column)
        return reshaped((flat,), (node.size,), node.shape, space)
