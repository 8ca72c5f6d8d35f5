"""The functions that Winograd's convolutions call: transforms of tiles, and products at each point.

They know neither the channels nor the images, but by arguments, so that all convolutions of a
network share a few: each is a module of its own, compiled once and linked to those that call it.

A matrix of inputs at one point is [tile, channel]; from one tile to the next are `cell` elements,
from one point to the next `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from glubina.codegen.blocks import alloca, first_lanes, multiply_add_block
from glubina.codegen.emitter import Function, module
from glubina.codegen.values import Value, vector
from glubina.codegen.winograd_lines import Line, inputs, sums, values

KIND = "float"
Tile = tuple[Line, Line]
Numbers = Sequence[Value]
AHEAD = 1
"""So many tiles ahead pixels are fetched into the cache."""

Transform = Callable[[Function, int, Sequence[Value]], list[Value]]
"""From the numbers along an axis (0 or 1) to the transformed ones."""


@dataclass(frozen=True)
class Part:
    """A function that kernels share: its name, and who writes it."""

    name: str
    make: Callable[[str], Function]

    def function(self) -> Function:
        """The function itself."""
        return self.make(self.name)

    def module(self) -> str:
        """An LLVM module of the function."""
        return module([self.function()])

    def call(self, f: Function, *operands: Value) -> None:
        """Call it from another."""
        f.call(self.name, "void", *operands)


def shared_modules(parts: Iterable[Part]) -> dict[str, Callable[[], str]]:
    """A module for each function, by its name."""
    return {part.name: part.module for part in parts}


def points(tile: Tile) -> int:
    """How many products a tile takes."""
    return tile[0].points * tile[1].points


def name_of(tile: Tile) -> str:
    """A tile's name, for those of functions."""
    return "_".join(f"{line.outputs}of{line.taps}" for line in tile)


def _square(
    f: Function, transform: Transform, sizes: tuple[int, int],
    load: Callable[[int, int], Value], store: Callable[[int, int, Value], None],
) -> None:  # fmt: skip
    """Transform columns, then rows; load(i, j) gives the numbers, of which there are `sizes`."""
    columns = [transform(f, 0, [load(i, j) for i in range(sizes[0])]) for j in range(sizes[1])]
    for i, row in enumerate(zip(*columns, strict=True)):
        for j, value in enumerate(transform(f, 1, row)):
            store(i, j, value)


# -- tiles --------------------------------------------------------------------------------------

Side = Literal["inputs", "outputs"]


def tiles(tile: Tile, side: Side, lanes: int, masked: bool) -> Part:
    """Transforms neighbouring tiles of images, counted through all images.

    side: the inputs of tiles (Bᵀ x B), or their outputs, which are a gradient's (A g Aᵀ).
    masked: whether the channels do not fill whole vectors; then the rest of the last is zeros.

    Arguments: the images at their first channel, the result, zeros (as many as channels); the first
    tile, how many; tiles per line and column of an image; the images' height, width, and elements
    from one pixel to the next; the pixels before an image at which its first tile begins; how many
    channels; cell and step.
    """
    name = f"wino_{side}_{name_of(tile)}_{lanes}{'m' if masked else ''}"
    return Part(name, lambda name: _tiles(name, tile, side, lanes, masked))


def _tiles(name: str, tile: Tile, side: Side, lanes: int, masked: bool) -> Function:
    words = (
        "first", "count", "down", "across", "height", "width", "pixel", "top", "left", "channels",
        "cell", "step",
    )  # fmt: skip
    pointers = [(word, "ptr") for word in ("x", "to", "zeros")]
    f = Function(name, [*pointers, *((word, "i64") for word in words)])
    x, to, zeros = f.parameters[:3]
    n = dict(zip(words, f.parameters[3:], strict=True))
    sizes = tuple(line.points if side == "inputs" else line.outputs for line in tile)
    table = alloca(f, "ptr", sizes[0] * sizes[1])

    def transform(f: Function, axis: int, line: Sequence[Value]) -> list[Value]:
        if side == "inputs":
            return inputs(f, tile[axis], line)
        return values(f, tile[axis], line, weighted=False)

    with f.loop(f.i64(0), n["count"], f.i64(1)) as item:
        number = f.add(n["first"], item.index)
        line, column = (f.binary(how, number, n["across"]) for how in ("udiv", "urem"))
        image, row = (f.binary(how, line, n["down"]) for how in ("udiv", "urem"))
        top = f.sub(f.mul(row, f.i64(tile[0].outputs)), n["top"])
        left = f.sub(f.mul(column, f.i64(tile[1].outputs)), n["left"])
        _addresses(f, table, x, zeros, n, sizes, (image, top, left))
        there = f.element(to, f.mul(item.index, n["cell"]), KIND)
        with f.loop(f.i64(0), n["channels"], f.i64(lanes)) as channel:
            mask = None
            if masked:
                mask = first_lanes(f, f.sub(n["channels"], channel.index), lanes)
            _tile(f, table, there, channel.index, mask, n, lanes, sizes, tile, transform)
    f.return_()
    return f


def _addresses(
    f: Function, table: Value, x: Value, zeros: Value, n: dict[str, Value], sizes: tuple[int, ...],
    place: tuple[Value, Value, Value],
) -> None:  # fmt: skip
    """Where each of a tile's pixels is: in the image, or zeros beside it."""
    image, top, left = place
    columns = [f.add(left, f.i64(j)) for j in range(sizes[1])]
    exists = [f.compare("ult", column, n["width"]) for column in columns]
    steps = [f.mul(column, n["pixel"]) for column in columns]
    long = f.mul(n["width"], n["pixel"])
    start = f.mul(f.mul(image, n["height"]), long)
    with f.loop(f.i64(0), f.i64(sizes[0]), f.i64(1)) as i:
        row = f.add(top, i.index)
        base = f.element(x, f.add(start, f.mul(row, long)), KIND)
        inside = f.compare("ult", row, n["height"])
        for j, (here, step) in enumerate(zip(exists, steps, strict=True)):
            pixel = f.element(base, step, KIND)
            found = f.select(f.binary("and", inside, here), pixel, zeros)
            at = f.add(f.mul(i.index, f.i64(sizes[1])), f.i64(j))
            f.store(found, f.element(table, at, "ptr"))


def _tile(
    f: Function, table: Value, to: Value, channel: Value, mask: Value | None, n: dict[str, Value],
    lanes: int, sizes: tuple[int, ...], tile: Tile, transform: Transform,
) -> None:  # fmt: skip
    """One vector of channels of a tile."""
    type_ = vector(KIND, lanes)
    there, step = f.element(to, channel, KIND), n["step"]
    ahead = f.mul(n["pixel"], f.i64(AHEAD * tile[1].outputs))

    def load(i: int, j: int) -> Value:
        base = f.load(f.element(table, f.i64(sizes[1] * i + j), "ptr"), "ptr")
        here = f.element(base, channel, KIND)
        if j >= sizes[1] - tile[1].outputs:
            f.prefetch(f.element(here, ahead, KIND), 1)
        return f.load_lanes(here, type_, mask)

    def store(i: int, j: int, value: Value) -> None:
        at = f.mul(step, f.i64(tile[1].points * i + j))
        f.store(value, f.element(there, at, KIND))

    _square(f, transform, (sizes[0], sizes[1]), load, store)


# -- the filter ---------------------------------------------------------------------------------


def weights(tile: Tile, lanes: int, masked: bool) -> Part:
    """Transforms some input channels of a filter, for a panel of output channels: G w Gᵀ.

    Arguments: the filter at its first input and output channel, the result; elements from one tap
    to the next, input channels, output channels in all, those from the panel's first on (others
    are not stored, or zeros), the panel's width, elements from one point to the next.
    """
    name = f"wino_weights_{name_of(tile)}_{lanes}{'m' if masked else ''}"
    return Part(name, lambda name: _weights(name, tile, lanes, masked))


def _weights(name: str, tile: Tile, lanes: int, masked: bool) -> Function:
    words = ("tap", "channels", "filters", "left", "width", "step")
    f = Function(name, [("w", "ptr"), ("to", "ptr"), *((word, "i64") for word in words)])
    w, to = f.parameters[:2]
    tap, channels, filters, left, width, step = f.parameters[2:]
    type_ = vector(KIND, lanes)
    sizes = (tile[0].taps, tile[1].taps)

    def transform(f: Function, axis: int, line: Sequence[Value]) -> list[Value]:
        return values(f, tile[axis], line, weighted=True)

    with (
        f.loop(f.i64(0), channels, f.i64(1)) as channel,
        f.loop(f.i64(0), f.minimum(left, width), f.i64(lanes)) as part,
    ):
        source = f.element(w, f.add(f.mul(channel.index, filters), part.index), KIND)
        there = f.element(to, f.add(f.mul(channel.index, width), part.index), KIND)
        mask = first_lanes(f, f.sub(left, part.index), lanes) if masked else None

        def load(i: int, j: int) -> Value:
            at = f.mul(tap, f.i64(sizes[1] * i + j))
            return f.load_lanes(f.element(source, at, KIND), type_, mask)

        def store(i: int, j: int, value: Value) -> None:
            at = f.mul(step, f.i64(tile[1].points * i + j))
            f.store(value, f.element(there, at, KIND))

        _square(f, transform, sizes, load, store)
    f.return_()
    return f


# -- products -----------------------------------------------------------------------------------


def products(lanes: int, rows: int, vectors: int, row_step: int) -> Part:
    """Multiplies two matrices at each point: blocks of `rows` x `vectors` vectors.

    row_step: elements from one row of the left factor to the next.

    Arguments: left, right, result; points; blocks of rows; the depth, and of the left and the right
    factor the elements from one k to the next; elements from one point to the next of the left, the
    right, the result; whether the result is 0 so far (1) or is added to (0).
    """
    name = f"wino_products_{lanes}_{rows}_{vectors}_{row_step}"
    return Part(name, lambda name: _products(name, lanes, rows, vectors, row_step))


def _products(name: str, lanes: int, rows: int, vectors: int, row_step: int) -> Function:
    words = (
        "points", "blocks", "depth", "k_left", "k_right", "step_left", "step_right", "step_to",
        "fresh",
    )  # fmt: skip
    pointers = [(word, "ptr") for word in ("left", "right", "to")]
    f = Function(name, [*pointers, *((word, "i64") for word in words)])
    left, right, to = f.parameters[:3]
    n = dict(zip(words, f.parameters[3:], strict=True))
    type_ = vector(KIND, lanes)
    one, width = f.i64(1), vectors * lanes
    zero, fresh = f.const(0, type_), f.compare("ne", n["fresh"], f.i64(0))
    with f.loop(f.i64(0), n["points"], one) as point:
        start = f.element(left, f.mul(point.index, n["step_left"]), KIND)
        columns = f.element(right, f.mul(point.index, n["step_right"]), KIND)
        there = f.element(to, f.mul(point.index, n["step_to"]), KIND)
        rights = [f.element(columns, f.i64(v * lanes), KIND) for v in range(vectors)]
        with f.loop(f.i64(0), n["blocks"], one) as block:
            first = f.element(start, f.mul(block.index, f.i64(rows * row_step)), KIND)
            lefts = [f.element(first, f.i64(r * row_step), KIND) for r in range(rows)]
            here = f.element(there, f.mul(block.index, f.i64(rows * width)), KIND)
            spots = [f.element(here, f.i64(at * lanes), KIND) for at in range(rows * vectors)]
            old = [f.select(fresh, zero, f.load(spot, type_)) for spot in spots]
            found = multiply_add_block(f, n["depth"], old, lefts, rights, n["k_left"], n["k_right"])
            for spot, value in zip(spots, found, strict=True):
                f.store(value, spot)
    f.return_()
    return f


# -- results ------------------------------------------------------------------------------------


def results(tile: Tile, lanes: int) -> Part:
    """Transforms the products of one tile into its outputs: Aᵀ m A.

    Arguments: the products, the result; how many channels, of both; elements from one point to the
    next. From one output to the next are as many elements as channels.
    """
    name = f"wino_results_{name_of(tile)}_{lanes}"

    def make(name: str) -> Function:
        words = ("channels", "step")
        f = Function(name, [("m", "ptr"), ("to", "ptr"), *((word, "i64") for word in words)])
        m, to, channels, step = f.parameters

        def transform(f: Function, axis: int, line: Sequence[Value]) -> list[Value]:
            return sums(f, tile[axis], line, tile[axis].outputs, weighted=False)

        with f.loop(f.i64(0), channels, f.i64(lanes)) as channel:
            source, there = (f.element(base, channel.index, KIND) for base in (m, to))

            def load(i: int, j: int) -> Value:
                at = f.mul(step, f.i64(tile[1].points * i + j))
                return f.load(f.element(source, at, KIND), vector(KIND, lanes))

            def store(i: int, j: int, value: Value) -> None:
                at = f.mul(channels, f.i64(tile[1].outputs * i + j))
                f.store(value, f.element(there, at, KIND))

            _square(f, transform, (tile[0].points, tile[1].points), load, store)
        f.return_()
        return f

    return Part(name, make)


def gradients(tile: Tile, lanes: int, masked: bool) -> Part:
    """Transforms products into a filter's gradient, Gᵀ m G, which is added to what there is.

    Arguments: the products [point, input channel, width], the result at its first input and output
    channel; input channels; the panel's width; output channels in all, those from the panel's first
    on; elements from one tap to the next, from one point to the next; whether the result is 0 so
    far (1) or is added to (0).
    """
    name = f"wino_gradients_{name_of(tile)}_{lanes}{'m' if masked else ''}"
    return Part(name, lambda name: _gradients(name, tile, lanes, masked))


def _gradients(name: str, tile: Tile, lanes: int, masked: bool) -> Function:
    words = ("channels", "width", "filters", "left", "tap", "step", "fresh")
    f = Function(name, [("m", "ptr"), ("to", "ptr"), *((word, "i64") for word in words)])
    m, to = f.parameters[:2]
    channels, width, filters, left, tap, step, first = f.parameters[2:]
    type_ = vector(KIND, lanes)
    zero, fresh = f.const(0, type_), f.compare("ne", first, f.i64(0))

    def transform(f: Function, axis: int, line: Sequence[Value]) -> list[Value]:
        return sums(f, tile[axis], line, tile[axis].taps, weighted=True)

    with (
        f.loop(f.i64(0), channels, f.i64(1)) as channel,
        f.loop(f.i64(0), f.minimum(left, width), f.i64(lanes)) as part,
    ):
        source = f.element(m, f.add(f.mul(channel.index, width), part.index), KIND)
        there = f.element(to, f.add(f.mul(channel.index, filters), part.index), KIND)
        mask = first_lanes(f, f.sub(left, part.index), lanes) if masked else None

        def load(i: int, j: int) -> Value:
            at = f.mul(step, f.i64(tile[1].points * i + j))
            return f.load(f.element(source, at, KIND), type_)

        def store(i: int, j: int, value: Value) -> None:
            spot = f.element(there, f.mul(tap, f.i64(tile[1].taps * i + j)), KIND)
            old = f.select(fresh, zero, f.load_lanes(spot, type_, mask))
            f.store_lanes(f.fadd(old, value), spot, mask)

        _square(f, transform, (tile[0].points, tile[1].points), load, store)
    f.return_()
    return f
