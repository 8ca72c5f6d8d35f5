"""Padding around images: zeros or a constant, mirrored, repeated, or around the other end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import images
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.tensor import Tensor

MODES = ("constant", "reflect", "replicate", "circular")

Widths = tuple[tuple[int, int], ...]


def _cut(x: Node, axis: int, start: int, length: int) -> Node:
    starts, lengths = [0] * len(x.shape), list(x.shape)
    starts[axis], lengths[axis] = start, length
    return ops.slice(x, tuple(starts), tuple(lengths), (1,) * len(x.shape))


def _repeated(x: Node, axis: int, place: int, times: int) -> Node:
    shape = list(x.shape)
    shape[axis] = times
    return ops.broadcast(_cut(x, axis, place, 1), tuple(shape))


def _outside(x: Node, axis: int, low: int, high: int, mode: str) -> tuple[Node, Node]:
    """What stands before the axis and what stands after it."""
    extent = x.shape[axis]
    if mode == "reflect":
        before = ops.flip(_cut(x, axis, 1, low), (axis,))
        after = ops.flip(_cut(x, axis, extent - 1 - high, high), (axis,))
    elif mode == "replicate":
        before = _repeated(x, axis, 0, low)
        after = _repeated(x, axis, extent - 1, high)
    else:
        before = _cut(x, axis, extent - low, low)
        after = _cut(x, axis, 0, high)
    return before, after


def padded(x: Node, widths: Widths, mode: str, value: float) -> Node:
    """x with `widths` (before, after) around its spatial axes 1, 2, ..."""
    whole = ((0, 0), *widths, (0, 0))
    for axis, (low, high) in enumerate(whole):
        if low < 0 or high < 0:
            kept = x.shape[axis] + min(low, 0) + min(high, 0)
            x = _cut(x, axis, max(-low, 0), kept)
    lows, highs = (tuple(max(w[i], 0) for w in whole) for i in (0, 1))
    if mode == "constant":
        return _constant(x, lows, highs, value)
    for axis, (low, high) in enumerate(zip(lows, highs, strict=True)):
        if low or high:
            before, after = _outside(x, axis, low, high, mode)
            parts = [p for p in (before, x, after) if p.shape[axis]]
            x = ops.concat(parts, axis)
    return x


def _constant(x: Node, lows: tuple[int, ...], highs: tuple[int, ...], value: float) -> Node:
    around = (0,) * len(x.shape)
    y = ops.pad(x, lows, highs, around)
    if value == 0:
        return y
    inside = ops.pad(ops.full_like(x, 1), lows, highs, around)
    return ops.where(ops.equal(inside, ops.full_like(y, 1)), y, ops.full_like(y, value))


@Formula
def surrounded(widths: Widths, mode: str, value: float, x: Node) -> Node:
    """`padded` as one node."""
    return padded(x, widths, mode, value)


def pad(x: Tensor, padding: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Elements added around the spatial axes of (N, *spatial, C).

    padding: (before, after) of the last spatial axis first, then of the one before it, as in
    PyTorch: (left, right, top, bottom) for images; negative numbers cut off. mode: "constant" (the
    value), "reflect" (mirrored at the edge's centre), "replicate" (the edge again), "circular"
    (the other end).
    """
    rank = len(padding) // 2
    if len(padding) % 2 or rank not in (1, 2, 3):
        raise ValueError(f"padding is 2, 4 or 6 numbers, (before, after) per axis, got {padding!r}")
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, got {mode!r}")
    images(x, rank)
    widths = tuple((int(padding[2 * i]), int(padding[2 * i + 1])) for i in reversed(range(rank)))
    check_widths(x, widths, mode)
    return apply(surrounded, x, settings=(widths, mode, float(value)))


def check_widths(x: Tensor, widths: Widths, mode: str) -> None:
    """ShapeError where the input is too small to be mirrored or gone around, or is cut away."""
    for axis, (low, high) in enumerate(widths, 1):
        extent = x.shape[axis]
        least = {"reflect": max(low, high) + 1, "circular": max(low, high)}.get(mode, 0)
        if mode == "replicate" and (low > 0 or high > 0):
            least = 1
        if extent < least or extent + low + high < 0:
            raise ShapeError(
                f"{mode} padding by {low} and {high} needs an axis of at least "
                f"{max(least, -low - high)}, input {x.shape} has {extent} on axis {axis}"
            )


class _Padding(Module):
    """What the padding layers share: (before, after) per axis, last axis first."""

    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        count = 2 * self.rank
        given = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(given) != count or any(int(n) != n for n in given):
            raise ValueError(f"padding is a whole number or {count} of them, got {padding!r}")
        self.padding = tuple(int(n) for n in given)

    def forward(self, x: Tensor) -> Tensor:
        """The input with elements around it."""
        return pad(x, self.padding, self.mode, self._value())

    def _value(self) -> float:
        return 0.0

    def extra_repr(self) -> str:
        """The widths."""
        return str(self.padding)


class _ConstantPad(_Padding):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = float(value)

    def _value(self) -> float:
        return self.value


_SHAPES = {1: "(N, L, C)", 2: "(N, H, W, C)", 3: "(N, D, H, W, C)"}
_TEXTS = {
    "ZeroPad": "Zeros around {0}.",
    "ConstantPad": "A constant around {0}.",
    "ReflectionPad": "{0} mirrored at its edges, which are not repeated.",
    "ReplicationPad": "The edges of {0} repeated.",
    "CircularPad": "{0} continued with its other end.",
}


def _layer(name: str, base: type[Any], rank: int, mode: str) -> Any:
    text = f"{_TEXTS[name].format(_SHAPES[rank])} See `pad`."
    fields = {"rank": rank, "mode": mode, "__doc__": text, "__module__": __name__}
    return register(type(f"{name}{rank}d", (base,), fields))


ZeroPad1d, ZeroPad2d, ZeroPad3d = (_layer("ZeroPad", _Padding, n, "constant") for n in (1, 2, 3))
ConstantPad1d, ConstantPad2d, ConstantPad3d = (
    _layer("ConstantPad", _ConstantPad, n, "constant") for n in (1, 2, 3)
)
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (
    _layer("ReflectionPad", _Padding, n, "reflect") for n in (1, 2, 3)
)
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (
    _layer("ReplicationPad", _Padding, n, "replicate") for n in (1, 2, 3)
)
CircularPad1d, CircularPad2d, CircularPad3d = (
    _layer("CircularPad", _Padding, n, "circular") for n in (1, 2, 3)
)
