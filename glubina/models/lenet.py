"""LeNet-5, which read the amounts on cheques."""

from __future__ import annotations

from glubina.models.mlp import ACTIVATIONS
from glubina.models.registry import add
from glubina.nn import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential
from glubina.nn.architecture import register
from glubina.tensor import Tensor


@register
class LeNet5(Module):
    """Two convolutions 5 × 5, each followed by pooling, and three linear layers.

    (N, 28, 28, in_channels) to logits (N, num_classes); with padding=0 for images of 32 × 32.
    61,706 parameters; the paper has about 60,000, since there the second convolution looks at
    chosen maps only, its pooling has weights, and its last layer compares with drawn digits.
    activation: as in `MLP`. pooling: "average" or "max". Source: LeCun et al., "Gradient-based
    learning applied to document recognition", 1998.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        activation: str = "tanh",
        pooling: str = "average",
        padding: int = 2,
    ) -> None:
        if activation not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation is one of {known}, got {activation!r}")
        if pooling not in ("average", "max"):
            raise ValueError(f"pooling is 'average' or 'max', got {pooling!r}")
        act = ACTIVATIONS[activation]
        pool = AvgPool2d if pooling == "average" else MaxPool2d
        self.features = Sequential(
            *(Conv2d(in_channels, 6, 5, padding=padding), act(), pool(2)),
            *(Conv2d(6, 16, 5), act(), pool(2)),
        )
        self.classifier = Sequential(
            Flatten(), Linear(400, 120), act(), Linear(120, 84), act(), Linear(84, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 28, 28, in_channels) to (N, num_classes)."""
        result: Tensor = self.classifier(self.features(x))
        return result


add("lenet5", LeNet5, "LeCun et al., 1998", (28, 28, 1))
