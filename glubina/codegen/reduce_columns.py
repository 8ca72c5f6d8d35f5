"""Reductions whose innermost axis is kept: vectors along it, one row after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glubina.codegen.accumulate import State
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import Function
from glubina.codegen.reduce_function import ReduceFunction
from glubina.codegen.reduce_plan import BLOCK_ROWS, CHAIN, Plan
from glubina.codegen.values import Value, vector
from glubina.schedule.affine import Affine
from glubina.schedule.views import reshaped

VECTORS = 4
"""Vectors of results in one tile."""

States = list[list[State]]  # per vector, per reduction


def whole(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that works out each tile of results, block after block."""
    c = _Columns(symbol, form, plan)
    with c.share_of_tiles(None) as (kept, tile, _):
        c.each_width(tile, lambda first, vectors, real: c.whole_tile(kept, first, vectors, real))
    return c.frame.finish()


def partial(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that works out the states of blocks and writes them to the workspaces."""
    c = _Columns(symbol, form, plan, workspaces=True)
    blocks = c.frame.number(2)
    with c.share_of_tiles(blocks) as (kept, tile, block):
        assert block is not None
        c.each_width(
            tile,
            lambda first, vectors, real: c.write_block(kept, first, vectors, real, block),
        )
    return c.frame.finish()


def combine(symbol: str, form: Structure, plan: Plan) -> Function:
    """A function that puts the blocks' states together."""
    c = _Columns(symbol, form, plan, workspaces=True)
    with c.share_of_tiles(None) as (kept, tile, _):
        c.each_width(tile, lambda first, vectors, real: c.combine_tile(kept, first, vectors, real))
    return c.frame.finish()


class _Columns(ReduceFunction):
    """One such function being written."""

    # -- tiles ----------------------------------------------------------------------------------

    @contextmanager
    def share_of_tiles(self, blocks: Value | None) -> Iterator[tuple[Affine, Value, Value | None]]:
        """This thread's (kept place, tile of columns, block of rows).

        The tiles of a block follow one another, so that memory is passed over in its order.
        """
        f = self.f
        tiles = f.i64(self.plan.tiles)
        total = f.mul(self.frame.number(0), tiles)
        if blocks is not None:
            total = f.mul(total, blocks)
        start, stop = self.frame.share(total, 1)
        with f.loop(start, stop, f.i64(1)) as loop, self.scopes():
            place, block = f.binary("udiv", loop.index, tiles), None
            tile = f.sub(loop.index, f.mul(place, tiles))
            if blocks is not None:
                rest = f.binary("udiv", place, blocks)
                place, block = rest, f.sub(place, f.mul(rest, blocks))
            yield self.kept_symbol(place), tile, block

    def each_width(self, tile: Value, write: Callable[[Affine, int, int], None]) -> None:
        """Write the code for full tiles, and that for the last, narrower one.

        `write(first column, vectors, lanes in use in the last vector)`.
        """
        f, plan, step = self.f, self.plan, VECTORS * self.lanes
        full = plan.width // step
        last = plan.width - full * step
        if full:
            is_full = f.compare("slt", tile, f.i64(full))
            with f.when(is_full), self.scopes():
                number = self.space.loop(full)
                self.vectorised.index.bind(number, tile)
                write(self.space.scale(number, step), VECTORS, self.lanes)
        if last:
            is_last = f.compare("sge", tile, f.i64(full))
            with f.when(is_last), self.scopes():
                vectors = -(-last // self.lanes)
                write(Affine(full * step, ()), vectors, last - (vectors - 1) * self.lanes)

    @contextmanager
    def vector_context(self, vectors: int, v: int, real: int) -> Iterator[None]:
        """The last vector of a tile may have lanes that are not in use."""
        e = self.vectorised
        partly = v == vectors - 1 and real < self.lanes
        mask = self.mask(self.f.i64(real)) if partly else None
        with e.masked(mask), e.index.lanes_in_use(real if partly else None):
            yield

    # -- a tile ---------------------------------------------------------------------------------

    def whole_tile(self, kept: Affine, first: Affine, vectors: int, real: int) -> None:
        """Work out all rows of a tile, and store its results."""
        self._finish(
            kept, first, vectors, real,
            self._over_blocks(vectors, lambda b: self._block(kept, first, vectors, real, b)),
        )  # fmt: skip

    def combine_tile(self, kept: Affine, first: Affine, vectors: int, real: int) -> None:
        """Put together the states of a tile's blocks, and store its results."""

        def read(block: Value) -> States:
            return self._exchange(kept, first, vectors, real, block, None)

        self._finish(kept, first, vectors, real, self._over_blocks(vectors, read))

    def write_block(
        self, kept: Affine, first: Affine, vectors: int, real: int, block: Value
    ) -> None:
        """Work out one block of a tile, and write its state to the workspaces."""
        states = self._block(kept, first, vectors, real, block)
        self._exchange(kept, first, vectors, real, block, states)

    def _over_blocks(self, vectors: int, states_of: Callable[[Value], States]) -> States:
        f = self.f
        start = [
            v for _ in range(vectors) for r in self.reductions
            for v in r.start(f, self.lanes, wide=True)
        ]  # fmt: skip
        with f.loop(f.i64(0), self.frame.number(2), f.i64(1), start) as loop, self.scopes():
            states = states_of(loop.index)
            totals = self._grouped(loop.values, vectors)
            loop.carry([
                value
                for total, state in zip(totals, states, strict=True)
                for r, a, b in zip(self.reductions, total, state, strict=True)
                for value in r.merge(f, a, r.widened(f, b))
            ])  # fmt: skip
        return self._grouped(loop.results, vectors)

    def _grouped(self, values: list[Value], vectors: int) -> States:
        rest = list(values)
        return [[[rest.pop(0) for _ in r.types] for r in self.reductions] for _ in range(vectors)]

    def _block(self, kept: Affine, first: Affine, vectors: int, real: int, block: Value) -> States:
        """The states of one block of rows."""
        f, e, space = self.f, self.vectorised, self.space
        start = [v for _ in range(vectors) for r in self.reductions for v in r.start(f, self.lanes)]
        top = f.mul(block, f.i64(BLOCK_ROWS))
        bottom = f.minimum(f.add(top, f.i64(BLOCK_ROWS)), self.frame.number(1))

        def after(number: Value, values: list[Value]) -> list[Value]:
            row = self.reduced_symbol(number)
            following: list[Value] = []
            states = self._grouped(values, vectors)
            for v, state in enumerate(states):
                with self.vector_context(vectors, v, real):
                    column = space.add(space.add(first, v * self.lanes), e.index.lane)
                    index = self.plan.element(space, kept, row, column)
                    for r, old in zip(self.reductions, state, strict=True):
                        value = e.full(r.anchor.sources[0], index)
                        place = f.splat(number, self.lanes) if r.name == "argmax" else None
                        following += r.merge(f, old, r.element(f, value, place))
            return following

        def merged(before: list[Value], after: list[Value]) -> list[Value]:
            pairs = zip(self._grouped(before, vectors), self._grouped(after, vectors), strict=True)
            return [
                value
                for olds, news in pairs
                for r, a, b in zip(self.reductions, olds, news, strict=True)
                for value in r.merge(f, a, b)
            ]

        values = self.in_chains((top, bottom, 1), CHAIN, start, start, merged, after)
        return self._grouped(values, vectors)

    def _exchange(
        self,
        kept: Affine,
        first: Affine,
        vectors: int,
        real: int,
        block: Value,
        states: States | None,
    ) -> States:
        """Write the states of a block to the workspaces, or read them where there are none."""
        f, e = self.f, self.vectorised
        width = f.i64(self.plan.width)
        row = f.add(f.mul(e.index.scalar(kept), self.frame.number(2)), block)
        start = f.add(f.mul(row, width), e.index.scalar(first))
        found: States = []
        for v in range(vectors):
            with self.vector_context(vectors, v, real):
                position = f.add(start, f.i64(v * self.lanes))
                pointers = self.workspaces()
                found.append([])
                for i, r in enumerate(self.reductions):
                    state = []
                    for j, scalar in enumerate(r.types):
                        address = f.element(pointers.pop(0), position, scalar)
                        type_ = vector(scalar, self.lanes)
                        if states is not None:
                            f.store_lanes(states[v][i][j], address, e.mask)
                        else:
                            state.append(f.load_lanes(address, type_, e.mask))
                    found[-1].append(state)
        return found

    def _finish(self, kept: Affine, first: Affine, vectors: int, real: int, states: States) -> None:
        """Evaluate and store the outputs of a tile."""
        f, e, space = self.f, self.vectorised, self.space
        stores = []
        for v, state in enumerate(states):
            with self.vector_context(vectors, v, real):
                start = space.combine(((kept, self.plan.width), (first, 1)), v * self.lanes)
                flat = space.add(start, e.index.lane)
                for r, components in zip(self.reductions, state, strict=True):
                    e.given[r.anchor] = flat, r.result(f, components)
                for output, target in zip(self.kernel.outputs, self.targets, strict=True):
                    index = reshaped((flat,), (output.size,), output.shape, space)
                    value = e.evaluate(output, index if output.shape else ())
                    stores.append((target, output, start, value, e.mask))
        for target, output, start, value, mask in stores:
            with e.masked(mask):
                e.store(target, output, start, value)
