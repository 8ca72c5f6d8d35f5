"""Programs of fit, evaluate and predict are kept while the model is the same, and only then."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.tensor import record as recording
from glubina.train.structure import Structure

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = np.arange(12) % 3


class Net(nn.Module):
    """Two layers, a plain list and a number that decide what is computed."""

    def __init__(self) -> None:
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)
        self.drop = nn.Dropout(0.5)
        self.factors = [1.0]
        self.scale = 1.0
        self.calls = 0

    def forward(self, x: Any) -> Any:
        return (
            self.last(self.drop(nn.functional.relu(self.first(x)))) * self.scale * self.factors[0]
        )


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every recording."""
    made: list[int] = []
    plain = recording.record

    def record(*args: Any) -> Any:
        made.append(1)
        return plain(*args)

    monkeypatch.setattr(sys.modules["glubina.tensor.compile"], "record", record)
    return made


def plain(net: Any, x: Any) -> np.ndarray:
    net.eval()
    result: np.ndarray = net(gl.tensor(x)).numpy()
    net.train()
    return result


def test_predict_keeps_its_program(recorded: list[int]) -> None:
    net = Net()
    net.compile("sgd", nn.MSELoss())
    for _ in range(3):
        np.testing.assert_array_equal(net.predict(X), net.predict(X, batch_size=12))
    assert len(recorded) == 1
    net.predict(X, batch_size=5)  # 5, 5 and 2 examples
    assert len(recorded) == 3
    net.first.weight.data = gl.tensor(np.ones((5, 4), np.float32))  # values are no structure
    np.testing.assert_allclose(net.predict(X), plain(net, X), rtol=1e-6)
    assert len(recorded) == 3
    assert net.training


def replace_layer(net: Any) -> None:
    net.last = nn.Linear(5, 3)


def set_number(net: Any) -> None:
    net.scale = 3.0


def change_list(net: Any) -> None:
    net.factors[0] = 2.0


def change_dtype(net: Any) -> None:
    net.double()


def replace_forward(net: Any) -> None:
    net.forward = lambda x: net.first(x)


@pytest.mark.parametrize(
    "change", [replace_layer, set_number, change_list, change_dtype, replace_forward]
)
def test_predict_sees_changes(change: Callable[[Any], None]) -> None:
    net = Net()
    net.compile("sgd", nn.MSELoss())
    net.predict(X)
    change(net)
    x = X.astype(np.float64) if change is change_dtype else X
    np.testing.assert_allclose(net.predict(x), plain(net, x), rtol=1e-5)


def test_predict_with_many_sizes_keeps_few(recwarn: pytest.WarningsRecorder) -> None:
    net = Net()
    net.compile("sgd", nn.MSELoss())
    for size in range(1, 12):
        assert len(net.predict(X[:size])) == size
    assert not [w for w in recwarn if "recorded" in str(w.message)]


def test_fit_again_keeps_its_program(recorded: list[int]) -> None:
    def run(together: bool) -> tuple[list[float], np.ndarray]:
        gl.manual_seed(3)
        net = Net()
        net.compile(optim.SGD(net.parameters(), lr=0.1, momentum=0.9), nn.CrossEntropyLoss())
        losses = []
        for epoch in range(4):
            if not together:
                net._trainer._kept._things.clear()  # type: ignore[union-attr]
            other = X if epoch != 2 else X[::-1].copy()
            history = net.fit(other, Y, batch_size=5, seed=epoch, verbose=0)
            losses += history.history["loss"]
            losses.append(net.evaluate(other, Y)["loss"])
        return losses, net.first.weight.numpy()

    alone = run(False)
    before = len(recorded)
    together = run(True)
    assert alone[0] == together[0]
    np.testing.assert_array_equal(alone[1], together[1])
    made = len(recorded) - before
    assert made < before / 2
    net = Net()
    net.compile("sgd", nn.CrossEntropyLoss())
    net.fit(X, Y, shuffle=True, seed=1, verbose=0)
    net.fit(X, Y, shuffle=False, verbose=0)
    trainer = net._trainer
    assert trainer is not None
    order = trainer._kept._things["fit"][2].steps._order  # not that of the last epoch
    np.testing.assert_array_equal(order.numpy(), np.arange(12))


def test_fit_sees_frozen_parameters_and_other_losses() -> None:
    net = Net()
    net.compile(optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss())
    net.fit(X, Y, verbose=0)
    net.first.requires_grad_(False)
    before = net.first.weight.numpy().copy()
    net.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(net.first.weight.numpy(), before)
    trainer = net._trainer
    assert trainer is not None
    trainer.loss = nn.CrossEntropyLoss(reduction="sum")
    mean = net.evaluate(X, Y)["loss"]
    trainer.loss = nn.CrossEntropyLoss(label_smoothing=0.5)
    assert net.evaluate(X, Y)["loss"] != mean


def test_examples_are_let_go_after_fit() -> None:
    net = Net()
    net.compile("sgd", nn.CrossEntropyLoss())
    net.fit(X, Y, verbose=0)
    trainer = net._trainer
    assert trainer is not None
    job = trainer._kept._things["fit"][2]
    assert job.source.examples is None
    assert job.steps._x._cell.leaf.buffer.nbytes == 0


def test_what_is_not_known_is_not_kept() -> None:
    class Odd:
        pass

    net = Net()
    assert Structure(net).known
    net.odd = Odd()  # type: ignore[attr-defined]
    assert not Structure(net).known
    hooked = Net()
    hooked.register_forward_hook(lambda module, given, result: None)
    assert not Structure(hooked).known
    factor = 2.0
    closed = Structure(lambda x: x * factor)
    assert closed.known
    assert closed.holds()
    factor = 3.0
    assert not closed.holds()
