"""Element-wise kernels (and pooling): one loop nest over the outputs, vectors along the last axis.

Threads take contiguous parts of the elements, or of the rows where rows differ. Several vectors
are worked out before any is stored, and the last, incomplete one is masked. Kernels that read
across their order run in tiles (`tiles`).
"""

from __future__ import annotations

import itertools
from math import prod

import numpy as np

from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import Function, module
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.nest import inner_extent
from glubina.codegen.target import Target
from glubina.codegen.tile_plan import tiling
from glubina.codegen.tiles import TileEvaluator, Tiles
from glubina.codegen.values import Value
from glubina.graph.node import Node
from glubina.graph.philox import GROUP
from glubina.schedule.affine import Affine, Space
from glubina.schedule.views import reshaped, steady_inputs

LINE = 64
"""Threads' parts of a flat loop begin at multiples of so many elements."""

FEW_CHANNELS = 3
"""From so many on, an innermost axis that cannot be joined with the next is a loop of its own."""

LIGHT = 12
"""The cost of the operations on an element up to which this holds."""

MOST_PARTS = 8
"""The rows of a concat that are worked out together, at most."""

BLOCK = 4096
"""Elements of a long row that one thread works on at a time."""


def lower(form: Structure, target: Target) -> Lowering:
    """The native function of an element-wise or pooling kernel."""
    kernel = form.kernel
    symbol = f"map_{form.key}"
    count = len(kernel.inputs) + len(kernel.outputs)
    leading = kernel.space[0] if kernel.space else 1
    stage = Stage(symbol, tuple(range(count)), (leading, *form.arguments()))
    size = kernel.outputs[0].size
    flops = size * sum(n.op.cost for n in form.order if n.dtype.kind == "f")
    return Lowering(form.key, (stage,), (), lambda: module([write(symbol, form, target)]), flops)


def lanes_for(form: Structure, target: Target) -> int:
    """Elements per vector: a register of the widest output, but no wider than of 32 bits."""
    size = max(node.dtype.itemsize for node in form.kernel.outputs)
    return target.vector_bits // 8 // min(max(size, 4), 8)


def vectors_for(form: Structure, lanes: int) -> int:
    """How many vectors are in work at once: more where little is done with each."""
    if any(node.op.name == "random_bits" for node in form.order):
        return max(1, GROUP // lanes)
    cost = sum(node.op.cost for node in form.order)
    if any(node.op.family == "window" for node in form.order):
        return 1
    return 4 if cost <= 12 else 2 if cost <= 40 else 1


def make_evaluator(
    frame: Frame,
    form: Structure,
    space: Space,
    lanes: int,
    first: int,
    kind: type[Evaluator] = Evaluator,
) -> Evaluator:
    """An evaluator (of a kind) whose inputs are the frame's first buffers.

    first: the position among the frame's numbers where the scalars of the structure begin.
    """
    pointers = {node: frame.buffer(i) for i, node in enumerate(form.kernel.inputs)}
    constants = frame.constants(form.numbers, first)
    steady = steady_inputs(form.kernel)
    evaluator = kind(frame, space, lanes, pointers, constants, steady)
    evaluator.indexed = frozenset(
        (n.sources[0], n.attributes) for n in form.order if n.op.name == "pool_index"
    )
    return evaluator


def write(symbol: str, form: Structure, target: Target) -> Function:
    """The native function of the kernel."""
    return _Map(symbol, form, target).function()


def _parts(form: Structure, inner: int, lanes: int) -> int:
    """How many rows of `inner` elements are worked out together: those that a concat joins.

    In code for one row of any of its parts, each part's expression would be worked out and one of
    them selected; rows that stand side by side know theirs, and share what they have in common.
    So do pixels of a few channels, to which windows of pooling hand their gradients.
    """
    rows = prod(form.kernel.space[1:]) // inner
    for node in form.order:
        if node.op.name != "concat" or node.size != form.kernel.outputs[0].size:
            continue
        axis, count = node.attributes.axis, len(node.sources)
        whole = node.shape[axis] == count and prod(node.shape[axis + 1 :]) == inner
        if axis and whole and count <= MOST_PARTS and rows % count == 0:
            return count
    count = max((_across_windows(node, inner) for node in form.order), default=1)
    return count if inner < lanes and rows % count == 0 else 1


def _across_windows(node: Node, inner: int) -> int:
    """How many pixels of a line are worked out together where windows lie side by side.

    They read the same window's gradient, and know which place in it is theirs.
    """
    if node.op.name != "pool_scatter" or node.shape[-1] != inner:
        return 1
    a, extent = node.attributes.geometry, node.shape[-2]
    if a.window != a.stride or any(pads != (0, 0) for pads in a.padding):
        return 1
    counts = range(a.stride[-1], MOST_PARTS + 1, a.stride[-1])
    return max((count for count in counts if extent % count == 0), default=1)


class _Map:
    """One element-wise kernel function being written."""

    def __init__(self, symbol: str, form: Structure, target: Target) -> None:
        self.form = form
        self.kernel = kernel = form.kernel
        self.lanes = lanes_for(form, target)
        self.vectors = vectors_for(form, self.lanes)
        self.parts, self.apart = 1, 0  # rows that are worked out together, and their distance
        self.frame = Frame(symbol, len(kernel.inputs) + len(kernel.outputs))
        self.f = self.frame.f
        self.space = Space()
        self.tiling = tiling(form, self.lanes)
        kind = Evaluator if self.tiling is None else TileEvaluator
        self.evaluator = make_evaluator(self.frame, form, self.space, self.lanes, 1, kind)
        count = len(kernel.inputs)
        self.targets = [self.frame.buffer(count + i) for i in range(len(kernel.outputs))]

    def function(self) -> Function:
        """Write it."""
        if self.tiling is not None:
            assert isinstance(self.evaluator, TileEvaluator)
            leading = self.tiling.extents[0] // max(1, self.kernel.space[0])
            tiles = Tiles(
                self.frame, self.evaluator, self.kernel.outputs, self.targets, self.tiling
            )
            tiles.write(leading)
            return self.frame.finish()
        kernel, order = self.kernel, self.form.order
        # Gathered lanes cost more than several masked vectors, unless much is done with each.
        light = sum(node.op.cost for node in order) <= LIGHT
        if light or any(node.op.family == "window" for node in order):
            shortest = min(FEW_CHANNELS, self.lanes // 2)
        else:
            shortest = self.lanes // 2
        inner = inner_extent(
            kernel.outputs, frozenset(kernel.inputs), kernel.space, self.lanes, shortest
        )
        if inner is None:
            self._flat()
        else:
            self._rows(inner)
        return self.frame.finish()

    # -- one loop over everything ---------------------------------------------------------------

    def _flat(self) -> None:
        f = self.f
        rest = int(np.prod(self.kernel.space[1:], dtype=np.int64))
        total = f.mul(self.frame.number(0), f.i64(rest))
        step = self.lanes * self.vectors
        start, stop = self.frame.share(total, max(LINE, step))
        last = f.sub(stop, f.i64(step - 1))
        whole = self.space.loop(None, step)
        with f.loop(start, last, f.i64(step)) as loop:
            self._body(whole, loop.index, self.vectors)
        # The number of full steps decides where the rest begins.
        done = f.binary("and", f.maximum(f.sub(stop, start), f.i64(0)), f.i64(-step))
        short = self.space.loop(None, self.lanes)
        with f.rarely(), f.loop(f.add(start, done), stop, f.i64(self.lanes)) as loop:
            self._body(short, loop.index, 1, self.evaluator.mask_below(f.sub(stop, loop.index)))

    # -- rows -----------------------------------------------------------------------------------

    def _rows(self, inner: int) -> None:
        f = self.f
        rest = int(np.prod(self.kernel.space[1:], dtype=np.int64))
        blocks = -(-inner // BLOCK) if inner >= 2 * BLOCK else 1
        if blocks == 1:
            self.parts, self.apart = _parts(self.form, inner, self.lanes), inner
        total = f.mul(self.frame.number(0), f.i64(rest // inner // self.parts * blocks))
        start, stop = self.frame.share(total, 1)
        with f.loop(start, stop, f.i64(1)) as loop, self.evaluator.index.scope():
            item = self.space.loop(None)
            self.evaluator.index.bind(item, loop.index)
            row = self.space.scale(self.space.floordiv(item, blocks), inner * self.parts)
            self._row(row, inner, self.space.mod(item, blocks) if blocks > 1 else None)

    def _row(self, row: Affine, inner: int, block: Affine | None) -> None:
        """The elements of one row (or of as many as there are parts), or of one block of it."""
        f, lanes = self.f, self.lanes
        vectors = self._fitting(inner, inner if block is None else BLOCK)
        step = lanes * vectors
        full = inner // step * step
        first, end = f.i64(0), f.i64(full)
        if block is not None:
            first = self.evaluator.index.scalar(self.space.scale(block, BLOCK))
            end = f.minimum(f.add(first, f.i64(BLOCK)), end)
        if full == step and block is None:
            self._body(row, None, vectors)
        elif full:
            column = self.space.counter(full - step, step)
            with f.loop(first, end, f.i64(step)) as loop:
                self._body(self.space.add(row, column), loop.index, vectors, variable=column)
        if full < inner:
            if block is None:
                self._rest(row, full, inner)
            else:
                number = self.evaluator.index.scalar(block)
                is_last = f.compare("eq", number, f.i64((inner - 1) // BLOCK))
                with f.when(is_last):
                    self._rest(row, full, inner)

    def _rest(self, row: Affine, position: int, inner: int) -> None:
        hot = position == 0
        while position < inner:
            left = inner - position
            mask = None if left >= self.lanes else self.evaluator.mask_below(self.f.i64(left))
            at = self.space.add(row, position)
            with self.f.rarely(not hot):
                self._body(at, None, 1, mask, min(left, self.lanes))
            position += self.lanes

    def _fitting(self, inner: int, block: int) -> int:
        """As many vectors at once as leave no rest, but for less than a vector, in any block."""
        counts = inner // self.lanes, block // self.lanes
        choices = range(self.vectors, 0, -1)
        return next((v for v in choices if all(n and n % v == 0 for n in counts)), 1)

    # -- elements -------------------------------------------------------------------------------

    def _body(
        self,
        start: Affine,
        value: Value | None,
        vectors: int,
        mask: Value | None = None,
        real: int | None = None,
        variable: Affine | None = None,
    ) -> None:
        """Evaluate and store `vectors` vectors from the row-major position `start` on.

        So it is in each of the rows that are worked out together.
        """
        e, space = self.evaluator, self.space
        if value is not None:
            e.index.bind(variable or start, value)
        with e.masked(mask), e.index.lanes_in_use(real):
            results = []
            for part, v in itertools.product(range(self.parts), range(vectors)):
                at = space.add(start, part * self.apart + v * self.lanes)
                flat = space.add(at, e.index.lane)
                for output, target in zip(self.kernel.outputs, self.targets, strict=True):
                    index = reshaped((flat,), (output.size,), output.shape, space)
                    value = e.evaluate(output, index if output.shape else ())
                    results.append((target, output, at, value))
            for target, output, at, value in results:
                e.store(target, output, at, value)
