"""Images of another size: by repeating elements, or by weighted means of neighbours."""

from __future__ import annotations

import math
from typing import Any

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.adaptive import adaptive_pool
from glubina.nn.architecture import register
from glubina.nn.checks import extents, images
from glubina.nn.formula import apply
from glubina.nn.module import Module
from glubina.nn.resampling import LINEAR, mixed, nearest_indices, phased, taps
from glubina.tensor import Tensor

MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")


@Formula
def _repeated(factors: tuple[int, ...], x: Node) -> Node:
    """Each element so many times along each axis, one copy after the other."""
    for axis, times in enumerate(factors, start=1):
        if times > 1:
            before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
            apart = ops.reshape(x, (*before, n, 1, *after))
            wide = ops.broadcast(apart, (*before, n, times, *after))
            x = ops.reshape(wide, (*before, n * times, *after))
    return x


@Formula
def _chosen(axes: tuple[int, ...], x: Node, *indices: Node) -> Node:
    for axis, places in zip(axes, indices, strict=True):
        x = ops.take(x, places, axis)
    return x


def interpolate(
    x: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Images (N, *spatial, C) of another size.

    Either `size`, or `scale_factor`, by which the extents are multiplied and rounded down. mode:

    - "nearest": output i takes the input ⌊i · old / new⌋; "nearest-exact": ⌊(i + ½) · old / new⌋;
    - "linear", "bilinear", "trilinear" (one, two, three spatial axes): the weighted mean of the two
      neighbours along each axis; "bicubic": of the four, by Keys's kernel with a = −0.75;
    - "area": the mean of the inputs that each output covers (`adaptive_avg_pool2d`).

    Elements are squares with their values in the middle: output i lies at (i + ½) · old / new − ½.
    With `align_corners` the centres of the corners stay where they are: i · (old − 1) / (new − 1).
    recompute_scale_factor: old / new is that of the sizes, not of the factor given.
    """
    check_mode(mode, align_corners)
    rank = LINEAR.get(mode, 2 if mode == "bicubic" else min(max(len(x.shape) - 2, 1), 3))
    images(x, rank)
    scales = _scales(size, scale_factor, rank)
    if size is not None:
        sizes = extents("size", size, rank)
    else:
        sizes = tuple(math.floor(n * (s or 1)) for n, s in zip(x.shape[1:-1], scales))
        extents("the new size", sizes, rank)
    if recompute_scale_factor:
        scales = (None,) * rank
    if mode == "area":
        return adaptive_pool(x, sizes, rank, largest=False)
    return _resized(x, sizes, scales, mode, bool(align_corners))


def _resized(
    x: Tensor, sizes: Any, scales: tuple[float | None, ...], mode: str, align_corners: bool
) -> Tensor:
    spatial = x.shape[1:-1]
    if mode != "bicubic":  # an axis of the same extent stays as it is, whatever the factor
        scales = tuple(None if n == m else s for n, m, s in zip(spatial, sizes, scales))
    whole = all(
        m % n == 0 and s in (None, m // n) for n, m, s in zip(spatial, sizes, scales, strict=True)
    )
    factors = tuple(m // n for n, m in zip(spatial, sizes)) if whole else ()
    nearest = mode.startswith("nearest")
    if whole and not align_corners:
        if nearest:
            return apply(_repeated, x, settings=(factors,))
        return apply(phased, x, settings=(mode, factors))
    every = zip(spatial, sizes, scales, strict=True)
    found = [
        (axis, *case)
        for axis, case in enumerate(every, start=1)
        if case[0] != case[1] or case[2] not in (None, 1.0)
    ]
    axes = tuple(axis for axis, *_ in found)
    if nearest:
        exact = mode == "nearest-exact"
        places = [nearest_indices(n, m, s, exact) for _, n, m, s in found]
        return apply(_chosen, x, *places, settings=(axes,))
    tables = [t for _, n, m, s in found for t in taps(mode, n, m, s, align_corners, x.dtype)]
    return apply(mixed, x, *tables, settings=(axes,))


def check_mode(mode: str, align_corners: bool | None) -> None:
    """ValueError for an unknown mode, or for `align_corners` where there are no weights."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if align_corners is not None and mode not in (*LINEAR, "bicubic"):
        raise ValueError(
            f"align_corners is for the modes {', '.join(map(repr, LINEAR))} and 'bicubic'; the "
            f"mode is {mode!r}"
        )


def _scales(size: Any, scale_factor: Any, rank: int) -> tuple[float | None, ...]:
    """The factor of each axis that decides the places; None where the sizes do."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"give either size or scale_factor, got {size!r} and {scale_factor!r}")
    if scale_factor is None:
        return (None,) * rank
    single = isinstance(scale_factor, (int, float))
    factors = (scale_factor,) * rank if single else tuple(scale_factor)
    if len(factors) != rank or any(not f > 0 for f in factors):
        raise ValueError(
            f"scale_factor must be a positive number or {rank} of them, got {scale_factor!r}"
        )
    return tuple(float(f) for f in factors)


@register
class Upsample(Module):
    """Images (N, *spatial, C) of another size; see `interpolate` for the modes."""

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise ValueError(f"give either size or scale_factor, got {size!r} and {scale_factor!r}")
        check_mode(mode, align_corners)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, x: Tensor) -> Tensor:
        """The image of the new size."""
        return interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The size or the factor, and the mode."""
        of = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        end = "" if self.align_corners is None else f", align_corners={self.align_corners}"
        return f"{of}, mode={self.mode!r}{end}"
