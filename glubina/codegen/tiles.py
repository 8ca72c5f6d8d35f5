"""Element-wise kernels that read across their order (transposes): square tiles in registers.

A tile has as many rows as a vector has lanes. What lies across is read as vectors along its own
order, one for each lane, and turned in registers; then each row is worked out and stored as usual.
So both sides touch whole cache lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from glubina.codegen.blocks import first_lanes, transposed
from glubina.codegen.elementwise import one_bit
from glubina.codegen.emitter import Function
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.nest import output_index
from glubina.codegen.target import llvm_type
from glubina.codegen.tile_plan import Tiling
from glubina.codegen.values import Value, vector
from glubina.graph.node import Node
from glubina.schedule.affine import ZERO, Affine, Index, Space, constant

CHUNK = 32
"""Tiles of a row of tiles that one thread works on at a time."""


class TileEvaluator(Evaluator):
    """An evaluator that reads a tile at once where memory lies across."""

    row = 0  # of the tile
    start = ZERO  # the tile's first place along the axis that is read in vectors
    lines = 0  # how many lanes have elements
    reading: Value | None = None  # the rows that exist, where not all do

    def load(self, node: Node, index: Index) -> Value:
        """An element that lies in memory."""
        same, varying = self.index.parts(self.space.flatten(index, node.shape))
        stride = varying.coefficient(self.index.lane.terms[0][0])
        plain = self.guard is None and len(varying.terms) == 1 and abs(stride) > 1
        if not (plain and self.start.terms and same.coefficient(self.start.terms[0][0]) == 1):
            return super().load(node, index)
        first = Affine(same.const - self.row, same.terms)
        key = ("tile", node, first, stride)
        for row in range(self.lanes):
            if self.index.known((*key, row)) is None:
                for r, turned in enumerate(self._tile(node, first, stride)):
                    self.index.keep((*key, r), turned)
        found = self.index.known((*key, self.row))
        assert found is not None
        return one_bit(self.f, found, node.dtype)

    def _tile(self, node: Node, first: Affine, stride: int) -> list[Value]:
        f, scalar = self.f, llvm_type(node.dtype)
        base = f.element(self.pointers[node], self.index.scalar(first), scalar)
        type_ = vector(scalar, self.lanes)
        lines = [
            f.load_lanes(f.element(base, f.i64(line * stride), scalar), type_, self.reading)
            for line in range(self.lines)
        ]
        lines += [f.const(0, type_)] * (self.lanes - len(lines))
        return transposed(f, lines)


class Tiles:
    """One such kernel function being written."""

    def __init__(
        self,
        frame: Frame,
        evaluator: TileEvaluator,
        outputs: Sequence[Node],
        targets: Sequence[Value],
        plan: Tiling,
    ) -> None:
        self.frame, self.evaluator, self.plan = frame, evaluator, plan
        self.f: Function = frame.f
        self.space: Space = evaluator.space
        self.lanes = evaluator.lanes
        self.outputs, self.targets = outputs, targets

    def write(self, leading: int) -> None:
        """Write the loops; `leading`: how many places the first axis has for each of the kernel's.

        The first axis, known at run time only, is the slowest one, then the other outer ones, then
        the tiles across, then pieces of the row of tiles.
        """
        f, plan = self.f, self.plan
        inner, across = plan.extents[-1], plan.across
        length = f.mul(self.frame.number(0), f.i64(leading))
        pieces = -(-inner // (CHUNK * self.lanes))
        counts = [*plan.extents[:-1], pieces]
        counts[across] = -(-counts[across] // self.lanes)
        first = length
        if across == 0:
            first = f.binary("udiv", f.add(length, f.i64(self.lanes - 1)), f.i64(self.lanes))
        start, stop = self.frame.share(f.mul(first, f.i64(math.prod(counts[1:]))), 1)
        with f.loop(start, stop, f.i64(1)) as loop, self.evaluator.index.scope():
            places, rest = [], loop.index
            for count in reversed(counts[1:]):
                places.append(f.binary("urem", rest, f.i64(count)) if count > 1 else f.i64(0))
                rest = f.binary("udiv", rest, f.i64(count)) if count > 1 else rest
            places.append(rest)
            self._across(places[::-1], length)

    def _across(self, places: list[Value], length: Value) -> None:
        """A row of tiles: a whole one, or the last one that has fewer rows."""
        f, across = self.f, self.plan.across
        extent = self.plan.extents[across]
        top = f.mul(places[across], f.i64(self.lanes))
        places = [*places[:across], top, *places[across + 1 :]]
        if across and extent % self.lanes == 0:
            self._row_of_tiles(places, self.lanes, None)
            return
        left = f.sub(length if across == 0 else f.i64(extent), top)
        whole = f.compare("sge", left, f.i64(self.lanes))
        with f.when(whole):
            self._row_of_tiles(places, self.lanes, None)
        with f.rarely(), f.when(f.compare("slt", left, f.i64(self.lanes))):
            rows = extent % self.lanes if across else self.lanes - 1
            self._row_of_tiles(places, rows, left)

    def _row_of_tiles(self, places: list[Value], rows: int, left: Value | None) -> None:
        """The tiles of a row, one after the other; `left`: how many rows there are, if not all."""
        f, e, lanes = self.f, self.evaluator, self.lanes
        inner = self.plan.extents[-1]
        full = inner // lanes * lanes
        with e.index.scope():
            symbols = self._symbols(places[:-1], rows)
            e.start = symbols[self.plan.across]
            e.reading = None if left is None else first_lanes(f, left, lanes)
            first = f.mul(places[-1], f.i64(CHUNK * lanes))
            end = f.minimum(f.add(first, f.i64(CHUNK * lanes)), f.i64(full))
            if full:
                column = self.space.counter(full - lanes, lanes)
                with f.loop(first, end, f.i64(lanes)) as loop:
                    e.index.bind(column, loop.index)
                    self._tile([*symbols, column], rows, lanes, left)
            if full < inner:
                last = f.compare("sge", f.add(first, f.i64(CHUNK * lanes)), f.i64(inner))
                with f.rarely(full > 0), f.when(last):
                    self._tile([*symbols, constant(full)], rows, inner - full, left)

    def _symbols(self, places: list[Value], rows: int) -> list[Affine]:
        """The places of the outer axes as symbols."""
        symbols = []
        for axis, (place, extent) in enumerate(zip(places, self.plan.extents, strict=False)):
            if axis == self.plan.across:
                # As if all rows of the tile were inside: those that are not are not stored.
                high = 1 << 62 if axis == 0 else max(extent - rows, 1)
                symbol = Affine(0, ((self.space.term("loop", 0, high, self.lanes), 1),))
            else:
                symbol = self.space.loop(extent if axis else None)
            self.evaluator.index.bind(symbol, place)
            symbols.append(symbol)
        return symbols

    def _tile(self, symbols: list[Affine], rows: int, lines: int, left: Value | None) -> None:
        """One tile: every row worked out, then every row stored."""
        f, e, across = self.f, self.evaluator, self.plan.across
        inside = None if lines == self.lanes else e.mask_below(f.i64(lines))
        e.lines = lines
        with e.masked(inside), e.index.lanes_in_use(lines):
            results = []
            for row in range(rows):
                e.row = row
                at = list(symbols)
                at[across] = self.space.add(at[across], row)
                start = self.space.flatten(at, self.plan.extents)
                at[-1] = self.space.add(at[-1], e.index.lane)
                for output, target in zip(self.outputs, self.targets, strict=True):
                    index = output_index(output, at, self.plan.extents, self.space)
                    results.append((row, target, output, start, e.evaluate(output, index)))
            for row, target, output, start, value in results:
                if left is None:
                    e.store(target, output, start, value)
                else:
                    with f.when(f.compare("slt", f.i64(row), left)), e.index.scope():
                        e.store(target, output, start, value)
