"""Gradient accumulation against the same steps of large mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader, Dataset
from glubina.nn import penalty
from glubina.train import Callback, ScheduledSteps, Stop

pytestmark = pytest.mark.filterwarnings("ignore:.*has made 32 different programs")

RANDOM = np.random.default_rng(11)
X = RANDOM.standard_normal((45, 6)).astype("f")
Y = RANDOM.integers(0, 3, 45)
Z = RANDOM.standard_normal((45, 3)).astype("f")


def _net(rule: Any = "adam", loss: Any = "cross_entropy", **more: Any) -> Any:
    gl.manual_seed(5)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 3))
    rules = {
        "adam": lambda p: optim.Adam(p, lr=1e-2),
        "sgd": lambda p: optim.SGD(p, lr=0.05, momentum=0.9),
    }
    net.compile(rules[rule], loss, **more)
    return net


def _fit(net: Any, y: Any, batch_size: int, accumulate: int, **more: Any) -> Any:
    more = {"epochs": 3, "seed": 2, "verbose": 0, **more}
    return net.fit(X, y, batch_size=batch_size, accumulate=accumulate, **more)


def _assert_same(a: Any, b: Any, places: float = 1e-5) -> None:
    for name, value in a.state_dict().items():
        found = b.state_dict()[name].numpy()
        np.testing.assert_allclose(value.numpy(), found, rtol=places, atol=places, err_msg=name)


@pytest.mark.parametrize(
    ("batch", "several", "rule", "loss", "more"),
    [
        (4, 3, "sgd", "cross_entropy", {}),  # 45 = 3 groups of 12, one of 4 + 4 + 1
        (5, 2, "adam", "cross_entropy", {"clip_norm": 0.05}),  # the last group has 5
        (8, 4, "sgd", nn.CrossEntropyLoss(reduction="sum"), {"clip_norm": 1.0}),
        (16, 2, "adam", "mse", {"ema": 0.9, "clip_value": 1e-3}),
        (7, 100, "sgd", "mse", {}),  # one step an epoch
    ],
)
def test_it_is_a_larger_mini_batch(
    batch: int, several: int, rule: str, loss: Any, more: dict[str, Any]
) -> None:
    y = Z if loss == "mse" else Y
    parts, whole = _net(rule, loss, **more), _net(rule, loss, **more)
    first = _fit(parts, y, batch, several, validation_split=0.2)
    second = _fit(whole, y, batch * several, 1, validation_split=0.2)
    _assert_same(parts, whole)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)


def test_penalties_count_once() -> None:
    found = []
    for batch, several in ((4, 4), (16, 1)):
        for loss in ("cross_entropy", nn.CrossEntropyLoss(reduction="sum")):
            net = _net("sgd")
            bound = penalty.l2(list(net.parameters()), 0.1)
            net.compile(optim.SGD(net.parameters(), lr=0.01), loss, penalty=bound)
            _fit(net, Y, batch, several)
            found.append(net)
    _assert_same(found[0], found[2])
    _assert_same(found[1], found[3])


class _Own(Dataset):
    def __len__(self) -> int:
        return 45

    def __getitem__(self, index: int) -> Any:
        return X[index], Y[index]


@pytest.mark.parametrize("drop", [False, True])
def test_of_a_loader(drop: bool) -> None:
    parts, whole = _net(), _net()
    loader = DataLoader(_Own(), batch_size=4, drop_last=drop)
    parts.fit(loader, epochs=2, verbose=0, accumulate=3)
    if not drop:
        whole.fit(_Own(), batch_size=12, epochs=2, verbose=0, shuffle=False)
    else:
        whole.fit(X[:44], Y[:44], batch_size=12, epochs=2, verbose=0, shuffle=False)
    _assert_same(parts, whole)


class _Steps(Callback):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.planned = 0

    def on_train_begin(self) -> None:
        self.planned = self.session.steps

    def on_step_end(self, step: int, logs: dict[str, float]) -> None:
        self.steps.append(step)


def test_a_step_is_an_update() -> None:
    watch, rates = _Steps(), []
    net = _net("sgd")
    schedule = ScheduledSteps(lambda o, n: rates.append(n) or optim.StepLR(o, 1, 0.5))
    _fit(net, Y, 4, 3, epochs=2, callbacks=[watch, schedule])
    assert (watch.planned, watch.steps, rates) == (4, [1, 2, 3, 4] * 2, [8])
    assert net._trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.5**7)
    history = _fit(_net("sgd"), Y, 4, 3, epochs=9, stop=Stop(steps=6))
    assert history.stopped == "6 steps have been run"


def test_what_is_watched_is_of_the_whole_step() -> None:
    found = [
        _fit(_net("sgd"), Y, b, k, epochs=60, stop=Stop(gradient=0.3)).stopped
        for b, k in ((4, 3), (12, 1))
    ]
    assert found[0] == found[1] != ""


def test_programs_are_kept_and_told_apart() -> None:
    net, other = _net("sgd"), _net("sgd")
    for k in (1, 3, 1, 2):
        _fit(net, Y, 4, k, epochs=1)
        _fit(other, Y, 4 * k, 1, epochs=1)
    _assert_same(net, other)


def test_backward_twice_before_a_step() -> None:
    net, other = _net("sgd"), _net("sgd")
    loss = nn.CrossEntropyLoss()
    for module, parts in ((net, ((0, 10), (10, 25), (25, 45))), (other, ((0, 45),))):
        optimizer = optim.SGD(module.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            for start, end in parts:
                value = loss(module(gl.tensor(X[start:end])), gl.tensor(Y[start:end]))
                (value * ((end - start) / 45)).backward()
            optimizer.step()
    _assert_same(net, other)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "two"])
def test_a_wrong_number(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="accumulate"):
        _fit(_net(), Y, 4, wrong)
