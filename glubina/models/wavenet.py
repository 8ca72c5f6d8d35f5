"""WaveNet: dilated causal convolutions look far back in few layers."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import Conv1d, Embedding, Module, ModuleList, Sequential
from glubina.nn.activation import ReLU, sigmoid, tanh
from glubina.nn.architecture import register
from glubina.nn.checks import DOUBLED, MANY, positive
from glubina.nn.padding import pad
from glubina.tensor import Tensor


class _CausalConv(Module):
    """A convolution that sees its own step and steps before it."""

    def __init__(self, inputs: int, outputs: int, window: int, dilation: int = 1) -> None:
        self.before = dilation * (window - 1)
        self.conv = Conv1d(inputs, outputs, window, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, inputs) to (N, L, outputs)."""
        result: Tensor = self.conv(pad(x, (self.before, 0)))
        return result


class _GatedLayer(Module):
    """z = tanh(W_f * x) · σ(W_g * x); a 1 × 1 convolution of z is added to x, another skips."""

    def __init__(self, channels: int, skip_channels: int, window: int, dilation: int) -> None:
        self.channels = channels
        self.filter_and_gate = _CausalConv(channels, 2 * channels, window, dilation)
        self.residual = Conv1d(channels, channels, 1)
        self.skip = Conv1d(channels, skip_channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What goes on to the next layer, and what skips to the end."""
        both = self.filter_and_gate(x)
        z = tanh(both[..., : self.channels]) * sigmoid(both[..., self.channels :])
        return x + self.residual(z), self.skip(z)


@register
class WaveNet(Module):
    """A stack of dilated causal convolutions: symbols (N, L) to logits (N, L, num_symbols).

    The logits at a step are of the next symbol and depend on the last `receptive_field` symbols
    only. layers: with dilations 1, 2, 4, ..., 2^{layers−1}; all of them `stacks` times over.
    num_symbols: levels of the quantised sound (256 in the paper).

    Source: van den Oord et al., 2016, arXiv:1609.03499.
    """

    def __init__(
        self,
        num_symbols: int = 256,
        channels: int = 32,
        skip_channels: int = 256,
        layers: int = 10,
        stacks: int = 3,
        window: int = 2,
    ) -> None:
        self.embedding = Embedding(num_symbols, channels)
        self.first = _CausalConv(channels, channels, positive("window", window))
        layers, stacks = positive("layers", layers, DOUBLED), positive("stacks", stacks, MANY)
        dilations = [2**i for _ in range(stacks) for i in range(layers)]
        self.layers = ModuleList(
            [_GatedLayer(channels, skip_channels, window, dilation) for dilation in dilations]
        )
        self.receptive_field = 1 + (window - 1) * (1 + sum(dilations))
        self.head = Sequential(
            *(ReLU(), Conv1d(skip_channels, skip_channels, 1)),
            *(ReLU(), Conv1d(skip_channels, num_symbols, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From whole numbers (N, L) to (N, L, num_symbols)."""
        y = self.first(self.embedding(x))
        total: Tensor | None = None
        for layer in self.layers:
            y, skipped = layer(y)
            total = skipped if total is None else total + skipped
        result: Tensor = self.head(total)
        return result


add("wavenet", WaveNet, "van den Oord et al., 2016, arXiv:1609.03499", (1024,), "int64")
