"""Channels first to channels last and back: what PyTorch's images are and what kernels run on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import glubina.tensor as gl
from glubina.tensor.errors import ShapeError
from glubina.torch.tensor import faced

_SHAPES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


def channels_last(x: gl.Tensor) -> gl.Tensor:
    """(N, C, *spatial) as (N, *spatial, C)."""
    rank = x.ndim
    return x if rank < 3 else gl.permute_dims(x, (0, *range(2, rank), 1))


def channels_first(x: gl.Tensor) -> gl.Tensor:
    """(N, *spatial, C) as (N, C, *spatial)."""
    rank = x.ndim
    return x if rank < 3 else gl.permute_dims(x, (0, rank - 1, *range(1, rank - 1)))


def weight_last(weight: gl.Tensor) -> gl.Tensor:
    """A filter (out, in, *window) as (*window, in, out)."""
    return gl.permute_dims(weight, (*range(2, weight.ndim), 1, 0))


def transposed_weight_last(weight: gl.Tensor) -> gl.Tensor:
    """A transposed convolution's filter (in, out, *window) as (*window, in, out)."""
    return gl.permute_dims(weight, (*range(2, weight.ndim), 0, 1))


def on_images(
    function: Callable[..., Any],
    x: Any,
    rank: int | None = None,
    channels: int | None = None,
    others: tuple[gl.Tensor, ...] = (),
) -> Any:
    """What a function of channels-last images gives for channels-first ones.

    rank: the number of spatial axes; a single image (C, *spatial) is then taken as well. others:
    further tensors that lie like x. A function may give several images.
    """
    if not isinstance(x, gl.Tensor):
        raise gl.errors.DTypeError(
            f"expected a tensor, got {type(x).__name__}; torch.tensor(x) makes one"
        )
    if rank is None:
        return _turned(function, (x, *others), False)
    single = x.ndim == rank + 1
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(f"expected input of shape {_SHAPES[rank]}, got {tuple(x.shape)}")
    if single:
        x, *rest = (gl.expand_dims(t, 0) for t in (x, *others))
        others = tuple(rest)
    if channels is not None and x.shape[1] != channels:
        hint = "; channels come first here" if x.shape[-1] == channels else ""
        raise ShapeError(
            f"expected input of shape {_SHAPES[rank]} with C = {channels}, "
            f"got {tuple(x.shape)}{hint}"
        )
    return _turned(function, (x, *others), single)


def _turned(function: Callable[..., Any], given: tuple[gl.Tensor, ...], single: bool) -> Any:
    def back(y: gl.Tensor) -> Any:
        y = channels_first(y)
        return faced(gl.squeeze(y, 0) if single else y)

    found = function(*[channels_last(x) for x in given])
    return tuple(back(y) for y in found) if isinstance(found, tuple) else back(found)


def spatial_of(size: Any, rank: int) -> Any:
    """The spatial part of an `output_size`, which may be given as a whole shape (N, C, ...)."""
    if size is None or isinstance(size, int):
        return size
    return tuple(size)[max(len(size) - rank, 0) :]


def rank_of(name: str) -> int | None:
    """The number of spatial axes that a name ends in: 2 for `MaxPool2d`."""
    return int(name[-2]) if name[-1] == "d" and name[-2].isdigit() else None
