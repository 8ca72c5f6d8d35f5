"""What classifiers of images end with, and their stems."""

from __future__ import annotations

from glubina.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Sequential,
    init,
)
from glubina.nn.blocks import conv_norm


def pooled_classifier(channels: int, num_classes: int, dropout: float = 0.0) -> Sequential:
    """The mean over the image, dropout, and a linear layer: (N, H, W, C) to (N, num_classes)."""
    parts: dict[str, Module] = {"pool": AdaptiveAvgPool2d(1), "flatten": Flatten()}
    if dropout:
        parts["dropout"] = Dropout(dropout)
    parts["linear"] = Linear(channels, num_classes)
    return Sequential(parts)


def imagenet_stem(in_channels: int, channels: int) -> Sequential:
    """7 × 7 with stride 2, norm, ReLU, max-pooling 3 × 3 with stride 2: a quarter of the size."""
    return Sequential(
        {"conv": conv_norm(in_channels, channels, 7, stride=2), "pool": MaxPool2d(3, 2, 1)}
    )


def draw_for_relu(network: Module) -> None:
    """All convolutions drawn for ReLU, by their outputs (He et al., 2015, arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
