"""Polynomial blocks: several powers of a residual branch are added."""

from __future__ import annotations

from glubina.nn.activation import ReLU, relu
from glubina.nn.architecture import register
from glubina.nn.containers import ModuleList
from glubina.nn.convolution import Conv2d
from glubina.nn.module import Module
from glubina.nn.normalisation import BatchNorm2d
from glubina.tensor import Tensor

KINDS = ("2-way", "poly-2", "mpoly-2")


class _Branch(Module):
    """1 × 1 to half the channels, 3 × 3, 1 × 1 back; filters are shared by all applications.

    Each application has normalisations of its own: what reaches it has its own statistics.
    """

    def __init__(self, channels: int, applications: int = 1) -> None:
        half = max(1, channels // 2)
        shape = ((channels, half, 1), (half, half, 3), (half, channels, 1))
        self.convs = ModuleList([Conv2d(i, o, k, padding=k // 2, bias=False) for i, o, k in shape])
        self.norms = ModuleList([BatchNorm2d(o) for _ in range(applications) for _, o, _ in shape])
        self.relu = ReLU()

    def forward(self, x: Tensor, application: int = 0) -> Tensor:
        """Conv and norm three times, ReLU between them."""
        for i, conv in enumerate(self.convs):
            x = self.norms[3 * application + i](conv(x))
            x = self.relu(x) if i < 2 else x
        return x


@register
class PolyBlock(Module):
    """relu(x + a polynomial of residual branches): (N, H, W, C) to the same shape.

    kind: "2-way" x + F(x) + G(x); "poly-2" x + F(x) + F(F(x)), the filters of both F the same;
    "mpoly-2" x + F(x) + G(F(x)). F and G end without ReLU; one is applied before the second
    branch takes the result of the first. The paper's branches are Inception blocks, these are
    bottlenecks. Source: Zhang et al., 2016, arXiv:1611.05725.
    """

    def __init__(self, channels: int, kind: str = "poly-2") -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(map(repr, KINDS))}, got {kind!r}")
        self.kind = kind
        self.first = _Branch(channels, 2 if kind == "poly-2" else 1)
        self.second = None if kind == "poly-2" else _Branch(channels)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        once = self.first(x)
        if self.second is None:
            other = self.first(relu(once), 1)
        else:
            other = self.second(x if self.kind == "2-way" else relu(once))
        return relu(x + once + other)

    def extra_repr(self) -> str:
        """The kind."""
        return f"kind={self.kind!r}"
