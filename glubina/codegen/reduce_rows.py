"""Reductions whose innermost axis is reduced: vectors along it, then across their lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glubina.codegen.accumulate import Reduction, State
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import Function
from glubina.codegen.reduce_function import ReduceFunction
from glubina.codegen.reduce_plan import BLOCK, CHAIN, Plan
from glubina.codegen.values import Value, vector
from glubina.schedule.affine import ZERO, Affine

VECTORS = 4
"""Vectors summed side by side, so that one addition need not wait for the one before it."""


def whole(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that works out each result, block after block."""
    r = _Rows(symbol, form, plan)
    with r.kept_loop(r.frame.number(0)) as kept:
        states = r.over_blocks(lambda block: r.block(kept, block))
        r.store_result(kept, states)
    return r.frame.finish()


def partial(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that works out the states of blocks and writes them to the workspaces."""
    r = _Rows(symbol, form, plan, workspaces=True)
    f = r.f
    blocks = r.frame.number(2)
    start, stop = r.frame.share(f.mul(r.frame.number(0), blocks), 1)
    with f.loop(start, stop, f.i64(1)) as loop, r.scopes():
        place = f.binary("udiv", loop.index, blocks)
        kept = r.kept_symbol(place)
        states = r.block(kept, f.sub(loop.index, f.mul(place, blocks)))
        pointers = r.workspaces()
        for reduction, state in zip(r.reductions, states, strict=True):
            for scalar, value in zip(reduction.types, state, strict=True):
                f.store(value, f.element(pointers.pop(0), loop.index, scalar))
    return r.frame.finish()


def combine(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that puts the blocks' states together."""
    r = _Rows(symbol, form, plan, workspaces=True)
    f = r.f
    with r.kept_loop(r.frame.number(0)) as kept:
        first = f.mul(r.plain.index.scalar(r.plain_kept(kept)), r.frame.number(2))

        def read(block: Value) -> list[State]:
            pointers = r.workspaces()
            position = f.add(first, block)
            return [
                [f.load(f.element(pointers.pop(0), position, s), s) for s in reduction.types]
                for reduction in r.reductions
            ]

        r.store_result(kept, r.over_blocks(read))
    return r.frame.finish()


class _Rows(ReduceFunction):
    """One such function being written."""

    def over_blocks(self, states_of: Callable[[Value], list[State]]) -> list[State]:
        """The states of all blocks of a place, put together in their order."""
        f = self.f
        start = [v for r in self.reductions for v in r.start(f, 1, wide=True)]
        with f.loop(f.i64(0), self.frame.number(2), f.i64(1), start) as loop, self.scopes():
            states = states_of(loop.index)
            totals = self.grouped(loop.values)
            merged = [
                r.merge(f, total, r.widened(f, state))
                for r, total, state in zip(self.reductions, totals, states, strict=True)
            ]
            loop.carry([v for state in merged for v in state])
        return self.grouped(loop.results)

    def grouped(self, values: Sequence[Value]) -> list[State]:
        """A flat list of state components as one list per reduction."""
        rest = list(values)
        return [[rest.pop(0) for _ in r.types] for r in self.reductions]

    # -- one block ------------------------------------------------------------------------------

    def block(self, kept: Affine, block: Value) -> list[State]:
        """The states of one block of a kept place."""
        f, plan = self.f, self.plan
        self.vectors = self._side_by_side()
        start = self._fresh()
        if plan.inner is None:
            values = self._run(kept, block, start)
        elif plan.lines:
            first = f.mul(block, f.i64(plan.lines))
            last = f.minimum(f.add(first, f.i64(plan.lines)), self.frame.number(1))
            inner = plan.inner

            def line_after(index: Value, values: list[Value]) -> list[Value]:
                return self._line(kept, self.reduced_symbol(index), inner, None, values)

            steps = -(-inner // (self.lanes * self.vectors))
            chain = max(1, CHAIN // max(1, steps))
            values = self.in_chains((first, last, 1), chain, start, start, self._merged, line_after)
        else:
            chunks = f.i64(plan.chunks)
            line_value = f.binary("udiv", block, chunks)
            chunk = f.sub(block, f.mul(line_value, chunks))
            line = self.reduced_symbol(line_value)
            values = self._line(kept, line, plan.inner, chunk, start)
        return [self._across(r, values) for r in self.reductions]

    def _fresh(self) -> list[Value]:
        """The states of no element."""
        return [
            v
            for r in self.reductions
            for _ in range(self.vectors)
            for v in r.start(self.f, self.lanes)
        ]

    def _merged(self, before: list[Value], after: list[Value]) -> list[Value]:
        """Two lists of states put together."""
        merged: list[Value] = []
        for r in self.reductions:
            for _ in range(self.vectors):
                at = slice(len(merged), len(merged) + len(r.types))
                merged += r.merge(self.f, before[at], after[at])
        return merged

    def _side_by_side(self) -> int:
        inner = self.plan.inner
        most = VECTORS if len(self.reductions) == 1 else 2
        return most if inner is None else max(1, min(most, inner // self.lanes))

    def _across(self, reduction: Reduction, values: list[Value]) -> State:
        """The vectors of one reduction put together, and their lanes."""
        position = sum(len(r.types) for r in self.reductions[: self.reductions.index(reduction)])
        size = len(reduction.types)
        own = values[position * self.vectors : (position + size) * self.vectors]
        states = [own[i : i + size] for i in range(0, len(own), size)]
        return reduction.together(self.f, states)

    def _run(self, kept: Affine, block: Value, start: list[Value]) -> list[Value]:
        """A block of a single line whose length is known at run time only."""
        f, lanes = self.f, self.lanes
        first = f.mul(block, f.i64(BLOCK))
        last = f.minimum(f.add(first, f.i64(BLOCK)), self.frame.number(1))
        step = lanes * self.vectors
        column = self.space.loop(None, step)
        end = f.sub(last, f.i64(step - 1))

        def step_after(index: Value, values: list[Value]) -> list[Value]:
            self.vectorised.index.bind(column, index)
            return self._step(kept, ZERO, column, values, self.vectors)

        values = self.in_chains((first, end, step), CHAIN, start, start, self._merged, step_after)
        done = f.binary("and", f.sub(last, first), f.i64(-step))
        rest = self.space.loop(None, lanes)
        with f.loop(f.add(first, done), last, f.i64(lanes), values) as tail, self.scopes():
            self.vectorised.index.bind(rest, tail.index)
            mask = self.mask(f.sub(last, tail.index))
            with f.rarely():
                tail.carry(self._step(kept, ZERO, rest, tail.values, 1, mask))
        return tail.results

    def _line(
        self, kept: Affine, line: Affine, inner: int, chunk: Value | None, start: list[Value]
    ) -> list[Value]:
        """One line of known length, or one chunk of it."""
        f = self.f
        step = self.lanes * self.vectors
        full = inner // step * step
        first, end = f.i64(0), f.i64(full)
        if chunk is not None:
            first = f.mul(chunk, f.i64(BLOCK))
            end = f.minimum(f.add(first, f.i64(BLOCK)), end)
        values = start
        if full == step and chunk is None:
            values = self._step(kept, line, ZERO, values, self.vectors)
        elif full:
            column = self.space.counter(full - step, step)

            def step_after(index: Value, values: list[Value]) -> list[Value]:
                self.vectorised.index.bind(column, index)
                return self._step(kept, line, column, values, self.vectors)

            if full <= step * CHAIN:
                with f.loop(first, end, f.i64(step), values) as loop, self.scopes():
                    loop.carry(step_after(loop.index, loop.values))
                values = loop.results
            else:
                span = first, end, step
                fresh = self._fresh()
                values = self.in_chains(span, CHAIN, values, fresh, self._merged, step_after)
        if full == inner:
            return values
        if chunk is None:
            return self._rest(kept, line, full, inner, values)
        # The last chunk has the rest: a loop that runs once or not at all.
        is_last = f.compare("eq", chunk, f.i64(self.plan.chunks - 1))
        times = f.convert("zext", is_last, "i64")
        with f.loop(f.i64(0), times, f.i64(1), values) as once, self.scopes():
            once.carry(self._rest(kept, line, full, inner, once.values))
        return once.results

    def _rest(
        self, kept: Affine, line: Affine, position: int, inner: int, values: list[Value]
    ) -> list[Value]:
        hot = position == 0
        while position < inner:
            left = min(inner - position, self.lanes)
            mask = None if left == self.lanes else self.mask(self.f.i64(left))
            at = Affine(position, ())
            with self.f.rarely(not hot):
                values = self._step(kept, line, at, values, 1, mask, left)
            position += self.lanes
        return values

    def _step(
        self,
        kept: Affine,
        line: Affine,
        column: Affine,
        values: Sequence[Value],
        vectors: int,
        mask: Value | None = None,
        real: int | None = None,
    ) -> list[Value]:
        """Add `vectors` vectors of elements to the states."""
        f, e, space = self.f, self.vectorised, self.space
        following = list(values)
        with e.masked(mask), e.index.lanes_in_use(real):
            for v in range(vectors):
                inner = space.add(space.add(column, v * self.lanes), e.index.lane)
                index = self.plan.element(space, kept, line, inner)
                position = 0
                for reduction in self.reductions:
                    size = len(reduction.types)
                    at = position + v * size
                    state = self._element(reduction, index, inner)
                    if mask is not None:
                        state = reduction.masked(f, state, mask)
                    following[at : at + size] = reduction.merge(f, following[at : at + size], state)
                    position += size * self.vectors
        return following

    def _element(self, reduction: Reduction, index: tuple[Affine, ...], inner: Affine) -> State:
        e = self.vectorised
        value = e.full(reduction.anchor.sources[0], index)
        if reduction.name != "argmax":
            return reduction.element(self.f, value, None)
        number = (e.index.vector if self.lanes > 1 else e.index.scalar)(inner)
        if number.type != vector("i64", self.lanes):
            number = self.f.convert("zext", number, "i64")
        return reduction.element(self.f, value, number)
