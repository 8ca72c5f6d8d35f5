"""The generalised residual block: a residual stream and a transient one beside it."""

from __future__ import annotations

from glubina.nn.activation import relu
from glubina.nn.architecture import register
from glubina.nn.convolution import Conv2d
from glubina.nn.module import Module
from glubina.nn.normalisation import BatchNorm2d
from glubina.tensor import Tensor


@register
class TwoStreamBlock(Module):
    """r' = relu(norm(W_rr r + W_tr t + shortcut(r))), t' = relu(norm(W_tt t + W_rt r)).

    r is the residual stream, t the transient one, which has no shortcut; each W is a 3 × 3
    convolution. Both are (N, H, W, in_channels) and become (N, H/stride, W/stride,
    out_channels); the shortcut is a 1 × 1 convolution where the size changes. Source: Targ et
    al., 2016, arXiv:1603.08029.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        def conv(size: int) -> Conv2d:
            return Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False)

        self.residual = conv(3)
        self.transient = conv(3)
        self.residual_to_transient = conv(3)
        self.transient_to_residual = conv(3)
        same = in_channels == out_channels and stride == 1
        self.shortcut = None if same else conv(1)
        self.residual_norm = BatchNorm2d(out_channels)
        self.transient_norm = BatchNorm2d(out_channels)

    def forward(self, residual: Tensor, transient: Tensor) -> tuple[Tensor, Tensor]:
        """The two streams after the block."""
        around = residual if self.shortcut is None else self.shortcut(residual)
        r = self.residual(residual) + self.transient_to_residual(transient) + around
        t = self.transient(transient) + self.residual_to_transient(residual)
        return relu(self.residual_norm(r)), relu(self.transient_norm(t))
