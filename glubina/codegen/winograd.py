"""Convolutions with a fraction of the multiplications: Winograd's, for stride 1 and few taps.

    y = Aᵀ [Σ_i (G w_i Gᵀ) ⊙ (Bᵀ x_i B)] A        for each tile of outputs

Each item is some tiles, counted through all images, and a share of the output channels. The tiles'
inputs are transformed into matrices [tile, input channel], one for each point, which are
multiplied by the filter's in register blocks of tiles x output channels, and the products are
transformed into outputs. All lives in memory of the thread's own that stays in the second-level
cache. The filter is transformed in a stage before, or, where few tiles share it, by each item.

The error is below 1e-6 of the tile's Σ|x||w|, two to three times that of a direct kernel. What is
not finite spoils its whole tile.
"""

from __future__ import annotations

from collections.abc import Callable

from glubina.codegen.blocks import alloca, first_lanes
from glubina.codegen.emitter import Function
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.packing import count_value
from glubina.codegen.values import Value, vector
from glubina.codegen.winograd_parts import (
    KIND,
    Part,
    name_of,
    points,
    products,
    results,
    tiles,
    weights,
)
from glubina.codegen.winograd_plan import NUMBERS, WinogradPlan


def parts(plan: WinogradPlan) -> dict[str, Part]:
    """The functions that the kernel calls."""
    tile, lanes = plan.tile, plan.lanes
    return {
        "inputs": tiles(tile, "inputs", lanes, plan.cin % lanes > 0),
        "products": products(lanes, plan.rows, plan.vectors, plan.cell),
        "results": results(tile, lanes),
        "weights": weights(tile, lanes, plan.cout % lanes > 0),
    }


def turn(plan: WinogradPlan) -> Part:
    """The first stage, if there is one: all of the filter, [panel, point, input channel, width].

    Buffers: the filter, the result. Numbers: input channels, output channels, those at a time.
    """
    name = f"wino_turn_{name_of(plan.tile)}_{plan.lanes}_{plan.vectors}"
    name += "m" if plan.cout % plan.lanes else ""
    return Part(name, lambda name: _turn(name, plan))


def _turn(name: str, plan: WinogradPlan) -> Function:
    frame = Frame(name, 2)
    f, part = frame.f, parts(plan)["weights"]
    w, to = frame.buffer(0), frame.buffer(1)
    cin, cout, some = (frame.number(i) for i in range(3))
    width = f.i64(plan.width)
    groups = f.binary("udiv", f.sub(f.add(cin, some), f.i64(1)), some)
    step = f.mul(cin, width)
    start, stop = frame.share(f.mul(groups, count_value(f, cout, plan.width)), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        panel, group = (f.binary(how, item.index, groups) for how in ("udiv", "urem"))
        first, channel = f.mul(group, some), f.mul(panel, width)
        source = f.element(w, f.add(f.mul(first, cout), channel), KIND)
        spot = f.add(f.mul(panel, f.mul(step, f.i64(points(plan.tile)))), f.mul(first, width))
        count = f.minimum(some, f.sub(cin, first))
        part.call(
            f, source, f.element(to, spot, KIND), f.mul(cin, cout), count, cout,
            f.sub(cout, channel), width, step,
        )  # fmt: skip
    return frame.finish()


def emit_winograd(
    name: str, plan: WinogradPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
) -> Function:
    """The convolution.

    Buffers: the epilogue's; of all `buffers` the last three are x, the filter (transformed, unless
    the plan is local), the slots.
    """
    return _Emit(Frame(name, buffers), plan, epilogue, buffers).function()


class _Emit:
    """Writes the convolution's stage."""

    def __init__(
        self, frame: Frame, plan: WinogradPlan, epilogue: Callable[[Frame], Epilogue], buffers: int
    ) -> None:
        self.frame, self.f, self.plan, self.parts = frame, frame.f, plan, parts(plan)
        f = self.f
        self.type = vector(KIND, plan.lanes)
        self.scratch = alloca(f, self.type, plan.outputs * plan.vectors)
        self.x, self.w, slots = (frame.buffer(buffers - 3 + i) for i in range(3))
        self.n = {name: frame.number(i) for i, name in enumerate(NUMBERS)}
        frame.threads = f.minimum(frame.threads, self.n["slots"])
        self.zeros = f.element(slots, f.mul(frame.thread, self.n["slot"]), KIND)
        self.inputs, self.products, self.weights = (
            f.element(self.zeros, self.n[name], KIND) for name in ("inputs", "products", "weights")
        )
        self.finish = epilogue(frame)
        self.finish.prepare(f)

    def function(self) -> Function:
        """This thread's share of the items, one after another."""
        f, plan, n = self.f, self.plan, self.n
        chunks = f.binary("udiv", f.sub(f.add(n["total"], n["chunk"]), f.i64(1)), n["chunk"])
        start, stop = self.frame.share(f.mul(chunks, n["shares"]), 1)
        with (
            f.when(f.compare("slt", start, stop)),  # else there may be no slot
            f.loop(f.i64(0), n["inputs"], f.i64(plan.lanes)) as at,
        ):
            f.store(f.const(0, self.type), f.element(self.zeros, at.index, KIND))
        with f.loop(start, stop, f.i64(1)) as item:
            share, chunk = (f.binary(how, item.index, chunks) for how in ("udiv", "urem"))
            first = f.mul(chunk, n["chunk"])
            count = f.minimum(n["chunk"], f.sub(n["total"], first))
            self.parts["inputs"].call(
                f, self.x, self.inputs, self.zeros, first, count, n["down"], n["across"],
                n["height"], n["width"], f.i64(plan.cin), n["top"], n["left"], f.i64(plan.cin),
                f.i64(plan.cell), n["step_in"],
            )  # fmt: skip
            low = f.mul(share, n["share"])
            high = f.minimum(f.add(low, n["share"]), f.i64(plan.cout))
            with f.loop(low, high, f.i64(plan.width)) as channel:
                self._multiply(channel.index, count)
                with f.loop(f.i64(0), count, f.i64(1)) as tile:
                    self._output(tile.index, f.add(first, tile.index), channel.index)
        return self.frame.finish()

    def _multiply(self, channel: Value, count: Value) -> None:
        """The products of a panel of output channels, with the filter as it is or transformed."""
        f, plan, n = self.f, self.plan, self.n
        number, width = f.i64(points(plan.tile)), f.i64(plan.width)
        blocks = count_value(f, count, plan.rows)
        if not plan.local:
            start = f.mul(channel, f.i64(points(plan.tile) * plan.cin))
            self.parts["products"].call(
                f, self.inputs, f.element(self.w, start, KIND), self.products, number, blocks,
                f.i64(plan.cin), f.i64(1), width, n["step_in"], f.i64(plan.cin * plan.width),
                n["step_products"], f.i64(1),
            )  # fmt: skip
            return
        with f.loop(f.i64(0), f.i64(plan.cin), n["deep"]) as k:
            depth = f.minimum(n["deep"], f.sub(f.i64(plan.cin), k.index))
            source = f.add(f.mul(k.index, f.i64(plan.cout)), channel)
            self.parts["weights"].call(
                f, f.element(self.w, source, KIND), self.weights, f.i64(plan.cin * plan.cout),
                depth, f.i64(plan.cout), f.sub(f.i64(plan.cout), channel), width,
                n["step_weights"],
            )  # fmt: skip
            fresh = f.emit("i64", f"zext {f.compare('eq', k.index, f.i64(0))} to i64")
            self.parts["products"].call(
                f, f.element(self.inputs, k.index, KIND), self.weights, self.products, number,
                blocks, depth, f.i64(1), width, n["step_in"], n["step_weights"],
                n["step_products"], fresh,
            )  # fmt: skip

    def _output(self, tile: Value, number: Value, channel: Value) -> None:
        """Transform a tile's products and hand those of its outputs that exist on."""
        f, plan, n = self.f, self.plan, self.n
        line, column = (f.binary(how, number, n["across"]) for how in ("udiv", "urem"))
        image, row = (f.binary(how, line, n["down"]) for how in ("udiv", "urem"))
        sizes = [line.outputs for line in plan.tile]
        corner = [f.mul(at, f.i64(size)) for at, size in zip((row, column), sizes, strict=True)]
        source = f.element(self.products, f.mul(tile, f.i64(plan.width)), KIND)
        width = f.i64(plan.width)
        self.parts["results"].call(f, source, self.scratch, width, n["step_products"])
        rows, columns = (
            f.minimum(f.i64(size), f.sub(n[extent], start))
            for size, extent, start in zip(sizes, ("out_height", "out_width"), corner, strict=True)
        )
        with (
            f.loop(f.i64(0), rows, f.i64(1)) as down,
            f.loop(f.i64(0), columns, f.i64(1)) as along,
            f.loop(
                f.i64(0), f.minimum(width, f.sub(f.i64(plan.cout), channel)), f.i64(plan.lanes)
            ) as part,
        ):
            pixel = f.add(f.mul(down.index, f.i64(sizes[1])), along.index)
            at = f.add(f.mul(pixel, width), part.index)
            values = f.load(f.element(self.scratch, at, KIND), self.type)
            y, x = f.add(corner[0], down.index), f.add(corner[1], along.index)
            here = f.add(channel, part.index)
            mask = None
            if plan.cout % plan.lanes:
                mask = first_lanes(f, f.sub(f.i64(plan.cout), here), plan.lanes)
            following = f.add(x, f.i64(sizes[1]))  # the next tile's
            before = (image, y) if plan.rank == 2 else (image,)
            self.finish.fetch(f, (*before, following, here))
            self.finish.store(f, (*before, x, here), values, mask)
