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
    assert "the units of 0.weight all have the same weights" in str(found[0])


def test_units_that_differ_from_inputs_but_not_from_each_other() -> None:
    network = deep(nn.Tanh, 1)
    row = np.random.default_rng(0).standard_normal((1, 2)).astype(np.float32)
    network[0].weight.data.copy_(gl.tensor(np.tile(row, (16, 1))))
    for parameter in (network[0].bias, network[2].weight):
        nn.init.constant_(parameter, 0.1)
    assert trained(network)[0].kind == "bad initialisation"


def test_zeros_that_learn_are_none() -> None:
    gl.manual_seed(0)
    single = nn.Linear(2, 3)
    for parameter in single.parameters():
        nn.init.zeros_(parameter)
    assert trained(nn.Sequential(single), epochs=8) == []
    headless = deep(nn.Tanh, 2)
    nn.init.zeros_(headless[4].weight)
    assert trained(headless, epochs=8) == []


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


class Last(nn.Module):
    """What a recurrent layer says at the end of a sequence."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer, self.out = layer, nn.Linear(8, 3)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """(batch, steps, 2) to (batch, 3)."""
        return self.out(self.layer(x)[0][:, -1])


def sequences(steps: int) -> tuple[Any, Any]:
    """The class is in the first step, and noise behind it."""
    x, y = blobs()
    noise = 0.3 * np.random.default_rng(1).standard_normal((len(x), steps, 2)).astype(np.float32)
    noise[:, 0] = x
    return noise, y


def test_what_is_early_in_a_sequence_is_not_learned() -> None:
    gl.manual_seed(0)
    found = trained(Last(nn.RNN(2, 8, batch_first=True)), data=sequences(60))
    (diagnosis,) = found
    assert (diagnosis.kind, diagnosis.layer) == ("vanishing gradients", "layer")
    assert "of 60 steps of layer the first gets a gradient of" in str(diagnosis)
    network = Last(nn.GRU(2, 8, batch_first=True))
    assert trained(network, optim.Adam(network.parameters(), 0.02), 8, sequences(6)) == []


def test_saturated_states() -> None:
    gl.manual_seed(0)
    network = Last(nn.RNN(2, 8, num_layers=2, batch_first=True))
    nn.init.normal_(network.layer.weight_ih_l0, 0.0, 80.0)
    found = [d for d in trained(network, data=sequences(6)) if d.kind == "saturation"]
    assert [d.layer for d in found] == ["layer"]
    assert "of the values of its states are at the ends" in str(found[0])


@pytest.mark.parametrize(("scale", "text"), [(200.0, "large"), (1e-5, "tiny"), (None, "differ")])
def test_inputs_that_are_not_standardised(scale: float | None, text: str) -> None:
    gl.manual_seed(0)
    x, y = blobs()
    x = x * (np.array([1, 1e4], np.float32) if scale is None else np.float32(scale))
    network = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
    found = trained(network, data=(x, y))
    assert found[0].kind == "inputs not standardised"
    assert text in str(found[0])
    if scale is None:
        network = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3))
        assert trained(network, optim.Adam(network.parameters(), 0.01), 8, (x, y)) == []


@pytest.mark.parametrize(
    ("end", "loss", "text"),
    [
        (nn.Softmax(-1), nn.CrossEntropyLoss(), "the loss applies the softmax once more"),
        (nn.Identity(), nn.NLLLoss(), "NLLLoss takes logarithms of probabilities"),
    ],
)
def test_a_loss_that_takes_something_else(end: nn.Module, loss: Any, text: str) -> None:
    gl.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3), end)
    network.compile(optim.SGD(network.parameters(), 0.05), loss)
    x, y = blobs()
    monitor = Monitor(x[:60], y[:60])
    network.fit(x, y, batch_size=20, epochs=2, callbacks=[monitor], verbose=0)
    assert monitor.diagnosis()[0].kind == "mismatched loss"
    assert text in monitor.report()


def test_a_sigmoid_before_a_loss_with_one() -> None:
    x, y = blobs()
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    network.compile(optim.SGD(network.parameters(), 0.05), nn.BCEWithLogitsLoss())
    target = (y[:, None] == 0).astype(np.float32)
    monitor = Monitor(x[:60], target[:60])
    network.fit(x, target, batch_size=20, epochs=2, callbacks=[monitor], verbose=0)
    assert "the loss applies the sigmoid once more" in monitor.report()


class Cut(nn.Module):
    """Keeps derivatives from its first layer."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(2, 16), nn.Linear(16, 3)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """Through relu."""
        return self.second(gl.relu(self.first(x)).detach())


def test_layers_that_are_left_out() -> None:
    gl.manual_seed(0)
    network = deep(nn.ReLU, 2)
    some = [p for name, p in network.named_parameters() if not name.startswith("2.")]
    (diagnosis,) = trained(network, optim.Adam(some, 0.01))
    assert (diagnosis.kind, diagnosis.layer) == ("frozen layer", "2.weight")
    assert "2.weight and 1 more never changed" in str(diagnosis)
    cut = Cut()
    (diagnosis,) = trained(cut, optim.Adam(cut.parameters(), 0.01))
    assert (diagnosis.kind, diagnosis.layer) == ("frozen layer", "first.weight")
    assert "no gradient comes to first.weight and 1 more" in str(diagnosis)
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)  # on purpose
    rest = [p for p in network.parameters() if p.requires_grad]
    assert trained(network, optim.Adam(rest, 0.01)) == []


def test_one_class_for_all() -> None:
    gl.manual_seed(0)
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=400) < 0.05).astype(np.int64)
    x = (rng.standard_normal((400, 6)) + 0.3 * y[:, None]).astype(np.float32)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    network.compile(optim.SGD(network.parameters(), 0.02), nn.CrossEntropyLoss())
    monitor = Monitor(x[:200], y[:200])
    network.fit(x, y, epochs=3, callbacks=[monitor], verbose=0, seed=0)
    (diagnosis,) = monitor.diagnosis()
    assert diagnosis.kind == "constant output"
    assert "gives class 0 to every example of the probe" in str(diagnosis)
    assert "weight the classes" in str(diagnosis)


def test_labels_that_do_not_belong_to_the_inputs() -> None:
    gl.manual_seed(0)
    x, y = blobs(600)
    shuffled = np.random.default_rng(3).permutation(y)
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 3))
    found = trained(network, optim.SGD(network.parameters(), 0.02), 5, (x, shuffled))
    assert kinds(found) <= {"not learning", "constant output"}
    assert found


def test_a_label_among_the_inputs() -> None:
    gl.manual_seed(0)
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = (rng.standard_normal((120, 5)) + 0.5 * y[:, None]).astype(np.float32)
    x[:, 3] = -y
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    (diagnosis,) = trained(network, optim.Adam(network.parameters(), 0.02), data=(x, y))
    assert diagnosis.kind == "label leakage"
    assert "feature 3 of the inputs alone tells the target" in str(diagnosis)


def test_a_jump_at_the_start_is_seen_after_it_has_come_down() -> None:
    history = History()
    for epoch, loss in enumerate((6000.0, 1.6, 1.5, 1.45), 1):
        history.append(epoch, {"loss": loss})
    assert diagnose(history, []) == []
    looks = [explain.Record(n, v, 0.5, (), ()) for n, v in enumerate((1.4, 1.7, 1.5, 1.4, 1.3))]
    (diagnosis,) = diagnose(history, looks)
    assert diagnosis.kind == "too large a step"
    assert "the loss jumped from 1.4 to 6000" in str(diagnosis)


def test_memory_of_few_examples_is_overfitting_also_where_validation_does_not_rise() -> None:
    history = History()
    for epoch in range(1, 11):
        history.append(epoch, {"loss": 2.0**-epoch, "val_loss": 0.9})
    assert [d.kind for d in diagnose(history, [])] == ["overfitting"]
    well = History()
    for epoch in range(1, 11):
        well.append(epoch, {"loss": 2.0**-epoch, "val_loss": 2.0**-epoch + 1e-3 * epoch})
    assert diagnose(well, []) == []


def test_a_monitor_goes_on_with_its_training(tmp_path: Path) -> None:
    x, y = blobs()

    def records(epochs: int, **more: Any) -> list[Any]:
        gl.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
        network.compile("sgd", "cross_entropy")
        monitor = Monitor(x[:60], y[:60])
        network.fit(x, y, epochs=epochs, callbacks=[monitor], verbose=0, seed=0, **more)
        return monitor.records

    whole = records(3)
    records(2, checkpoints=tmp_path)
    assert repr(records(3, checkpoints=tmp_path, resume=True)) == repr(whole)


def test_small_and_noisy_validation_losses_are_no_overfitting() -> None:
    history = History()
    losses = [0.66, 0.036, 0.006, 0.004, 0.001, 0.0002, 0.0001, 0.0001]
    validation = [0.073, 0.016, 0.013, 0.053, 0.125, 0.106, 0.086, 0.080]
    for epoch, (loss, held) in enumerate(zip(losses, validation, strict=True), 1):
        history.append(epoch, {"loss": loss, "val_loss": held})
    looks = [explain.Record(0, 1.6, 0.5, (), ())]
    assert diagnose(history, looks) == []
    noisy = History()
    for epoch, held in enumerate([0.30, 0.02, 0.04, 0.14, 0.0001, 0.37, 0.009, 0.010], 1):
        noisy.append(epoch, {"loss": 1 / 4**epoch, "val_loss": held})
    assert diagnose(noisy, []) == []
