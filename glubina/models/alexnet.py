"""AlexNet, with which deep learning won the ImageNet competition of 2012."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from glubina.nn.architecture import register
from glubina.tensor import Tensor

CHANNELS = {1: (64, 192, 384, 256, 256), 2: (96, 256, 384, 384, 256)}


@register
class AlexNet(Module):
    """Five convolutions and three linear layers: (N, 224, 224, in_channels) to (N, num_classes).

    towers=2 is the paper's: on two processors, each with half of the channels, which meet in the
    third convolution (the second, fourth and fifth have groups=2); 60,965,224 parameters.
    towers=1 is the author's later form, 61,100,840. response_norm=True puts the paper's local
    response normalisation after the first two (size 5, α 1e-4, β 0.75, k 2), which is usually left
    out since. width: scales all channels and hidden features. Images of other sizes are
    brought to 6 × 6 before the linear layers.

    Source: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012; for one tower Krizhevsky, 2014, arXiv:1404.5997.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        towers: int = 1,
        dropout: float = 0.5,
        width: float = 1.0,
        response_norm: bool = False,
    ) -> None:
        if towers not in CHANNELS:
            raise ValueError(f"towers is 1 or 2, got {towers!r}")
        a, b, c, d, e = (towers * max(1, round(n * width / towers)) for n in CHANNELS[towers])
        hidden = max(1, round(4096 * width))

        def norm() -> list[Module]:
            # the paper's α is that of the sum, the layer's that of the mean over the 5
            return [LocalResponseNorm(5, 5e-4, 0.75, 2.0)] if response_norm else []

        self.features = Sequential(
            *(Conv2d(in_channels, a, 11, 4, 2), ReLU(), *norm(), MaxPool2d(3, 2)),
            *(Conv2d(a, b, 5, padding=2, groups=towers), ReLU(), *norm(), MaxPool2d(3, 2)),
            *(Conv2d(b, c, 3, padding=1), ReLU()),
            *(Conv2d(c, d, 3, padding=1, groups=towers), ReLU()),
            *(Conv2d(d, e, 3, padding=1, groups=towers), ReLU(), MaxPool2d(3, 2)),
        )
        self.pool = AdaptiveAvgPool2d(6)
        self.classifier = Sequential(
            *(Flatten(), Dropout(dropout), Linear(e * 36, hidden), ReLU()),
            *(Dropout(dropout), Linear(hidden, hidden), ReLU(), Linear(hidden, num_classes)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels), sides of at least 63, to (N, num_classes)."""
        result: Tensor = self.classifier(self.pool(self.features(x)))
        return result


add("alexnet", AlexNet, "Krizhevsky, 2014, arXiv:1404.5997", (224, 224, 3))
add("alexnet-two-towers", AlexNet, "Krizhevsky et al., 2012", (224, 224, 3), towers=2)
