"""The range test finds a rate that works, and leaves everything as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader
from glubina.tensor.random import default_generator
from glubina.train import Trainer, find_learning_rate

RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((96, 6)).astype("f")
Y = (X[:, :3].argmax(1)).astype("int64")


def _net(make: Any = optim.SGD, **settings: Any) -> Any:
    gl.manual_seed(4)
    net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1),
                        nn.Linear(16, 3))  # fmt: skip
    net.compile(make(net.parameters(), **{"lr": 0.01, **settings}), "cross_entropy")
    return net


def _bits(net: Any) -> list[bytes]:
    rule = net._trainer.optimizer
    state = [
        (number, name, value.numpy().tobytes())
        for number, values in rule.state_dict()["state"].items()
        for name, value in sorted(values.items())
    ]
    weights = [value.numpy().tobytes() for value in net.state_dict().values()]
    rates = [repr({k: v for k, v in g.items() if k != "params"}) for g in rule.param_groups]
    return [*weights, repr((state, rates, default_generator.get_state())).encode()]


def test_rates_losses_and_suggestion() -> None:
    net = _net()
    found = find_learning_rate(net, X, Y, batch_size=32, lowest=1e-4, highest=1e3, steps=60)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) <= 60
    ratios = np.array(found.rates[1:]) / found.rates[:-1]
    np.testing.assert_allclose(ratios, 1e7 ** (1 / 59), rtol=1e-9)
    assert found.rates[0] == 1e-4
    assert found.rates[-1] < 1e3  # it diverged
    assert 1e-3 < found.suggestion < found.lowest < 100
    assert f"suggestion {found.suggestion:.3g}" in repr(found)


def test_smoothing_is_a_corrected_moving_average() -> None:
    found = find_learning_rate(_net(), X, Y, steps=12, highest=0.1, smoothing=0.8)
    average, wanted = 0.0, []
    for i, value in enumerate(found.losses, 1):
        average = 0.8 * average + 0.2 * value
        wanted.append(average / (1 - 0.8**i))
    np.testing.assert_allclose(found.smoothed, wanted, rtol=1e-12)


def test_the_steps_are_those_of_training_at_these_rates() -> None:
    net = _net(momentum=0.9)
    found = find_learning_rate(net, X, Y, batch_size=96, steps=5, lowest=0.01, highest=0.16)
    other = _net(momentum=0.9)
    losses: list[float] = []
    other._trainer.optimizer.param_groups[0]["lr"] = 0.01

    def ended(epoch: int, logs: Any) -> None:
        losses.append(logs["loss"])
        other._trainer.optimizer.param_groups[0]["lr"] *= 2

    other.fit(X, Y, batch_size=96, epochs=5, seed=0, verbose=0, callbacks=ended)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.RMSprop])
@pytest.mark.parametrize("trained", [False, True])
def test_everything_is_as_before(make: Any, trained: bool) -> None:
    nets = [_net(make, weight_decay=0.01) for _ in range(2)]
    if trained:
        for net in nets:
            gl.manual_seed(7)
            net.fit(X, Y, epochs=1, seed=1, verbose=0)
    before = _bits(nets[0])
    find_learning_rate(nets[0], X, Y, steps=20)
    assert _bits(nets[0]) == before
    for net in nets:  # and training goes on as if nothing had been
        gl.manual_seed(9)
        net.fit(X, Y, epochs=2, seed=2, verbose=0)
    assert _bits(nets[0]) == _bits(nets[1])


def test_groups_keep_their_ratio_and_gradients_stay() -> None:
    net = _net()
    groups = [{"params": [net[0].weight], "lr": 0.1}, {"params": [net[4].weight], "lr": 0.02}]
    net.compile(optim.SGD(groups), "cross_entropy")
    net[0].weight.grad = gl.ones((16, 6))
    rule, seen = net._trainer.optimizer, []
    step = rule.step
    rule.step = lambda: (seen.append([g["lr"] for g in rule.param_groups]), step())[1]
    find_learning_rate(net, X, Y, steps=4, lowest=0.5, highest=4.0)
    np.testing.assert_allclose(seen[0], [0.5, 0.1], rtol=1e-12)
    assert [g["lr"] for g in rule.param_groups] == [0.1, 0.02]
    np.testing.assert_array_equal(net[0].weight.grad.numpy(), np.ones((16, 6)))


def test_a_trainer_whose_optimizer_is_not_made_yet_and_a_loader() -> None:
    net = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3))
    trainer = Trainer(net, optim.Adam, nn.CrossEntropyLoss())
    loader = DataLoader((X, Y), batch_size=16, shuffle=True, seed=3)
    found = find_learning_rate(trainer, loader, steps=15, lowest=1e-4, highest=0.1)
    assert len(found.rates) == 15
    assert trainer._optimizer is optim.Adam
    assert loader.epoch == 0


def test_files(tmp_path: Path) -> None:
    found = find_learning_rate(_net(), X, Y, steps=5)
    found.save(tmp_path / "rates.csv")
    lines = (tmp_path / "rates.csv").read_text().splitlines()
    assert lines[0] == "rate,loss,smoothed"
    assert float(lines[2].split(",")[0]) == found.rates[1]
    pytest.importorskip("matplotlib")
    found.plot(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")


def test_errors() -> None:
    net = _net()
    with pytest.raises(TypeError, match=r"a module that compile.* or a Trainer, got Linear"):
        find_learning_rate(nn.Linear(2, 2), X, Y)
    for arguments, text in (
        ({"lowest": 0}, "lowest must be above 0, got 0"),
        ({"highest": 1e-9}, "highest must be above lowest .1e-06., got 1e-09"),
        ({"steps": 2}, "steps must be a whole number of at least 3, got 2"),
        ({"smoothing": 1}, "smoothing must be from 0 to below 1, got 1"),
        ({"diverged": 1}, "diverged must be above 1, got 1"),
        ({"lowest": 1e30, "highest": 1e32}, "the loss became .* give a smaller `lowest`"),
    ):
        before = _bits(net)
        with pytest.raises(ValueError, match=text):
            find_learning_rate(net, X, Y, **arguments)  # type: ignore[arg-type]
        assert _bits(net) == before
