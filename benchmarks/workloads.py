"""The training steps that are measured: shapes, data, arithmetic per step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Workload:
    """One training step of one network.

    `shape` is one example's (images channels-last), `classes` is 0 for a regression, and `batches`
    is how many mini-batches lie in memory: a system walks over them again and again. `flops`
    counts the multiplications and additions of the contractions in one step: forward, weight
    gradient, and input gradient except for the first layer, which needs none.
    """

    name: str
    title: str
    batch: int
    shape: tuple[int, ...]
    classes: int
    batches: int
    flops: int
    layouts: tuple[str, ...] = ("",)

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.generic]]:
        """Examples that can be learnt, from a fixed seed: (inputs, labels or targets)."""
        random = np.random.default_rng(0)
        count = self.batch * self.batches
        if not self.classes:
            points = random.uniform(-1, 1, (count, *self.shape)).astype(np.float32)
            return points, np.sin(3 * points[:, :1] * points[:, 1:])
        labels = random.integers(0, self.classes, count)
        centres = random.standard_normal((self.classes, *self.shape), dtype=np.float32)
        noise = random.standard_normal((count, *self.shape), dtype=np.float32)
        return 0.5 * (centres[labels] + noise), labels


def _training_flops(forward: list[int]) -> int:
    """Of the layers' forward flops the whole step's: three times, but no first input gradient."""
    return 3 * sum(forward) - forward[0]


def _dense(batch: int, *widths: int) -> list[int]:
    return [2 * batch * a * b for a, b in pairwise(widths)]


def _convolution(batch: int, side: int, inputs: int, outputs: int, window: int = 3) -> int:
    return 2 * batch * side * side * window * window * inputs * outputs


MLP = Workload(
    name="mlp",
    title="MLP 784-512-256-10, dropout 0.5, Adam, batch 128",
    batch=128,
    shape=(784,),
    classes=10,
    batches=50,
    flops=_training_flops(_dense(128, 784, 512, 256, 10)),
)
CNN = Workload(
    name="cnn",
    title="Keras CNN (conv 32, conv 64, max-pool, dense 128), dropout, SGD, batch 128",
    batch=128,
    shape=(28, 28, 1),
    classes=10,
    batches=10,
    flops=_training_flops(
        [
            _convolution(128, 26, 1, 32),
            _convolution(128, 24, 32, 64),
            *_dense(128, 12 * 12 * 64, 128, 10),
        ]
    ),
    layouts=("contiguous", "channels-last"),
)
TINY = Workload(
    name="tiny",
    title="Tiny MLP 2-8-8-1, tanh, SGD, batch 32",
    batch=32,
    shape=(2,),
    classes=0,
    batches=100,
    flops=_training_flops(_dense(32, 2, 8, 8, 1)),
)

WORKLOADS = {workload.name: workload for workload in (MLP, CNN, TINY)}
