"""The filter gradient of a convolution by Winograd's transforms: 36 products instead of 144.

    dw = Gᵀ [Σ_tiles (Bᵀ x B) ⊙ (A g Aᵀ)] G

Each item is a part of the tiles, counted through all images, and a share of the output channels.
Some tiles at a time are transformed into matrices [tile, channel] for each point, whose products,
[input channel, output channel], are summed over the tiles in registers, transformed back and added
to the part's result. The parts are then added in order, as those of the direct kernel are. How
the tiles are split depends on shapes alone.
"""

from __future__ import annotations

from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.packing import count_value
from glubina.codegen.values import Value, vector
from glubina.codegen.winograd_parts import KIND, Part, gradients, name_of, points, products, tiles
from glubina.codegen.winograd_plan import FILTER_NUMBERS, FilterTiles


def parts(plan: FilterTiles) -> dict[str, Part]:
    """The functions that the first stage calls."""
    masks = plan.masked
    return {
        "inputs": tiles(plan.tile, "inputs", plan.lanes, masks[0]),
        "outputs": tiles(plan.tile, "outputs", plan.lanes, masks[1]),
        "products": products(plan.lanes, plan.rows, plan.vectors, 1),
        "gradients": gradients(plan.tile, plan.lanes, masks[1]),
    }


def partials(plan: FilterTiles) -> Part:
    """The first stage. Buffers: x, g, the partial results, the slots."""
    masks = "".join("m" if masked else "f" for masked in plan.masked)
    name = f"wino_partials_{name_of(plan.tile)}_{plan.lanes}_{plan.rows}_{plan.vectors}{masks}"
    return Part(name, lambda name: _Emit(name, plan).function())


class _Emit:
    """Writes the first stage."""

    def __init__(self, name: str, plan: FilterTiles) -> None:
        self.frame, self.plan, self.parts = Frame(name, 4), plan, parts(plan)
        frame = self.frame
        f = self.f = frame.f
        self.x, self.g, self.partial, slots = (frame.buffer(i) for i in range(4))
        self.n = {name: frame.number(i) for i, name in enumerate(FILTER_NUMBERS)}
        frame.threads = f.minimum(frame.threads, self.n["slots"])
        slot = f.element(slots, f.mul(frame.thread, self.n["slot"]), KIND)
        self.zeros = slot
        self.inputs, self.outputs, self.products = (
            f.element(slot, self.n[name], KIND) for name in ("inputs", "outputs", "products")
        )

    def function(self) -> Function:
        """This thread's share of the items, one after another."""
        f, n = self.f, self.n
        start, stop = self.frame.share(f.mul(n["parts"], n["shares"]), 1)
        zero, lanes = f.const(0, vector(KIND, self.plan.lanes)), f.i64(self.plan.lanes)
        with (
            f.when(f.compare("slt", start, stop)),  # else there may be no slot
            f.loop(f.i64(0), n["inputs"], lanes) as at,
        ):
            f.store(zero, f.element(self.zeros, at.index, KIND))
        self.tap = f.mul(n["cin"], n["cout"])
        size = f.mul(self.tap, f.i64(self.plan.tile[0].taps * self.plan.tile[1].taps))
        with f.loop(start, stop, f.i64(1)) as item:
            part, share = (f.binary(how, item.index, n["shares"]) for how in ("udiv", "urem"))
            first = f.mul(share, n["share"])
            channels = f.minimum(n["share"], f.sub(n["cout"], first))
            to = f.element(self.partial, f.add(f.mul(part, size), first), KIND)
            low, high = (
                f.binary("udiv", f.mul(n["total"], number), n["parts"])
                for number in (part, f.add(part, f.i64(1)))
            )
            with f.loop(low, high, n["chunk"]) as chunk:
                fresh = f.emit("i64", f"zext {f.compare('eq', chunk.index, low)} to i64")
                count = f.minimum(n["chunk"], f.sub(high, chunk.index))
                self._chunk(chunk.index, count, first, channels, to, fresh)
        return self.frame.finish()

    def _chunk(
        self, tile: Value, count: Value, first: Value, channels: Value, to: Value, fresh: Value
    ) -> None:
        """Some tiles, for a share of the output channels from `first` on."""
        f, n = self.f, self.n
        width = f.i64(self.plan.lanes * self.plan.vectors)
        where = tile, count, n["down"], n["across"]
        self.parts["inputs"].call(
            f, self.x, self.inputs, self.zeros, *where, n["height"], n["width"], n["cin"],
            n["top"], n["left"], n["cin"], n["cell_in"], n["step_in"],
        )  # fmt: skip
        self.parts["outputs"].call(
            f, f.element(self.g, first, KIND), self.outputs, self.zeros, *where, n["out_height"],
            n["out_width"], n["cout"], f.i64(0), f.i64(0), channels, n["cell_out"], n["step_out"],
        )  # fmt: skip
        with (
            f.loop(f.i64(0), channels, width) as panel,
            f.loop(f.i64(0), n["cin"], n["group"]) as group,
        ):
            rows = f.minimum(n["group"], f.sub(n["cin"], group.index))
            self.parts["products"].call(
                f, f.element(self.inputs, group.index, KIND),
                f.element(self.outputs, panel.index, KIND), self.products,
                f.i64(points(self.plan.tile)), count_value(f, rows, self.plan.rows), count,
                n["cell_in"], n["cell_out"], n["step_in"], n["step_out"], n["step_products"],
                f.i64(1),
            )  # fmt: skip
            spot = f.add(f.mul(group.index, n["cout"]), panel.index)
            self.parts["gradients"].call(
                f, self.products, f.element(to, spot, KIND), rows, width, n["cout"],
                f.sub(channels, panel.index), self.tap, n["step_products"], fresh,
            )  # fmt: skip
