"""Each classic trouble of a training is provoked, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import explain, nn, optim
from glubina.explain import Diagnosis, ExplainError, Monitor, diagnose
from glubina.train import History


def blobs(count: int = 120, noise: float = 0.3) -> tuple[Any, Any]:
    """Two dimensions, three classes."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    centres = np.array([[0, 1], [1, -1], [-1, -1]], np.float32)
    x = centres[y] + noise * rng.standard_normal((count, 2)).astype(np.float32)
    return x.astype(np.float32), y


def trained(
    network: nn.Module, optimizer: Any = None, epochs: int = 4, data: Any = None, **fit: Any
) -> list[Diagnosis]:
    """What the monitor says of a training."""
    x, y = blobs() if data is None else data
    optimizer = optimizer or optim.SGD(network.parameters(), lr=0.05)
    loss = nn.CrossEntropyLoss() if y.dtype.kind == "i" else nn.MSELoss()
    network.compile(optimizer, loss)
    monitor = Monitor(x[:60], y[:60])
    network.fit(x, y, batch_size=20, epochs=epochs, callbacks=[monitor], verbose=0, seed=0, **fit)
    assert len(monitor.records) == 1 + len(monitor.session.history)
    return monitor.diagnosis()


def kinds(found: list[Diagnosis]) -> set[str]:
    """The kinds of troubles."""
    return {diagnosis.kind for diagnosis in found}


def deep(activation: type[nn.Module], layers: int, width: int = 16) -> nn.Sequential:
    """A deep network of narrow layers."""
    made: list[nn.Module] = []
    for number in range(layers):
        made += [nn.Linear(2 if number == 0 else width, width), activation()]
    return nn.Sequential(*made, nn.Linear(width, 3))


def test_nothing_suspicious_in_a_healthy_training() -> None:
    gl.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    assert trained(network, epochs=8) == []
    convolutional = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 3),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.standard_normal((90, 8, 8, 1)).astype(np.float32) + y[:, None, None, None]
    assert trained(convolutional, data=(x, y)) == []


def test_vanishing_gradients() -> None:
    gl.manual_seed(0)
    found = trained(deep(nn.Sigmoid, 10))
    (diagnosis,) = [d for d in found if d.kind == "vanishing gradients"]
    assert diagnosis.layer == "0.weight"
    assert "0.weight" in str(diagnosis)
    assert "the first layers hardly learn" in str(diagnosis)


def test_exploding_gradients() -> None:
    gl.manual_seed(0)
    network = deep(nn.ReLU, 8)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 2.0)
    found = trained(network, optim.SGD(network.parameters(), lr=1e-9), epochs=1)
    assert "exploding gradients" in kinds(found)
    assert "bad initialisation" in kinds(found)


@pytest.mark.parametrize(("std", "text"), [(0.01, "too small"), (1.5, "too large")])
def test_bad_initialisation(std: float, text: str) -> None:
    gl.manual_seed(0)
    network = deep(nn.ReLU, 8)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, std)
            nn.init.zeros_(module.bias)
    found = trained(network, optim.SGD(network.parameters(), lr=1e-12), epochs=1)
    (diagnosis,) = [d for d in found if d.kind == "bad initialisation"]
    assert f"the initial weights are {text}" in str(diagnosis)


def test_equal_weights() -> None:
    network = deep(nn.Tanh, 2)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    found = trained(network)
    assert found[0].kind == "bad initialisation"
    assert "all weights of 0.weight are equal at the start" in str(found[0])


def test_dead_rectifiers_from_the_start_and_by_too_large_a_step() -> None:
    gl.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(network[0].bias, -20.0)
    (diagnosis,) = [d for d in trained(network) if d.kind == "dead units"]
    assert diagnosis.layer == "1"
    assert "layer 1: 100% of the rectifiers are never active" in str(diagnosis)
    assert "initial weights or biases are wrong" in str(diagnosis)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    found = trained(network, optim.SGD(network.parameters(), lr=60.0), epochs=3)
    (diagnosis,) = [d for d in found if d.kind == "dead units"]
    assert "the step size may be too large" in str(diagnosis)


class Functional(nn.Module):
    """Calls its activations as functions."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """Through tanh."""
        return self.second(gl.tanh(self.first(x)))


def test_saturation_also_of_functions() -> None:
    gl.manual_seed(0)
    network = Functional()
    nn.init.normal_(network.first.weight, 0.0, 60.0)
    (diagnosis,) = [d for d in trained(network) if d.kind == "saturation"]
    assert "of the values of its tanh are at the ends" in str(diagnosis)


@pytest.mark.parametrize("rate", [1.1, 1e6])
def test_too_large_a_step(rate: float) -> None:
    gl.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 4)).astype(np.float32)
    y = x.sum(1, keepdims=True)
    network = nn.Sequential(nn.Linear(4, 1))
    with pytest.warns(RuntimeWarning, match="became NaN") if rate > 10 else nothing():
        found = trained(network, optim.SGD(network.parameters(), lr=rate), data=(x, y))
    assert "too large a step" in kinds(found)
    assert ("not finite" in kinds(found)) is (rate > 10)


def nothing() -> Any:
    """A context without effect."""
    from contextlib import nullcontext

    return nullcontext()


def test_too_small_a_step() -> None:
    gl.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))
    found = trained(network, optim.SGD(network.parameters(), lr=1e-5))
    assert kinds(found) == {"too small a step"}


def test_overfitting() -> None:
    gl.manual_seed(0)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 20)).astype(np.float32)
    y = rng.integers(0, 3, 60)
    network = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))
    found = trained(
        network,
        optim.Adam(network.parameters(), lr=1e-2),
        epochs=25,
        data=(x, y),
        validation_data=(rng.standard_normal((60, 20)).astype(np.float32), rng.integers(0, 3, 60)),
    )
    (diagnosis,) = [d for d in found if d.kind == "overfitting"]
    assert "the validation loss rises" in str(diagnosis)


def test_constant_output() -> None:
    gl.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(network[0].bias, -50.0)
    assert "constant output" in kinds(trained(network))


def test_the_monitor_changes_nothing() -> None:
    def weights(callbacks: list[Any]) -> dict[str, Any]:
        gl.manual_seed(3)
        network = nn.Sequential(
            nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )
        network.compile(optim.Adam(network.parameters(), lr=1e-2), nn.CrossEntropyLoss())
        x, y = blobs()
        network.fit(x, y, batch_size=20, epochs=3, callbacks=callbacks, verbose=0, seed=1)
        return {name: value.numpy() for name, value in network.state_dict().items()}

    x, y = blobs()
    plain, watched = weights([]), weights([Monitor(x[:32], y[:32])])
    for name, value in plain.items():
        np.testing.assert_array_equal(watched[name], value)


def test_history_alone_can_be_diagnosed() -> None:
    history = History()
    for epoch in range(1, 9):
        history.append(epoch, {"loss": 1 / epoch, "val_loss": 0.5 + 0.1 * abs(epoch - 3)})
    (diagnosis,) = diagnose(history, [])
    assert diagnosis.kind == "overfitting"
    assert diagnosis.epoch == 3


def test_what_a_monitor_needs() -> None:
    with pytest.raises(ExplainError, match="a probe is at least 2 examples with their targets"):
        Monitor(np.ones((1, 2)), np.ones(1))


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    gl.manual_seed(0)
    network = deep(nn.ReLU, 12)
    x, y = blobs()
    network.compile(optim.SGD(network.parameters(), lr=0.05), nn.CrossEntropyLoss())
    monitor = explain.Monitor(x[:60], y[:60])
    network.fit(x, y, epochs=3, callbacks=[monitor], verbose=0, validation_split=0.2)
    monitor.plot(tmp_path / "monitor.png")
    assert (tmp_path / "monitor.png").read_bytes().startswith(b"\x89PNG")
    assert monitor.report()


def test_inputs_that_are_not_standardised_are_no_matter_of_small_weights() -> None:
    x = 1000 * np.random.default_rng(0).standard_normal((64, 10)).astype(np.float32)
    net = nn.Sequential(
        nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    )
    net.compile(optim.SGD(net.parameters(), lr=0.01), nn.CrossEntropyLoss())
    monitor = explain.Monitor(x, np.arange(64) % 3)
    net.fit(x, np.arange(64) % 3, epochs=2, callbacks=[monitor], verbose=0)
    kinds = [d.kind for d in monitor.diagnosis()]
    assert "bad initialisation" not in kinds
    assert "saturation" in kinds


def test_a_step_of_zero_is_seen() -> None:
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    net.compile(optim.SGD(net.parameters(), lr=0.0), nn.CrossEntropyLoss())
    monitor = explain.Monitor(x, np.arange(64) % 3)
    net.fit(x, np.arange(64) % 3, epochs=3, batch_size=16, callbacks=[monitor], verbose=0)
    assert [d.kind for d in monitor.diagnosis()] == ["too small a step"]
