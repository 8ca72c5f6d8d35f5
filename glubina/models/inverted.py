"""The inverted residual block with all that MobileNetV2, MobileNetV3 and EfficientNet put in."""

from __future__ import annotations

from typing import Any

from glubina.nn import (
    BatchNorm2d,
    Conv2d,
    DropPath,
    Hardswish,
    Module,
    ReLU,
    ReLU6,
    Sequential,
    SiLU,
)
from glubina.nn.architecture import register
from glubina.nn.checks import positive
from glubina.nn.functional import hardsigmoid, relu, sigmoid, silu
from glubina.tensor import Tensor

ACTIVATIONS: dict[str, Any] = {
    "relu": ReLU, "relu6": ReLU6, "hardswish": Hardswish, "silu": SiLU,
}  # fmt: skip
GATES: dict[str, Any] = {"sigmoid": (silu, sigmoid), "hardsigmoid": (relu, hardsigmoid)}


def divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one, and not below nine tenths of the number."""
    found = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return found + divisor if found < 0.9 * channels else found


def unit(
    in_channels: int,
    out_channels: int,
    window: int,
    stride: int = 1,
    groups: int = 1,
    activation: str | None = "relu6",
    eps: float = 1e-5,
    momentum: float = 0.1,
) -> Sequential:
    """A convolution without bias that keeps the size (but for its stride), norm, activation."""
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"activation is one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    parts: dict[str, Module] = {
        "conv": Conv2d(
            in_channels, out_channels, window, stride, window // 2, groups=groups, bias=False
        ),
        "norm": BatchNorm2d(out_channels, eps, momentum),
    }
    if activation is not None:
        parts["activation"] = ACTIVATIONS[activation]()
    return Sequential(parts)


@register
class Excite(Module):
    """Each channel weighed by the whole image: x · gate(W₂ act(W₁ mean(x) + b₁) + b₂).

    gate: "sigmoid" (with SiLU between, EfficientNet's) or "hardsigmoid" (with ReLU, MobileNetV3's).
    Source: Hu et al., 2017, arXiv:1709.01507.
    """

    def __init__(self, channels: int, between: int, gate: str = "sigmoid") -> None:
        self.reduce = Conv2d(channels, between, 1)
        self.expand = Conv2d(between, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        activation, gate = GATES[self.gate]
        mean = x.mean(axis=(1, 2), keepdims=True)
        result: Tensor = x * gate(self.expand(activation(self.reduce(mean))))
        return result


@register
class InvertedResidual(Module):
    """x + F(x), F = 1 × 1 to `inner` channels, depthwise window × window, 1 × 1 to out_channels.

    (N, H, W, in_channels) to (N, H/stride, W/stride, out_channels); there is no activation after
    the last convolution, the input is added where neither size nor channels change, and the first
    convolution is left out where inner is in_channels. squeeze: channels between in a
    squeeze-and-excitation before the last convolution, 0 for none; gate: see `Excite`. drop_path:
    the probability of leaving F out in training.

    Source: Sandler et al., 2018, arXiv:1801.04381.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        inner: int,
        stride: int = 1,
        window: int = 3,
        activation: str = "relu6",
        squeeze: int = 0,
        gate: str = "sigmoid",
        drop_path: float = 0.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        positive("inner", inner)
        norm = {"eps": eps, "momentum": momentum}
        self.expand: Module | None = None
        if inner != in_channels:
            self.expand = unit(in_channels, inner, 1, 1, 1, activation, **norm)
        self.depthwise = unit(inner, inner, window, stride, inner, activation, **norm)
        self.excite = Excite(inner, squeeze, gate) if squeeze else None
        self.project = unit(inner, out_channels, 1, 1, 1, None, **norm)
        self.adds = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath(drop_path) if drop_path and self.adds else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, H/stride, W/stride, out_channels)."""
        y = self.depthwise(x if self.expand is None else self.expand(x))
        if self.excite is not None:
            y = self.excite(y)
        result: Tensor = self.project(y)
        if self.drop_path is not None:
            result = self.drop_path(result)
        return x + result if self.adds else result
