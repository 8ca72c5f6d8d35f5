"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4x4, 3x3).

    y = Aᵀ [Σ_i (G w_i Gᵀ) ⊙ (Bᵀ x_i B)] A        for each tile of 4 x 4 outputs

(Lavin and Gray, 2015; here with the points 0, ±NEAR, ±FAR, ∞). One stage transforms the filter. In
the next each item is a number of tiles, counted through all images: their 6 x 6 inputs are
transformed into 36 matrices [tile, input channel], which are multiplied by the filter's in register
blocks of tiles x output channels, and the products are transformed into outputs. Both live in
memory of the thread's own that stays in the second-level cache.

The error is below 1e-6 of the tile's Σ|x||w|, two to three times that of a direct kernel. What is
not finite spoils its whole tile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block
from glubina.codegen.emitter import Function, Value, vector
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.packing import count_value
from glubina.codegen.winograd_plan import INSIDE, NUMBERS, POINTS, SIDE, WinogradPlan

NEAR, FAR = 0.6875, 1.375
"""The points: with a quarter of the error of the usual 1 and 2, their powers exact in float32."""

KIND = "float"

# -- transforms ---------------------------------------------------------------------------------


def _scaled(f: Function, a: Value, factor: float) -> Value:
    return f.fmul(a, f.const(factor, a.type))


def _plus(f: Function, a: Value, factor: float, b: Value) -> Value:
    """a + factor·b."""
    return f.fma(b, f.const(factor, b.type), a)


def _filter_line(f: Function, g: Sequence[Value]) -> list[Value]:
    """G g: the polynomial's values at the points, each over its distances to the others."""
    found = [_scaled(f, g[0], 1 / (NEAR * FAR) ** 2)]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        weight = 1 / (2 * point**2 * (point**2 - other**2))
        even = _plus(f, _scaled(f, g[0], weight), weight * point**2, g[2])
        found += [_plus(f, even, sign * weight * point, g[1]) for sign in (1, -1)]
    return [*found, g[2]]


def _input_line(f: Function, d: Sequence[Value]) -> list[Value]:
    """Bᵀ d."""
    product, total = (NEAR * FAR) ** 2, NEAR**2 + FAR**2
    first, last = (_plus(f, _plus(f, d[i + 4], -total, d[i + 2]), product, d[i]) for i in (0, 1))
    found = [first]
    for point, other in ((NEAR, FAR), (FAR, NEAR)):
        even, odd = (_plus(f, d[i + 2], -(other**2), d[i]) for i in (2, 1))
        found += [_plus(f, even, sign * point, odd) for sign in (1, -1)]
    return [*found, last]


def _output_line(f: Function, m: Sequence[Value]) -> list[Value]:
    """Aᵀ m."""
    even = f.fadd(m[1], m[2]), f.fadd(m[3], m[4])
    odd = f.fsub(m[1], m[2]), f.fsub(m[3], m[4])

    def weighted(pair: tuple[Value, Value], power: int, start: Value | None = None) -> Value:
        factor = FAR**power
        far = _plus(f, start, factor, pair[1]) if start else _scaled(f, pair[1], factor)
        return _plus(f, far, NEAR**power, pair[0])

    return [
        f.fadd(f.fadd(m[0], even[0]), even[1]), weighted(odd, 1), weighted(even, 2),
        weighted(odd, 3, m[5]),
    ]  # fmt: skip


Line = Callable[[Function, Sequence[Value]], list[Value]]


def _square(
    f: Function, line: Line, size: int, load: Callable[[int, int], Value]
) -> list[list[Value]]:
    """L d Lᵀ of a square of vectors; load(i, j) gives d."""
    columns = [line(f, [load(i, j) for i in range(size)]) for j in range(size)]
    return [line(f, row) for row in zip(*columns, strict=True)]


# -- functions ----------------------------------------------------------------------------------


def emit_filter(name: str, plan: WinogradPlan) -> Function:
    """The filter, transformed: [panel, point, input channel, output channel].

    Buffers: the filter, the result.
    """
    frame = Frame(name, 2)
    f, type_ = frame.f, vector(KIND, plan.lanes)
    w, to = frame.buffer(0), frame.buffer(1)
    start, stop = frame.share(f.i64(plan.cin), 1)
    tap = plan.cin * plan.cout
    one = f.i64(1)
    with (
        f.loop(f.i64(0), f.i64(plan.panels * plan.vectors), one) as part,
        f.loop(start, stop, one) as i,
    ):
        channel = f.mul(part.index, f.i64(plan.lanes))
        left = f.sub(f.i64(plan.cout), channel)  # beyond the last channel are zeros
        mask = first_lanes(f, left, plan.lanes) if plan.cout % plan.width else None
        source = f.element(w, f.add(f.mul(i.index, f.i64(plan.cout)), channel), KIND)
        panel, v = (f.binary(how, part.index, f.i64(plan.vectors)) for how in ("udiv", "urem"))
        spot = f.add(f.mul(panel, f.i64(POINTS * plan.filter_step)), f.mul(v, f.i64(plan.lanes)))
        there = f.element(to, f.add(spot, f.mul(i.index, f.i64(plan.width))), KIND)

        def load(y: int, x: int) -> Value:
            return f.load_lanes(f.element(source, f.i64((3 * y + x) * tap), KIND), type_, mask)

        for y, row in enumerate(_square(f, _filter_line, 3, load)):
            for x, value in enumerate(row):
                f.store(value, f.element(there, f.i64((SIDE * y + x) * plan.filter_step), KIND))
    return frame.finish()


def emit_winograd(
    name: str, plan: WinogradPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """The convolution with a transformed filter.

    Buffers: the epilogue's; of all `buffers` the last three are x, the filter, the slots.
    """
    return _Emit(Frame(name, buffers), plan, epilogue, buffers).function()


class _Emit:
    """Writes the second stage."""

    def __init__(
        self, frame: Frame, plan: WinogradPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
    ) -> None:
        self.frame, self.f, self.plan = frame, frame.f, plan
        f = self.f
        self.type = vector(KIND, plan.lanes)
        self.zeros = alloca(f, self.type, 1)
        self.scratch = alloca(f, self.type, INSIDE**2 * plan.vectors)
        f.store(f.const(0, self.type), self.zeros)
        self.x, self.w, slots = (frame.buffer(buffers - 3 + i) for i in range(3))
        read = [frame.number(i) for i in range(NUMBERS)]
        self.total, self.per = read[1:3]
        self.extents, self.outputs = read[3:5], read[5:7]
        self.counts, self.pads = read[7:9], read[9:11]
        frame.threads = f.minimum(frame.threads, read[0])
        self.inputs = f.element(slots, f.mul(frame.thread, f.i64(plan.slot)), KIND)
        self.products = f.element(self.inputs, f.i64(POINTS * plan.input_step), KIND)
        self.finish = epilogue(frame)
        self.finish.prepare(f)

    def function(self) -> Function:
        """This thread's share of the items, one after another."""
        f, plan = self.f, self.plan
        items = f.binary("udiv", f.sub(f.add(self.total, self.per), f.i64(1)), self.per)
        start, stop = self.frame.share(items, 1)
        with f.loop(start, stop, f.i64(1)) as item:
            first = f.mul(item.index, self.per)
            count = f.minimum(self.per, f.sub(self.total, first))
            with f.loop(f.i64(0), count, f.i64(1)) as tile:
                self._input(tile.index, *self._place(f.add(first, tile.index)))
            with f.loop(f.i64(0), f.i64(plan.panels), f.i64(1)) as panel:
                self._multiply(panel.index, count)
                channel = f.mul(panel.index, f.i64(plan.width))
                masks = self._masks(channel)
                with f.loop(f.i64(0), count, f.i64(1)) as tile:
                    place = self._place(f.add(first, tile.index))
                    self._output(tile.index, place, channel, masks)
        return self.frame.finish()

    def _place(self, tile: Value) -> tuple[Value, Value, Value]:
        """The image of a tile, and the first of its outputs."""
        f, (down, across) = self.f, self.counts
        line, column = f.binary("udiv", tile, across), f.binary("urem", tile, across)
        image, row = f.binary("udiv", line, down), f.binary("urem", line, down)
        return image, f.mul(row, f.i64(INSIDE)), f.mul(column, f.i64(INSIDE))

    def _masks(self, channel: Value) -> list[Value | None]:
        """Which lanes of a panel's vectors are output channels."""
        f, plan = self.f, self.plan
        if plan.cout % plan.width == 0:
            return [None] * plan.vectors
        left = f.sub(f.i64(plan.cout), channel)
        offsets = [f.i64(v * plan.lanes) for v in range(plan.vectors)]
        return [first_lanes(f, f.sub(left, offset), plan.lanes) for offset in offsets]

    # -- inputs ---------------------------------------------------------------------------------

    def _input(self, tile: Value, n: Value, row: Value, column: Value) -> None:
        """Transform a tile's inputs; beside the image they are zeros."""
        f, plan, (height, width) = self.f, self.plan, self.extents
        top, left = f.sub(row, self.pads[0]), f.sub(column, self.pads[1])
        at = f.add(f.mul(f.add(f.mul(n, height), top), width), left)
        start = f.mul(at, f.i64(plan.cin))
        there = f.element(self.inputs, f.mul(tile, f.i64(plan.depth)), KIND)
        inside = [
            [f.compare("ult", f.add(first, f.i64(i)), extent) for i in range(SIDE)]
            for first, extent in ((top, height), (left, width))
        ]
        full = plan.cin // plan.lanes * plan.lanes
        with f.loop(f.i64(0), f.i64(full), f.i64(plan.lanes)) as channel:
            self._input_vector(f.add(start, channel.index), channel.index, there, inside, None)
        if full < plan.cin:
            mask = first_lanes(f, f.i64(plan.cin - full), plan.lanes)
            self._input_vector(f.add(start, f.i64(full)), f.i64(full), there, inside, mask)

    def _input_vector(
        self, start: Value, channel: Value, there: Value, inside: list[list[Value]],
        mask: Value | None,
    ) -> None:  # fmt: skip
        """A vector of channels; what would be read outside the image is read from zeros."""
        f, plan = self.f, self.plan
        line = f.mul(self.extents[1], f.i64(plan.cin))
        lines = [f.add(start, f.mul(f.i64(i), line)) for i in range(SIDE)]

        def load(i: int, j: int) -> Value:
            here = f.element(self.x, f.add(lines[i], f.i64(j * plan.cin)), KIND)
            exists = f.binary("and", inside[0][i], inside[1][j])
            return f.load_lanes(f.select(exists, here, self.zeros), self.type, mask)

        for i, row in enumerate(_square(f, _input_line, SIDE, load)):
            for j, value in enumerate(row):
                spot = f.add(channel, f.i64((SIDE * i + j) * plan.input_step))
                f.store(value, f.element(there, spot, KIND))

    # -- products -------------------------------------------------------------------------------

    def _multiply(self, panel: Value, count: Value) -> None:
        """At each point: [tile, input channel] times [input channel, output channel]."""
        f, plan = self.f, self.plan
        filters = f.element(self.w, f.mul(panel, f.i64(POINTS * plan.filter_step)), KIND)
        blocks = count_value(f, count, plan.rows)
        one, width = f.i64(1), f.i64(plan.width)
        with f.loop(f.i64(0), f.i64(POINTS), one) as point:
            inputs = f.element(self.inputs, f.mul(point.index, f.i64(plan.input_step)), KIND)
            w = f.element(filters, f.mul(point.index, f.i64(plan.filter_step)), KIND)
            to = f.element(self.products, f.mul(point.index, f.i64(plan.output_step)), KIND)
            rights = [f.element(w, f.i64(v * plan.lanes), KIND) for v in range(plan.vectors)]
            with f.loop(f.i64(0), blocks, one) as block:
                row = f.mul(block.index, f.i64(plan.rows))
                first = f.element(inputs, f.mul(row, f.i64(plan.depth)), KIND)
                lefts = [f.element(first, f.i64(r * plan.depth), KIND) for r in range(plan.rows)]
                sums = [f.const(0, self.type)] * (plan.rows * plan.vectors)
                sums = multiply_add_block(f, f.i64(plan.cin), sums, lefts, rights, one, width)
                there = f.element(to, f.mul(row, width), KIND)
                for spot, value in enumerate(sums):
                    f.store(value, f.element(there, f.i64(spot * plan.lanes), KIND))

    # -- outputs --------------------------------------------------------------------------------

    def _output(
        self, tile: Value, place: tuple[Value, Value, Value], channel: Value,
        masks: Sequence[Value | None],
    ) -> None:  # fmt: skip
        """Transform a tile's products and hand those of its outputs that exist on."""
        f, plan = self.f, self.plan
        n, *corner = place
        source = f.element(self.products, f.mul(tile, f.i64(plan.width)), KIND)
        with f.loop(f.i64(0), f.i64(plan.width), f.i64(plan.lanes)) as part:

            def load(i: int, j: int) -> Value:
                at = f.add(part.index, f.i64((SIDE * i + j) * plan.output_step))
                return f.load(f.element(source, at, KIND), self.type)

            for i, row in enumerate(_square(f, _output_line, SIDE, load)):
                for j, value in enumerate(row):
                    at = f.add(part.index, f.i64((INSIDE * i + j) * plan.width))
                    f.store(value, f.element(self.scratch, at, KIND))
        rows, columns = (
            f.minimum(f.i64(INSIDE), f.sub(extent, start))
            for extent, start in zip(self.outputs, corner, strict=True)
        )
        with (
            f.loop(f.i64(0), rows, f.i64(1)) as line,
            f.loop(f.i64(0), columns, f.i64(1)) as spot,
        ):
            pixel = f.add(f.mul(line.index, f.i64(INSIDE)), spot.index)
            base = f.element(self.scratch, f.mul(pixel, f.i64(plan.width)), KIND)
            y, x = f.add(corner[0], line.index), f.add(corner[1], spot.index)
            for v, mask in enumerate(masks):
                values = f.load(f.element(base, f.i64(v * plan.lanes), KIND), self.type)
                first = f.add(channel, f.i64(v * plan.lanes))
                self.finish.store(f, (n, y, x, first), values, mask)
