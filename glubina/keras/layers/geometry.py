"""Keras's 'same' padding: as many outputs as ⌈n / stride⌉, the odd zero at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from glubina.nn import functional as F
from glubina.tensor import Tensor

Extents = tuple[int, ...]


def channels_last(data_format: str | None) -> None:
    """ValueError for any other layout of images."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"data_format is 'channels_last' here, got {data_format!r}: transpose the images to "
            "(N, H, W, C)"
        )


def same_widths(
    shape: Extents, window: Extents, strides: Extents, dilation: Extents
) -> list[tuple[int, int]]:
    """How much goes before and after each spatial axis for ⌈n / stride⌉ outputs."""
    widths = []
    for n, k, s, d in zip(shape, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        widths.append((total // 2, total - total // 2))
    return widths


def padded_same(
    run: Callable[[Tensor, Any], Tensor],
    x: Tensor,
    padding: str,
    window: Extents,
    strides: Extents,
    dilation: Extents,
) -> Tensor:
    """The operation with this padding: its own where both sides are equal, else zeros before it."""
    zero = (0,) * len(window)
    if padding == "valid":
        return run(x, zero)
    if padding == "causal":
        return run(F.pad(x, [dilation[0] * (window[0] - 1), 0]), zero)
    widths = same_widths(x.shape[1:-1], window, strides, dilation)
    if all(low == high for low, high in widths):
        return run(x, tuple(low for low, _ in widths))
    return run(F.pad(x, flat(widths)), zero)


def flat(widths: Sequence[tuple[int, int]]) -> list[int]:
    """(before, after) of each axis as `F.pad` takes them: the last axis first."""
    return [number for pair in reversed(widths) for number in pair]
