"""The battery over the layers of `glubina.nn`; none may be missing."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import pytest
from battery import run_layer

from glubina import nn
from glubina.nn.loss import Loss

IMAGE, SIGNAL, VOLUME = (2, 5, 6, 4), (2, 7, 4), (2, 3, 4, 3, 4)
BY_RANK = {1: SIGNAL, 2: IMAGE, 3: VOLUME}

ROWS = """
    CELU ELU GELU Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish PReLU RReLU
    ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmin Softplus Softshrink Softsign Tanh Tanhshrink
    Identity Flatten Dropout AlphaDropout DropPath GaussianNoise Hardshrink
"""


def by_rank(name: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    """The layers over one, two and three axes with these arguments, each with its input."""
    return {
        f"{name}{n}d": (partial(getattr(nn, f"{name}{n}d"), *arguments, **options), shape)
        for n, shape in BY_RANK.items()
    }


CASES: dict[str, Any] = {
    **{name: (getattr(nn, name), (3, 6)) for name in ROWS.split()},
    "Threshold": (lambda: nn.Threshold(0.5, 2.0), (3, 6)),
    "Heaviside": (nn.Heaviside, (3, 6)),
    "GLU": (nn.GLU, (3, 6)),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 3)), (3, 6)),
    "Linear": (lambda: nn.Linear(6, 3), (3, 6)),
    "LazyLinear": (lambda: nn.LazyLinear(3), (3, 6)),
    "Bilinear": (lambda: nn.Bilinear(3, 2, 4), (5, 3), (5, 2)),
    "DropConnectLinear": (lambda: nn.DropConnectLinear(6, 3), (3, 6)),
    "LayerNorm": (lambda: nn.LayerNorm(6), (3, 6)),
    "RMSNorm": (lambda: nn.RMSNorm(6), (3, 6)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, 0.5, k=2.0), IMAGE),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), IMAGE),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 4, 6, 3)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), IMAGE),
    "Softmax2d": (nn.Softmax2d, IMAGE),
    "Unfold": (lambda: nn.Unfold(3, padding=1, stride=2), IMAGE),
    "Fold": (lambda: nn.Fold((5, 6), 3, padding=1, stride=2), (2, 9, 18)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "LocallyConnected1d": (lambda: nn.LocallyConnected1d(4, 3, 7, 3, 2, "same"), SIGNAL),
    "LocallyConnected2d": (lambda: nn.LocallyConnected2d(4, 3, (5, 6), 3, 2, 1), IMAGE),
    "CosineSimilarity": (nn.CosineSimilarity, (3, 6), (3, 6)),
    "PairwiseDistance": (nn.PairwiseDistance, (3, 6), (3, 6)),
    **{name: (getattr(nn, name), (3, 6), (3, 6))
       for name in ("Add", "Average", "Concatenate", "Maximum", "Multiply")},
    **by_rank("Conv", 4, 3, 2, 2, 1),
    **by_rank("LazyConv", 3, 2),
    **by_rank("ConvTranspose", 4, 3, 3, 2, 1),
    **by_rank("LazyConvTranspose", 3, 2),
    **by_rank("BatchNorm", 4),
    **by_rank("InstanceNorm", 4),
    **by_rank("LazyBatchNorm"),
    **by_rank("LazyInstanceNorm"),
    **by_rank("MaxPool", 2, ceil_mode=True),
    **by_rank("AvgPool", 2, ceil_mode=True),
    **by_rank("LPPool", 2, 2),
    **by_rank("AdaptiveMaxPool", 2),
    **by_rank("AdaptiveAvgPool", 2),
    **by_rank("ZeroPad", 1),
    **by_rank("ReflectionPad", 1),
    **by_rank("ReplicationPad", 1),
    **by_rank("CircularPad", 1),
    **by_rank("ConstantPad", 1, 2.5),
    **by_rank("Dropout"),
    "Recompute": (lambda: nn.Recompute(nn.Sequential(nn.Linear(6, 3), nn.Tanh())), (3, 6)),
}  # fmt: skip

ELSEWHERE = {
    **dict.fromkeys("Module Sequential ModuleList ModuleDict Manual".split(), "containers"),
    **dict.fromkeys("RNN LSTM GRU RNNCell LSTMCell GRUCell".split(), "test_recurrent"),
    **dict.fromkeys("Embedding EmbeddingBag".split(), "whole numbers"),
    **dict.fromkeys(
        "TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer "
        "Transformer".split(), "test_transformer"),
    **dict.fromkeys("MultiheadAttention SinusoidalPositionalEncoding".split(), "test_nn_attention"),
    **{f"MaxUnpool{n}d": "test_pooling" for n in BY_RANK},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layer(name: str) -> None:
    make, *shapes = CASES[name]
    # random or piecewise constant ones have no derivative to compare with in training
    run_layer(make, *shapes, bounds=(0.1, 2.0) if name.startswith("LPPool") else (-2.0, 2.0))


def test_none_is_missing() -> None:
    layers = {
        name
        for name in nn.__all__
        if inspect.isclass(kind := getattr(nn, name))
        and issubclass(kind, nn.Module)
        and not issubclass(kind, Loss)
    }
    assert layers - set(CASES) - set(ELSEWHERE) == set()
