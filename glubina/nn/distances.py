"""Layers of distances and angles between vectors, pooling by the p-norm, softmax over channels."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from glubina.graph import Node, ops
from glubina.graph.ops import Formula
from glubina.nn.activation import softmax
from glubina.nn.architecture import register
from glubina.nn.checks import images
from glubina.nn.formula import apply, number, scaled
from glubina.nn.margin import cosine_similarity, pairwise_distance
from glubina.nn.module import Module
from glubina.nn.pooling import average, largest
from glubina.nn.windows import Windows, windows
from glubina.tensor import Tensor
from glubina.tensor.arguments import above_zero

Extents = int | tuple[int, ...]


@register
class CosineSimilarity(Module):
    """a·b / (‖a‖ ‖b‖) along an axis; see `cosine_similarity`."""

    def __init__(self, axis: int = -1, eps: float = 1e-8) -> None:
        self.axis, self.eps = axis, float(eps)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """From two tensors of one shape; the axis is removed."""
        return cosine_similarity(a, b, self.axis, self.eps)

    def extra_repr(self) -> str:
        """The axis."""
        return f"axis={self.axis}, eps={self.eps}"


@register
class PairwiseDistance(Module):
    """‖a − b + ε‖_p along the last axis; see `pairwise_distance`."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> None:
        self.p, self.eps, self.keepdims = float(p), float(eps), keepdims

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """From two tensors of one shape; the axis is removed, or kept with `keepdims`."""
        found = pairwise_distance(a, b, self.p, self.eps)
        return found.reshape((*found.shape, 1)) if self.keepdims else found

    def extra_repr(self) -> str:
        """The norm."""
        return f"p={self.p}"


@register
class Softmax2d(Module):
    """The softmax over the channels of images (N, H, W, C), at each place."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        images(x, 2)
        return softmax(x)


@Formula
def _by_norm(w: Windows, p: float, x: Node) -> Node:
    """(Σ x^p)^(1/p); where the sum is not positive 0 with derivative 0, as in PyTorch."""
    mean = average.function(w, True, None, ops.power(x, number(x, p)))
    total = scaled(mean, math.prod(w.window))  # a window over the edge counts as a whole one
    positive = ops.less(number(total, 0), total)
    root = ops.power(ops.where(positive, total, number(total, 1)), number(total, 1 / p))
    return ops.where(positive, root, number(total, 0))


def _lp_pool(
    rank: int, x: Tensor, p: float, kernel_size: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    p = _norm_type(p)
    images(x, rank)
    w = windows(rank, kernel_size, stride, 0, ceil=ceil_mode)
    if p == math.inf:
        return apply(largest, x, settings=(w,))
    return apply(_by_norm, x, settings=(w, p))


def _norm_type(given: Any) -> float:
    return math.inf if given == math.inf else above_zero("norm_type", given)


def lp_pool1d(
    x: Tensor, norm_type: float, kernel_size: Extents, stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """(Σ x^p)^(1/p) of each window over L of (N, L, C), p = norm_type."""
    return _lp_pool(1, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    x: Tensor, norm_type: float, kernel_size: Extents, stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """(Σ x^p)^(1/p) of each window of images (N, H, W, C): p = 1 is the sum, ∞ the largest."""
    return _lp_pool(2, x, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    x: Tensor, norm_type: float, kernel_size: Extents, stride: Extents | None = None,
    ceil_mode: bool = False,
) -> Tensor:  # fmt: skip
    """(Σ x^p)^(1/p) of each window of volumes (N, D, H, W, C); see `lp_pool2d`."""
    return _lp_pool(3, x, norm_type, kernel_size, stride, ceil_mode)


class _LPPool(Module):
    rank: ClassVar[int]

    def __init__(
        self,
        norm_type: float,
        kernel_size: Extents,
        stride: Extents | None = None,
        ceil_mode: bool = False,
    ) -> None:
        w = windows(self.rank, kernel_size, stride, 0, ceil=ceil_mode)
        self.norm_type = _norm_type(norm_type)
        self.kernel_size, self.stride = w.window, w.stride
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """The norm of each window."""
        given = self.norm_type, self.kernel_size, self.stride, self.ceil_mode
        return _lp_pool(self.rank, x, *given)

    def extra_repr(self) -> str:
        """The norm and the window."""
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}"


@register
class LPPool1d(_LPPool):
    """The p-norm of each window over L of (N, L, C); see `lp_pool2d`."""

    rank = 1


@register
class LPPool2d(_LPPool):
    """The p-norm of each window of images (N, H, W, C); see `lp_pool2d`."""

    rank = 2


@register
class LPPool3d(_LPPool):
    """The p-norm of each window of volumes (N, D, H, W, C); see `lp_pool2d`."""

    rank = 3
