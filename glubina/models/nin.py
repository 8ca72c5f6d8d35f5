"""Network in network: small perceptrons slide over the image, and no linear layer at the end."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from glubina.nn.architecture import register
from glubina.tensor import Tensor


def _mlpconv(inputs: int, window: int, *widths: int) -> list[Module]:
    """A convolution, then 1 × 1 convolutions: a perceptron at each place. ReLU after each."""
    parts: list[Module] = []
    for width in widths:
        parts += [Conv2d(inputs, width, window, padding=window // 2), ReLU()]
        inputs, window = width, 1
    return parts


@register
class NetworkInNetwork(Module):
    """Three perceptron layers over the image; the last one's maps, averaged, are the logits.

    (N, H, W, in_channels) to (N, num_classes): global average pooling instead of linear layers.
    0.97 million parameters for CIFAR-10. width: channels of the wide layers (192 in the paper's
    network for CIFAR). Source: Lin et al., 2013, arXiv:1312.4400.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        dropout: float = 0.5,
        width: int = 192,
    ) -> None:
        narrow, narrower = max(1, width * 5 // 6), max(1, width // 2)
        self.features = Sequential(
            *_mlpconv(in_channels, 5, width, narrow, narrower),
            *(MaxPool2d(3, 2, 1), Dropout(dropout)),
            *_mlpconv(narrower, 5, width, width, width),
            *(AvgPool2d(3, 2, 1), Dropout(dropout)),
            *_mlpconv(width, 3, width, width, num_classes)[:-1],
        )
        self.head = Sequential(AdaptiveAvgPool2d(1), Flatten())

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


add("network-in-network", NetworkInNetwork, "Lin et al., 2013, arXiv:1312.4400", (32, 32, 3))
