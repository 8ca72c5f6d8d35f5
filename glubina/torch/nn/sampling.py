"""Images read at places of a grid: `affine_grid` and `grid_sample` (Jaderberg et al., 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import ShapeError
from glubina.torch.tensor import faced


def _line(count: int, align_corners: bool, dtype: Any) -> np.ndarray[Any, Any]:
    """The places of so many pixels in −1 ... 1: of their middles, or from corner to corner."""
    steps = np.arange(count, dtype=np.float64)
    if align_corners:
        return (2 * steps / max(count - 1, 1) - 1 if count > 1 else steps).astype(dtype)
    return ((2 * steps + 1) / count - 1).astype(dtype)


def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """The places (N, H, W, 2) that an affine map sends the pixels of an image to.

    theta: (N, 2, 3); size: (N, C, H, W). Places are (x, y) in −1 ... 1; align_corners says that
    ±1 are the middles of the corner pixels, not their edges.
    """
    matrix = as_tensor(theta)
    if matrix.ndim != 3 or matrix.shape[1:] != (2, 3) or len(size) != 4:
        raise ShapeError(
            "affine_grid: theta is (N, 2, 3) and size (N, C, H, W) here, got "
            f"{tuple(matrix.shape)} and {tuple(size)}"
        )
    rows, columns = (_line(n, bool(align_corners), matrix.dtype) for n in size[2:])
    y, x = np.meshgrid(rows, columns, indexing="ij")
    base = np.stack([x, y, np.ones_like(x)], -1).reshape(1, -1, 3)
    found = gl.matmul(gl.tensor(base), gl.swapaxes(matrix, 1, 2))
    return faced(gl.reshape(found, (size[0], *size[2:], 2)))


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """The images (N, C, H, W) at the places of a grid (N, H', W', 2): (N, C, H', W').

    mode: 'bilinear' or 'nearest'. padding_mode: outside are 'zeros', or what the 'border' has.
    The derivatives are those by the images and, of bilinear values, by the places.
    """
    x, places = as_tensor(input), as_tensor(grid)
    if x.ndim != 4 or places.ndim != 4 or places.shape[-1] != 2 or places.shape[0] != x.shape[0]:
        raise ShapeError(
            "grid_sample: expected images (N, C, H, W) and a grid (N, H', W', 2), got "
            f"{tuple(x.shape)} and {tuple(places.shape)}"
        )
    if mode not in ("bilinear", "nearest"):
        raise NotImplementedError(f"grid_sample: mode is 'bilinear' or 'nearest', got {mode!r}")
    if padding_mode not in ("zeros", "border"):
        raise NotImplementedError(
            f"grid_sample: padding_mode is 'zeros' or 'border' here, got {padding_mode!r}"
        )
    found = []
    for axis, count in ((0, x.shape[3]), (1, x.shape[2])):
        at = places[..., axis]
        scale = (count - 1) / 2 if align_corners else count / 2
        shift = (count - 1) / 2
        at = at * scale + shift
        found.append(gl.clip(at, 0.0, count - 1.0) if padding_mode == "border" else at)
    if mode == "nearest":
        return faced(_gathered(x, gl.round(found[0]), gl.round(found[1])))
    left, top = (gl.floor(at.detach()) for at in found)
    right, low = found[0] - left, found[1] - top
    weights = ((1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low)
    corners = ((0, 0), (1, 0), (0, 1), (1, 1))
    parts = [
        gl.multiply(_gathered(x, left + dx, top + dy), gl.expand_dims(weight, 1))
        for weight, (dx, dy) in zip(weights, corners)
    ]
    return faced(parts[0] + parts[1] + parts[2] + parts[3])


def _gathered(x: gl.Tensor, column: gl.Tensor, row: gl.Tensor) -> gl.Tensor:
    """x at whole places (N, H', W'), zero outside: (N, C, H', W')."""
    batch, channels, height, width = x.shape
    column, row = column.detach(), row.detach()
    inside = gl.logical_and(
        gl.logical_and(gl.greater_equal(column, 0.0), gl.less_equal(column, width - 1.0)),
        gl.logical_and(gl.greater_equal(row, 0.0), gl.less_equal(row, height - 1.0)),
    )
    columns = gl.clip(column, 0.0, width - 1.0).astype("int64")
    rows = gl.clip(row, 0.0, height - 1.0).astype("int64")
    first = gl.tensor(np.arange(batch).reshape(-1, 1, 1) * (height * width))
    places = first + rows * width + columns
    flat = gl.reshape(gl.permute_dims(x, (0, 2, 3, 1)), (batch * height * width, channels))
    found = gl.reshape(gl.take(flat, places.reshape(-1), 0), (*places.shape, channels))
    kept = gl.where(gl.expand_dims(inside, -1), found, 0.0)
    return gl.permute_dims(kept, (0, 3, 1, 2))
