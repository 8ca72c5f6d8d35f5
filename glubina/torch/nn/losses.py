"""Layers that need more than a new signature: losses of classes, softmax over `dim`, distances."""

from __future__ import annotations

from typing import Any

from glubina import nn
from glubina.torch.nn import functional as F
from glubina.torch.nn.layers import face_of
from glubina.torch.nn.module import FACES, Module

_OLD = "size_average~ ignore_index=-100 reduce~ reduction='mean'"


def _ignored(index: int | None) -> int:
    """PyTorch's default where none was given."""
    return -100 if index is None else index


class _CrossEntropy:
    weight: Any
    reduction: str
    ignore_index: int | None
    label_smoothing: float

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of logits (N, C, ...) and class numbers (N, ...) or probabilities."""
        return F.cross_entropy(
            input, target, self.weight, None, _ignored(self.ignore_index), None, self.reduction,
            self.label_smoothing,
        )  # fmt: skip


class _NLL:
    weight: Any
    reduction: str
    ignore_index: int | None

    def forward(self, input: Any, target: Any) -> Any:
        """The loss of log-probabilities (N, C, ...) and class numbers (N, ...)."""
        return F.nll_loss(
            input, target, self.weight, None, _ignored(self.ignore_index), None, self.reduction
        )


CrossEntropyLoss = face_of(
    "CrossEntropyLoss", f"weight=None {_OLD} label_smoothing=0.0", None, _CrossEntropy
)
NLLLoss = face_of("NLLLoss", f"weight=None {_OLD}", None, _NLL)


class _Along(Module):
    """A function along `dim`."""

    _function: Any

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def forward(self, input: Any) -> Any:
        """The function; the shape stays."""
        return type(self)._function(input, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Softmax(_Along):
    """eˣ / Σ eˣ along `dim`."""

    _function = staticmethod(F.softmax)


class LogSoftmax(_Along):
    """The logarithms of the softmax along `dim`."""

    _function = staticmethod(F.log_softmax)


class Softmin(_Along):
    """The softmax of −x along `dim`."""

    _function = staticmethod(F.softmin)


class Softmax2d(Module):
    """The softmax over the channels of images (N, C, H, W)."""

    def forward(self, input: Any) -> Any:
        """Probabilities over the channels at each place."""
        return F.softmax(input, -3)


class CosineSimilarity(Module):
    """The cosine of the angle between vectors along `dim`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        """From two tensors of one shape; `dim` is removed."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(Module):
    """‖a − b + ε‖_p along the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        """From two tensors of one shape."""
        found = F.pairwise_distance(x1, x2, self.p, self.eps)
        return found.unsqueeze(-1) if self.keepdim else found


class Unfold(Module):
    """The windows of images as columns; see `functional.unfold`."""

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
                 stride: Any = 1) -> None:  # fmt: skip
        self.arguments = (kernel_size, dilation, padding, stride)

    def forward(self, input: Any) -> Any:
        """From (N, C, H, W) to (N, C · KH · KW, positions)."""
        return F.unfold(input, *self.arguments)


class Fold(Module):
    """Columns added where their windows lie; see `functional.fold`."""

    def __init__(self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
                 stride: Any = 1) -> None:  # fmt: skip
        self.arguments = (output_size, kernel_size, dilation, padding, stride)

    def forward(self, input: Any) -> Any:
        """From (N, C · KH · KW, positions) to (N, C, H, W)."""
        return F.fold(input, *self.arguments)


FACES |= {nn.Softmax: Softmax, nn.LogSoftmax: LogSoftmax, nn.Softmin: Softmin}
