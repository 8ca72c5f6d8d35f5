"""MobileNetV3: found by search, with squeeze-and-excitation and hard activations."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu
from glubina.models.inverted import InvertedResidual, divisible, unit
from glubina.models.registry import add
from glubina.nn import (
    AdaptiveAvgPool2d,
    Dropout,
    Flatten,
    Hardswish,
    Linear,
    Module,
    Sequential,
    init,
)
from glubina.nn.architecture import register
from glubina.tensor import Tensor

RE, HS = "relu", "hardswish"
LARGE = (
    (3, 16, 16, False, RE, 1), (3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2), (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2), (3, 200, 80, False, HS, 1), (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1), (3, 480, 112, True, HS, 1), (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1),
)  # fmt: skip
SMALL = (
    (3, 16, 16, True, RE, 2), (3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2), (5, 240, 40, True, HS, 1), (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1), (5, 144, 48, True, HS, 1), (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1),
)  # fmt: skip
"""Tables 1 and 2 of the paper: window, inner channels, channels, squeeze, activation, stride."""

FORMS = {"large": (LARGE, 1280), "small": (SMALL, 1024)}


@register
class MobileNetV3(Module):
    """A convolution, 15 (small: 11) inverted residual blocks, a convolution, two linear layers.

    (N, 224, 224, in_channels) to (N, num_classes). form: "large", 5,483,032 parameters, or
    "small", 2,542,856. width: the multiplier of all channels, which are rounded to multiples of 8.
    stride: of the first convolution (1 for images of 32 × 32). blocks: other rows than the table's.

    Source: Howard et al., 2019, arXiv:1905.02244.
    """

    def __init__(
        self,
        form: str = "large",
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.2,
        stride: int = 2,
        blocks: Sequence[tuple[int, int, int, bool, str, int]] | None = None,
    ) -> None:
        if form not in FORMS:
            raise ValueError(f"form is 'large' or 'small', got {form!r}")
        if not width > 0:
            raise ValueError(f"width must be positive, got {width!r}")

        def scaled(n: float) -> int:
            return divisible(n * width)

        rows, hidden = FORMS[form]
        hidden = scaled(hidden)
        norm = {"eps": 1e-3, "momentum": 0.01}
        channels = scaled(16)
        parts: list[Module] = [unit(in_channels, channels, 3, stride, 1, HS, **norm)]
        for window, inner, out, squeezed, activation, step in rows if blocks is None else blocks:
            squeeze = divisible(scaled(inner) / 4) if squeezed else 0
            parts.append(
                InvertedResidual(
                    channels, scaled(out), scaled(inner), step, window, activation, squeeze,
                    "hardsigmoid", **norm,
                )
            )  # fmt: skip
            channels = scaled(out)
        self.features = Sequential(*parts, unit(channels, 6 * channels, 1, 1, 1, HS, **norm))
        self.head = Sequential(
            *(AdaptiveAvgPool2d(1), Flatten(), Linear(6 * channels, hidden), Hardswish()),
            *(Dropout(dropout), Linear(hidden, num_classes)),
        )
        draw_for_relu(self)
        for layer in self.head:
            if isinstance(layer, Linear) and layer.bias is not None:
                init.normal_(layer.weight, 0, 0.01)
                init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_classes)."""
        result: Tensor = self.head(self.features(x))
        return result


for _form in FORMS:
    add(
        f"mobilenet-v3-{_form}", MobileNetV3, "Howard et al., 2019, arXiv:1905.02244",
        (224, 224, 3), form=_form,
    )  # fmt: skip
