"""A training that is stopped at any step and goes on ends with the bits of one never stopped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader
from glubina.data.augment import GaussianNoise, RandomFlip
from glubina.train import (
    Callback,
    Checkpoints,
    EarlyStopping,
    Scheduled,
    ScheduledSteps,
    Stop,
)

CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(50, 6)).astype(np.float32)
Y = CHANCE.integers(0, 3, 50)
IMAGES = CHANCE.normal(size=(50, 4, 4, 1)).astype(np.float32)


class KilledError(Exception):
    """The end of a process, as far as `fit` can see it."""


class Kill(Callback):
    """Dies at a step of the whole training, before the checkpoint of that step."""

    def __init__(self, at: int) -> None:
        self.left = at

    def on_step_end(self, step: int, logs: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError

    def state_dict(self) -> dict[str, Any]:
        return {}


class EveryStep(Callback):
    """Makes every step end in Python, and remembers the losses by itself."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.count = 0

    def on_step_end(self, step: int, logs: Any) -> None:
        self.losses.append(logs["loss"])
        self.count += 1


class Items:
    """A data set of one's own that draws from NumPy's and Python's global generators."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return X[index] + np.float32(np.random.normal() + random.random()), Y[index]  # noqa: NPY002


class Drawing:
    """A data set of one's own that draws from generators of its own."""

    def __init__(self) -> None:
        self.numpy = np.random.default_rng(5)
        self.old = [np.random.RandomState(6)]
        self.draw = random.Random(7).random

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        noise = self.numpy.normal() + self.old[0].normal() + self.draw()
        return X[index] + np.float32(noise), Y[index]


class Wayward(DataLoader):
    """A loader of one's own: an order by chance, and noise in each mini-batch."""

    def __init__(self) -> None:
        super().__init__((X, Y), 8)
        self.chance = np.random.default_rng(9)

    def __iter__(self) -> Iterator[Any]:
        order = np.random.permutation(len(X))  # noqa: NPY002
        for start in range(0, len(X), 8):
            rows = order[start : start + 8]
            noise = self.chance.normal(size=(len(rows), 1)) + random.random()
            yield X[rows] + noise.astype(np.float32), Y[rows]


@dataclass
class Case:
    """A training: how everything is made anew, as in a new process."""

    network: Callable[[], nn.Module]
    optimizer: Callable[[Any], Any] = lambda p: optim.Adam(p, lr=0.01)
    data: Callable[[], tuple[Any, ...]] = lambda: (X, Y)
    callbacks: Callable[[], list[Callback]] = list
    compiled: Callable[[nn.Module], dict[str, Any]] = lambda net: {}
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, seed: int, **more: Any) -> tuple[nn.Module, Any, list[Callback]]:
        gl.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        net = self.network()
        net.compile(self.optimizer, "cross_entropy", ["accuracy"], **self.compiled(net))
        callbacks = self.callbacks()
        killer = more.pop("killer", None)
        options: dict[str, Any] = {"batch_size": 8, "epochs": 3, "verbose": 0, **self.options}
        history = net.fit(
            *self.data(), **options, **more, callbacks=[*callbacks, *([killer] if killer else [])]
        )
        return net, history, callbacks


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(16, 3),
    )  # fmt: skip


class Noise(nn.Module):
    """Noise from a generator of its own."""

    def __init__(self) -> None:
        self.generator = gl.Generator(7)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        return x + gl.randn(x.shape, generator=self.generator) if self.training else x


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyBatchNorm1d(), nn.Linear(5, 3))


def slope(net: nn.Module) -> Callable[[], gl.Tensor]:
    """‖∂/∂x Σ f(x)‖² at fixed examples, as a penalty."""
    probe = gl.tensor(X[:5])
    gradient = gl.grad(lambda x: net(x).sum())
    return lambda: 0.1 * (gradient(probe) ** 2).sum()


SPLIT = {"validation_split": 0.2, "seed": 4}
CASES = {
    "dropout": Case(dense),
    "batch norm, augmentation, averaged weights": Case(
        normed,
        data=lambda: (IMAGES, Y),
        compiled=lambda net: {"ema": 0.9},
        options={**SPLIT, "augment": [RandomFlip(), GaussianNoise(0.1)]},
    ),
    "a schedule of steps, groups with settings": Case(
        dense,
        lambda p: optim.SGD(
            [{"params": p[:2], "weight_decay": 1e-2}, {"params": p[2:]}], lr=0.1, momentum=0.9
        ),
        callbacks=lambda: [ScheduledSteps(lambda o, n: optim.OneCycleLR(o, 0.1, n))],
    ),
    "a schedule that watches, early stopping": Case(
        dense,
        lambda p: optim.AdamW(p, lr=0.5),
        callbacks=lambda: [
            Scheduled(lambda o, n: optim.ReduceLROnPlateau(o, patience=0)),
            EarlyStopping(patience=2),
        ],
        options={**SPLIT, "epochs": 6},
    ),
    "callbacks of one's own": Case(dense, callbacks=lambda: [EveryStep()]),
    "layers that wait for their sizes": Case(lazy, lambda p: optim.RMSprop(p, lr=0.01)),
    "a loader over arrays": Case(
        dense, data=lambda: (DataLoader((X, Y), 8, shuffle=True, drop_last=True),)
    ),
    "a loader with chance of its own": Case(
        dense,
        data=lambda: (DataLoader(Items(), 8, shuffle=True),),
        options={"validation_data": DataLoader(Items(), 16)},
    ),
    "a data set with generators of its own": Case(
        dense, data=lambda: (DataLoader(Drawing(), 8, shuffle=True),)
    ),
    "a loader of one's own": Case(dense, data=lambda: (Wayward(),)),
    "a gradient in the loss": Case(
        lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)),
        compiled=lambda net: {"penalty": slope(net)},
    ),
    "rules that stop": Case(dense, options={"stop": Stop(steps=16, change=1e-9), **SPLIT}),
    "gradients of several mini-batches, recomputation": Case(
        lambda: nn.Sequential(nn.Recompute(dense()), nn.Tanh()),
        options={"batch_size": 4, "accumulate": 2},
    ),
    "a generator of one's own": Case(lambda: nn.Sequential(Noise(), dense())),
    "limits": Case(
        dense,
        lambda p: optim.NAdam(p),
        compiled=lambda net: {"clip_norm": 0.5},
        options={"shuffle": False},
    ),
}


def same(one: Any, other: Any) -> None:
    """Weights, history and what the callbacks have are the same, bit for bit."""
    (net, history, callbacks), (net2, history2, callbacks2) = one, other
    for name, value in net.state_dict().items():
        assert value.numpy().tobytes() == net2.state_dict()[name].numpy().tobytes(), name
    assert history.epoch == history2.epoch
    assert history.stopped == history2.stopped
    for name in set(history.names) - {"seconds"}:
        assert history[name] == history2[name], name
    for a, b in zip(callbacks, callbacks2, strict=True):
        if isinstance(a, EveryStep):
            assert a.losses == b.losses
            assert a.count == b.count


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_a_training_never_stopped(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    whole = case.run(1)
    for number, at in enumerate((3, 9, 13)):
        folder = tmp_path / str(number)
        with pytest.raises(KilledError):
            case.run(1, killer=Kill(at), checkpoints=Checkpoints(folder, steps=2))
        resumed = case.run(99, checkpoints=Checkpoints(folder, steps=2), resume=True)
        same(whole, resumed)


@pytest.mark.parametrize("name", ["batch norm, augmentation, averaged weights", "rules that stop"])
def test_checkpoints_change_no_bit(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    same(case.run(1), case.run(1, checkpoints=Checkpoints(tmp_path, steps=1)))
