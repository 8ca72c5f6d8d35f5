"""Packs matrices into panels: contiguous memory in the order in which a product reads it.

A panel holds `rows` neighbouring positions along a matrix's long axis (the one that is not summed
over), for all k: [panel][k][stride]. Positions beyond the edge hold zeros or repeat the last one;
what is computed from them is not stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from glubina.codegen.blocks import first_lanes, transposed
from glubina.codegen.emitter import Function
from glubina.codegen.frame import Frame
from glubina.codegen.values import Value, vector

AHEAD = 512
"""How far ahead memory is asked for along a row, in bytes."""

ROWS_AHEAD = 12
"""How many rows ahead memory is asked for where rows are copied."""


@dataclass(frozen=True)
class Panels:
    """How a matrix is packed.

    rows: positions of the long axis per panel.
    stride: elements from one k to the next in a panel, at least `rows` and whole vectors.
    along_k: whether the source's k axis has stride 1 (blocks are transposed on the way).
    """

    rows: int
    stride: int
    along_k: bool

    def bytes(self, batch: int, long: int, depth: int, lanes: int, size: int) -> int:
        """The memory of all panels."""
        return batch * -(-long // self.rows) * deep(depth, lanes) * self.stride * size


@dataclass(frozen=True)
class Source:
    """A matrix to be packed: where its first element is, its extents and strides."""

    base: Value
    batch: Value
    long: Value
    depth: Value
    step_batch: Value
    step_long: Value
    step_k: Value


def deep(depth: int, lanes: int) -> int:
    """How many k a panel has room for: whole square blocks are written."""
    return -(-depth // lanes) * lanes


def deep_value(f: Function, depth: Value, lanes: int) -> Value:
    """The same for a run-time depth."""
    return f.binary("and", f.add(depth, f.i64(lanes - 1)), f.i64(-lanes))


def count_value(f: Function, extent: Value, size: int | Value) -> Value:
    """How many pieces of `size` cover an extent."""
    each = f.i64(size) if isinstance(size, int) else size
    return f.binary("udiv", f.add(extent, f.sub(each, f.i64(1))), each)


def pack(frame: Frame, kind: str, lanes: int, panels: Panels, source: Source, to: Value) -> None:
    """Write this thread's share of the panels to address `to`."""
    f = frame.f
    room = f.mul(deep_value(f, source.depth, lanes), f.i64(panels.stride))
    count = count_value(f, source.long, panels.rows)
    start, stop = frame.share(f.mul(count, source.batch), 1)
    with f.loop(start, stop, f.i64(1)) as item:
        first = f.mul(f.binary("urem", item.index, count), f.i64(panels.rows))
        matrix = f.mul(f.binary("udiv", item.index, count), source.step_batch)
        origin = f.element(source.base, matrix, kind)
        panel = f.element(to, f.mul(item.index, room), kind)
        here = replace(source, base=origin)
        pack_panel(f, kind, lanes, panels, here, first, panel)


def pack_panel(
    f: Function, kind: str, lanes: int, panels: Panels, source: Source, first: Value, to: Value
) -> None:
    """Write one panel of a matrix to address `to`: the positions from `first` on."""
    write = _transposing if panels.along_k else _copying
    write(f, kind, lanes, panels.stride, source.base, to, first, source)


def _copying(
    f: Function, kind: str, lanes: int, stride: int, origin: Value, panel: Value, first: Value,
    source: Source,
) -> None:  # fmt: skip
    """The long axis has any stride; where it is 1, whole vectors are copied."""
    type_ = vector(kind, lanes)
    left = f.sub(source.long, first)
    dense = f.compare("eq", source.step_long, f.i64(1))
    inside = f.compare("sge", left, f.i64(stride))

    def copy(masks: list[Value] | None) -> None:
        with f.loop(f.i64(0), source.depth, f.i64(1)) as k:
            base = f.element(origin, f.add(first, f.mul(k.index, source.step_k)), kind)
            for v, at in enumerate(range(0, stride, lanes)):
                place = f.element(base, f.i64(at), kind)
                if masks is None:
                    later = f.mul(source.step_k, f.i64(ROWS_AHEAD))
                    f.prefetch(f.emit("ptr", f"getelementptr {kind}, {place}, {later}"))
                values = f.masked_load(place, type_, masks[v]) if masks else f.load(place, type_)
                spot = f.add(f.mul(k.index, f.i64(stride)), f.i64(at))
                f.store(values, f.element(panel, spot, kind))

    with f.when(f.binary("and", dense, inside)):
        copy(None)
    with f.when(f.binary("and", dense, f.compare("slt", left, f.i64(stride)))):
        copy([first_lanes(f, f.sub(left, f.i64(at)), lanes) for at in range(0, stride, lanes)])
    last = f.sub(source.long, f.i64(1))
    with (
        f.when(f.emit("i1", f"xor {dense}, true")),
        f.loop(f.i64(0), source.depth, f.i64(1)) as k,
        f.loop(f.i64(0), f.i64(stride), f.i64(1)) as r,
    ):
        row = f.minimum(f.add(first, r.index), last)
        spot = f.add(f.mul(row, source.step_long), f.mul(k.index, source.step_k))
        value = f.load(f.element(origin, spot, kind), kind)
        there = f.add(f.mul(k.index, f.i64(stride)), r.index)
        f.store(value, f.element(panel, there, kind))


def _transposing(
    f: Function, kind: str, lanes: int, stride: int, origin: Value, panel: Value, first: Value,
    source: Source,
) -> None:  # fmt: skip
    """k has stride 1: square blocks are transposed in registers."""
    type_ = vector(kind, lanes)
    last = f.sub(source.long, f.i64(1))
    whole = f.binary("and", source.depth, f.i64(-lanes))

    def turn(k: Value, mask: Value | None) -> None:
        with f.loop(f.i64(0), f.i64(stride), f.i64(lanes)) as at:
            rows = []
            for r in range(lanes):
                row = f.minimum(f.add(first, f.add(at.index, f.i64(r))), last)
                place = f.element(origin, f.add(f.mul(row, source.step_long), k), kind)
                f.prefetch(place, ahead=AHEAD)
                rows.append(f.masked_load(place, type_, mask) if mask else f.load(place, type_))
            for i, column in enumerate(transposed(f, rows) if lanes > 1 else rows):
                place = f.add(f.mul(f.add(k, f.i64(i)), f.i64(stride)), at.index)
                f.store(column, f.element(panel, place, kind))

    if lanes > 8:  # a mask costs nothing there, a second copy of the code time to compile
        with f.loop(f.i64(0), source.depth, f.i64(lanes)) as k:
            turn(k.index, first_lanes(f, f.sub(source.depth, k.index), lanes))
        return
    with f.loop(f.i64(0), whole, f.i64(lanes)) as k:
        turn(k.index, None)
    with f.when(f.compare("slt", whole, source.depth)):
        turn(whole, first_lanes(f, f.sub(source.depth, whole), lanes))
