"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters."""

from __future__ import annotations

from glubina.models.heads import draw_for_relu
from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from glubina.nn.activation import relu
from glubina.nn.architecture import register
from glubina.tensor import Tensor, concat

FORMS = {
    "1.0": (96, 7, (None, 16, 16, 32, None, 32, 48, 48, 64, None, 64)),
    "1.1": (64, 3, (None, 16, 16, None, 32, 32, None, 48, 48, 64, 64)),
}
"""The stem's channels and window, then what each fire block squeezes to; None is pooling."""


@register
class Fire(Module):
    """1 × 1 to `squeeze` maps, then 1 × 1 and 3 × 3 side by side, `expand` maps each.

    (N, H, W, in_channels) to (N, H, W, 2 · expand); ReLU after each. Source: Iandola et al., 2016,
    arXiv:1602.07360.
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        self.squeeze = Conv2d(in_channels, squeeze, 1)
        self.one = Conv2d(squeeze, expand, 1)
        self.three = Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, 2 · expand)."""
        narrow = relu(self.squeeze(x))
        return concat([relu(self.one(narrow)), relu(self.three(narrow))], axis=-1)


@register
class SqueezeNet(Module):
    """A convolution, eight fire blocks, and a convolution 1 × 1 in place of linear layers.

    (N, 224, 224, in_channels) to (N, num_classes). version: "1.0" is the paper's, 1,248,424
    parameters; "1.1", by the same authors, needs 2.4 times less arithmetic, 1,235,496. width:
    scales all channels.

    Source: Iandola et al., 2016, arXiv:1602.07360.
    """

    def __init__(
        self,
        version: str = "1.0",
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.5,
        width: float = 1.0,
    ) -> None:
        if version not in FORMS:
            raise ValueError(f"version is '1.0' or '1.1', got {version!r}")

        def scaled(n: int) -> int:
            return max(1, round(n * width))

        stem, window, blocks = FORMS[version]
        channels = scaled(stem)
        parts: list[Module] = [Conv2d(in_channels, channels, window, 2), ReLU()]
        for squeeze in blocks:
            if squeeze is None:
                parts.append(MaxPool2d(3, 2, ceil_mode=True))
                continue
            parts.append(Fire(channels, scaled(squeeze), scaled(4 * squeeze)))
            channels = 2 * scaled(4 * squeeze)
        self.features = Sequential(*parts)
        last = Conv2d(channels, num_classes, 1)
        self.head = Sequential(Dropout(dropout), last, ReLU(), AdaptiveAvgPool2d(1), Flatten())
        draw_for_relu(self)
        init.normal_(last.weight, 0, 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


_SOURCE = "Iandola et al., 2016, arXiv:1602.07360"
add("squeezenet", SqueezeNet, _SOURCE, (224, 224, 3))
add("squeezenet-1.1", SqueezeNet, _SOURCE, (224, 224, 3), version="1.1")
