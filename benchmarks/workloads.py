"""The workloads: networks, data, update rule, mini-batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import layers
from .layers import (
    LSTM,
    Activation,
    Attention,
    AvgPool,
    BatchNorm,
    Branches,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Layers,
    MaxPool,
    Residual,
    Shape,
)

Data = tuple[NDArray[Any], NDArray[Any]]
RELU, TANH = Activation("relu"), Activation("tanh")


@dataclass(frozen=True)
class Rule:
    """An update rule: "sgd", "adam" or "adadelta"."""

    name: str
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0


# --- data ------------------------------------------------------------------------------------


def clusters(w: Workload, random: np.random.Generator) -> Data:
    """A centre for every class, and noise around it."""
    labels = random.integers(0, w.classes, w.batch * w.batches)
    centres = random.standard_normal((w.classes, *w.shape), dtype=np.float32)
    noise = random.standard_normal((len(labels), *w.shape), dtype=np.float32)
    return 0.5 * (centres[labels] + noise), labels


def waves(w: Workload, random: np.random.Generator) -> Data:
    """Points of the plane and a smooth function of them."""
    points = random.uniform(-1, 1, (w.batch * w.batches, 2)).astype(np.float32)
    return points, np.sin(3 * points[:, :1] * points[:, 1:])


def text(w: Workload, random: np.random.Generator) -> Data:
    """Tokens of which each mostly follows from the one before; the label is the next one."""
    count, length = w.batch * w.batches, w.shape[0]
    tokens = np.empty((count, length + 1), np.int64)
    tokens[:, 0] = random.integers(0, w.classes, count)
    for at in range(length):
        jump = random.integers(0, w.classes, count) * (random.random(count) < 0.1)
        tokens[:, at + 1] = (7 * tokens[:, at] + 3 + jump) % w.classes
    return tokens[:, :-1].copy(), tokens[:, 1:].copy()


def sound(w: Workload, random: np.random.Generator) -> Data:
    """Two tones and noise; the label is the next sample's level."""
    count, length = w.batch * w.batches, w.shape[0]
    time = np.arange(length + 1)
    pitch, phase = random.uniform(0.02, 0.3, (count, 1)), random.uniform(0, 6, (count, 1))
    noise = random.standard_normal((count, length + 1))
    tones = np.sin(pitch * time + phase) + 0.02 * noise
    labels = np.clip((0.5 + 0.45 * tones) * w.classes, 0, w.classes - 1).astype(np.int64)
    return tones[:, :-1, None].astype(np.float32), labels[:, 1:].copy()


def levels(w: Workload, random: np.random.Generator) -> Data:
    """Smooth images under noise; the label of a pixel is the level of the smooth one."""
    rows, columns = np.mgrid[: w.shape[0], : w.shape[1]]
    pitch = random.uniform(0.05, 0.3, (2, w.batch * w.batches, 1, 1))
    phase = random.uniform(0, 6, (2, w.batch * w.batches, 1, 1))
    smooth = np.sin(pitch[0] * rows + phase[0]) * np.sin(pitch[1] * columns + phase[1])
    labels = np.clip((smooth + 1) / 2 * w.classes, 0, w.classes - 1).astype(np.int64)
    noisy = smooth[..., None] + 0.3 * random.standard_normal((len(smooth), *w.shape))
    return noisy.astype(np.float32), labels


def themselves(w: Workload, random: np.random.Generator) -> Data:
    """Combinations of a few patterns, each to be made again from itself."""
    patterns = random.random((16, *w.shape), dtype=np.float32)
    shares = random.dirichlet(np.ones(16), w.batch * w.batches).astype(np.float32)
    examples = np.tensordot(shares, patterns, 1)
    return examples, examples


@dataclass(frozen=True)
class Workload:
    """A training step, or a forward pass if `rule` is None, of one network.

    `shape` is one example's (images channels-last). `batches` is how many mini-batches lie in
    memory: a system walks over them again and again. The loss is the cross-entropy over the last
    axis, or the mean squared error where `classes` is 0.
    """

    name: str
    title: str
    network: Layers
    shape: Shape
    classes: int
    batch: int
    batches: int
    rule: Rule | None
    make: Callable[[Workload, np.random.Generator], Data] = clusters

    def data(self) -> Data:
        """Examples that can be learnt, from a fixed seed: (inputs, labels or targets)."""
        return self.make(self, np.random.default_rng(0))

    @property
    def flops(self) -> int:
        """Multiplications and additions of the contractions in one step."""
        forward, step = layers.flops(self.network, self.shape)
        return self.batch * (step if self.rule else forward)

    @property
    def images(self) -> bool:
        """Whether one example is (height, width, channels)."""
        return len(self.shape) == 3


# --- networks --------------------------------------------------------------------------------


def _perceptron(*units: int, activation: Activation = RELU, dropout: float = 0.0) -> Layers:
    found: list[Layer] = []
    for n in units[:-1]:
        found += [Dense(n), activation]
        found += [Dropout(dropout)] if dropout else []
    return (*found, Dense(units[-1]))


def _tabular(*units: int) -> Layers:
    found: list[Layer] = []
    for n in units[:-1]:
        found += [Dense(n), BatchNorm(), RELU, Dropout(0.3)]
    return (*found, Dense(units[-1]))


def _normalised(filters: int, window: int = 3, stride: int = 1, groups: int = 1) -> Layers:
    """Convolution and batch normalisation; the image keeps its size but for the stride."""
    padding = window // 2
    conv = Conv(filters, window, stride=stride, padding=padding, groups=groups, bias=False)
    return (conv, BatchNorm())


def _residual(filters: int, stride: int, grows: bool) -> Layers:
    """A block of two convolutions; where the channels grow, the shortcut is a projection."""
    body = (*_normalised(filters, stride=stride), RELU, *_normalised(filters))
    shortcut = _normalised(filters, 1, stride) if grows else ()
    return (Residual(body, shortcut), RELU)


def _resnet20() -> Layers:
    found: list[Layer] = [*_normalised(16), RELU]
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            first = stage > 0 and block == 0
            found += _residual(filters, 2 if first else 1, first)
    return (*found, GlobalAvgPool(), Dense(10))


def _inception(one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> Branches:
    return Branches(
        (
            (Conv(one, 1), RELU),
            (Conv(three[0], 1), RELU, Conv(three[1], 3, padding=1), RELU),
            (Conv(five[0], 1), RELU, Conv(five[1], 5, padding=2), RELU),
            (MaxPool(3, stride=1, padding=1), Conv(pooled, 1), RELU),
        )
    )


def _separable(inputs: int, filters: int, stride: int) -> Layers:
    """A depthwise convolution and a pointwise one, each normalised."""
    depthwise = _normalised(inputs, stride=stride, groups=inputs)
    return (*depthwise, RELU, *_normalised(filters, 1), RELU)


def _mobilenet() -> Layers:
    found: list[Layer] = [*_normalised(32), RELU]
    widths = ((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1))
    for inputs, filters, stride in widths:
        found += _separable(inputs, filters, stride)
    return (*found, GlobalAvgPool(), Dense(10))


def _gpt(blocks: int, width: int, heads: int) -> Layers:
    feed_forward = (LayerNorm(), Dense(4 * width), Activation("gelu"), Dense(width))
    block = (Residual((LayerNorm(), Attention(heads))), Residual(feed_forward))
    embedding = Embedding(65, width, positions=True)
    return (embedding, *(block * blocks), LayerNorm(), Dense(65))


def _wavenet(channels: int, dilations: tuple[int, ...], classes: int) -> Layers:
    found: list[Layer] = [Conv(channels, 1)]
    for d in dilations:
        found += [Residual((Conv(channels, 3, padding=d, dilation=d), RELU, Conv(channels, 1)))]
    return (*found, RELU, Conv(classes, 1))


def _unet(*filters: int) -> Layers:
    """Down and up again, with the larger image handed over at every level."""
    n, *deeper = filters
    pair = (Conv(n, 3, padding=1), RELU, Conv(n, 3, padding=1), RELU)
    if not deeper:
        return pair
    path = (MaxPool(2), *_unet(*deeper), ConvTranspose(n))
    return (*pair, Branches(((), path)), *pair)


def _vgg(*filters: int) -> Layers:
    """Two normalised convolutions and a max-pooling at every width."""
    found: list[Layer] = []
    for n in filters:
        found += [*_normalised(n), RELU, *_normalised(n), RELU, MaxPool(2)]
    return (*found, Flatten(), Dense(128), RELU, Dropout(0.5), Dense(10))


def _densenet(growth: int, layers: int) -> Layers:
    """DenseNet-BC: every layer's maps are joined to those before; 1 x 1 bottlenecks between."""
    width = 2 * growth
    found: list[Layer] = [Conv(width, 3, padding=1, bias=False)]
    for stage in range(3):
        for _ in range(layers):
            narrow = (BatchNorm(), RELU, Conv(4 * growth, 1, bias=False))
            new = (BatchNorm(), RELU, Conv(growth, 3, padding=1, bias=False))
            found.append(Branches(((), (*narrow, *new))))
            width += growth
        if stage < 2:
            width //= 2
            found += [BatchNorm(), RELU, Conv(width, 1, bias=False), AvgPool(2)]
    return (*found, BatchNorm(), RELU, GlobalAvgPool(), Dense(10))


# --- workloads -------------------------------------------------------------------------------

ADAM = Rule("adam", 1e-3)
MOMENTUM = Rule("sgd", 0.01, momentum=0.9)
DECAY = Rule("sgd", 0.05, momentum=0.9, weight_decay=1e-4)
ADADELTA = Rule("adadelta", 1.0)
SGD = Rule("sgd", 0.03)

MLP = Workload(
    name="mlp",
    title="MLP 784-512-256-10, dropout 0.5, Adam",
    network=_perceptron(512, 256, 10, dropout=0.5),
    shape=(784,), classes=10, batch=128, batches=50, rule=ADAM,
)  # fmt: skip
KERAS_CNN = Workload(
    name="keras_cnn",
    title="Keras's CNN: conv 32, conv 64, max-pool, dense 128, dropout, Adadelta",
    network=(
        *(Conv(32, 3), RELU, Conv(64, 3), RELU, MaxPool(2), Dropout(0.25)),
        *(Flatten(), Dense(128), RELU, Dropout(0.5), Dense(10)),
    ),
    shape=(28, 28, 1), classes=10, batch=128, batches=10, rule=ADADELTA,
)  # fmt: skip
LENET5 = Workload(
    name="lenet5",
    title="LeNet-5, tanh, average pooling, SGD with momentum",
    network=(
        *(Conv(6, 5, padding=2), TANH, AvgPool(2), Conv(16, 5), TANH, AvgPool(2), Flatten()),
        *_perceptron(120, 84, 10, activation=TANH),
    ),
    shape=(28, 28, 1), classes=10, batch=64, batches=20, rule=MOMENTUM,
)  # fmt: skip
RESNET20 = Workload(
    name="resnet20",
    title="ResNet-20, SGD with momentum and weight decay",
    network=_resnet20(),
    shape=(32, 32, 3), classes=10, batch=64, batches=10, rule=DECAY,
)  # fmt: skip
CHAR_LSTM = Workload(
    name="char_lstm",
    title="Characters: embedding 128, LSTM 256, 64 steps, dense 65, Adam",
    network=(Embedding(65, 128), LSTM(256), Dense(65)),
    shape=(64,), classes=65, batch=64, batches=10, rule=ADAM, make=text,
)  # fmt: skip
PLAYGROUND = Workload(
    name="playground",
    title="Playground 2-8-8-1, tanh, SGD",
    network=_perceptron(8, 8, 1, activation=TANH),
    shape=(2,), classes=0, batch=32, batches=100, rule=SGD, make=waves,
)  # fmt: skip
DENSE = Workload(
    name="dense",
    title="Wide dense layers 1024-4096-4096-10, SGD with momentum",
    network=_perceptron(4096, 4096, 10),
    shape=(1024,), classes=10, batch=128, batches=10, rule=MOMENTUM,
)  # fmt: skip
INCEPTION = Workload(
    name="inception",
    title="Inception blocks (1x1, 3x3, 5x5, pooled side by side), Adam",
    network=(
        *(Conv(32, 3, padding=1), RELU, MaxPool(2), _inception(16, (24, 32), (4, 8), 8)),
        *(_inception(32, (32, 48), (8, 24), 16), MaxPool(2)),
        *(_inception(48, (24, 52), (4, 12), 16), GlobalAvgPool(), Dense(10)),
    ),
    shape=(32, 32, 3), classes=10, batch=64, batches=10, rule=ADAM,
)  # fmt: skip
MOBILENET = Workload(
    name="mobilenet",
    title="Depthwise-separable convolutions with batch norm, SGD with momentum",
    network=_mobilenet(),
    shape=(32, 32, 3), classes=10, batch=64, batches=10, rule=MOMENTUM,
)  # fmt: skip
GPT = Workload(
    name="gpt",
    title="Transformer: 4 blocks, width 128, 4 heads, 64 tokens, Adam",
    network=_gpt(4, 128, 4),
    shape=(64,), classes=65, batch=32, batches=10, rule=ADAM, make=text,
)  # fmt: skip
WAVENET = Workload(
    name="wavenet",
    title="Dilated 1-d convolutions, 32 channels, 512 samples, Adam",
    network=_wavenet(32, (1, 2, 4, 8, 16, 32, 64, 128), 64),
    shape=(512, 1), classes=64, batch=16, batches=10, rule=ADAM, make=sound,
)  # fmt: skip
UNET = Workload(
    name="unet",
    title="U-Net 16-32-64 with transposed convolutions, Adam",
    network=(*_unet(16, 32, 64), Conv(4, 1)),
    shape=(64, 64, 1), classes=4, batch=16, batches=6, rule=ADAM, make=levels,
)  # fmt: skip
VGG = Workload(
    name="vgg",
    title="VGG with batch norm, 32-64-128 filters, Adam",
    network=_vgg(32, 64, 128),
    shape=(32, 32, 3), classes=10, batch=64, batches=10, rule=ADAM,
)  # fmt: skip
DENSENET = Workload(
    name="densenet",
    title="DenseNet-BC, growth 12, three blocks of 6, SGD with momentum and weight decay",
    network=_densenet(12, 6),
    shape=(32, 32, 3), classes=10, batch=32, batches=10, rule=DECAY,
)  # fmt: skip
AUTOENCODER = Workload(
    name="autoencoder",
    title="Autoencoder 784-256-64-256-784, Adam",
    network=_perceptron(256, 64, 256, 784),
    shape=(784,), classes=0, batch=128, batches=50, rule=ADAM, make=themselves,
)  # fmt: skip
TABULAR = Workload(
    name="tabular",
    title="Wide table 100-1024-1024-512-10, batch normalisation, dropout, Adam",
    network=_tabular(1024, 1024, 512, 10),
    shape=(100,), classes=10, batch=512, batches=20, rule=ADAM,
)  # fmt: skip
WORDS = Workload(
    name="words",
    title="Words: embedding 10000 -> 200, two LSTM 200, 35 steps, dense 10000, SGD",
    network=(Embedding(10000, 200), LSTM(200), LSTM(200), Dense(10000)),
    shape=(35,), classes=10000, batch=20, batches=10, rule=SGD, make=text,
)  # fmt: skip


def _inference(trained: Workload, batch: int) -> Workload:
    """The forward pass of a training workload's network."""
    title = f"Forward pass of {trained.name}"
    name = f"{trained.name}_infer{batch}"
    return replace(trained, name=name, title=title, batch=batch, batches=8, rule=None)


TRAINING = (
    *(MLP, KERAS_CNN, LENET5, RESNET20, CHAR_LSTM, PLAYGROUND),
    *(DENSE, INCEPTION, MOBILENET, GPT, WAVENET, UNET, VGG, DENSENET),
    *(AUTOENCODER, TABULAR, WORDS),
)
INFERENCE = tuple(_inference(w, batch) for w in (MLP, RESNET20) for batch in (1, 64))
WORKLOADS = {workload.name: workload for workload in (*TRAINING, *INFERENCE)}
