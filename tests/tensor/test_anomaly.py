"""The detective finds the first value that is not finite: forward, backward, update, data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.tensor import anomaly
from glubina.tensor.errors import AnomalyError
from glubina.tensor.findings import Finding

Make = Callable[[Callable[..., Any]], Callable[..., Any]]


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself."""
    return function


MODES = pytest.mark.parametrize("make", [plain, gl.compile], ids=["loop", "compiled"])


class Logarithm(nn.Module):
    """A layer that goes wrong for negative numbers."""

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """ln x."""
        return gl.log(x)


def found(run: Callable[[], Any]) -> Finding:
    """What the detective says of a function that goes wrong."""
    with gl.detect_anomaly(), pytest.raises(AnomalyError) as caught:
        run()
    finding: Finding = caught.value.finding
    assert str(finding) == str(caught.value)
    return finding


def line_of(finding: Finding) -> tuple[str, str]:
    """The file and function of the user's line."""
    assert finding.origin is not None
    assert finding.origin.user is not None
    return finding.origin.user.file, finding.origin.user.function.rpartition(".")[2]


@MODES
def test_forward(make: Make) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), Logarithm()))
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    nn.init.constant_(network[0].weight, 0.0)
    network[0].bias.data.copy_(gl.tensor(np.array([1.0, 2.0, -1.0, 3.0], np.float32)))
    forward = make(lambda x: (network(x) - 1).sum())
    finding = found(lambda: forward(gl.tensor(x)).item())
    assert finding.kind == "infinity"
    assert finding.operation == "log"
    assert finding.stage == "forward"
    assert finding.origin is not None
    assert finding.origin.layer == "1.1 Logarithm"
    assert line_of(finding) == (__file__, "forward")
    assert finding.count == 5
    assert finding.index == (0, 2)
    (operand,) = finding.operands
    assert operand.at == 0
    assert (operand.smallest, operand.largest) == (0, 3)
    assert "1.1 Logarithm" in str(finding)
    assert "from 0 to 3, there 0" in str(finding)


@MODES
def test_backward(make: Make) -> None:
    w = gl.tensor(np.array([1.0, 0.0, 2.0]), requires_grad=True)

    def step() -> gl.Tensor:
        w.grad = None
        y = gl.sqrt(w * w).sum()
        y.backward()
        assert w.grad is not None
        return w.grad * 1

    run = make(step)
    finding = found(lambda: run().numpy())
    assert finding.kind == "infinity"  # 0.5 / 0, which is then multiplied by 0
    assert finding.operation == "divide"
    assert finding.stage == "backward"
    assert finding.index == (1,)
    assert line_of(finding) == (__file__, "step")
    assert finding.leads_to is not None
    assert finding.leads_to.kind == "NaN"
    assert finding.leads_to.operation == "multiply"
    assert "it leads to NaN in the backward pass, in multiply" in str(finding)


@MODES
def test_update(make: Make) -> None:
    layer = nn.Linear(2, 1, bias=False)
    optimizer = optim.SGD(layer.parameters(), lr=3e38)
    x = gl.tensor(np.array([[2.0, 0.0]], np.float32))

    def step() -> gl.Tensor:
        optimizer.zero_grad()
        loss = layer(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    before = layer.weight.numpy()
    run = make(step)
    finding = found(lambda: run().item())
    assert finding.stage == "update"
    assert line_of(finding) == (__file__, "step")
    assert finding.origin is not None
    assert finding.origin.library is not None
    assert finding.origin.library.file.endswith("sgd.py")
    np.testing.assert_array_equal(layer.weight.numpy(), before)


@MODES
def test_data(make: Make) -> None:
    layer = nn.Linear(3, 2)
    x = np.ones((4, 3), np.float32)
    x[2, 1] = np.nan
    run = make(lambda x: layer(x).sum())
    finding = found(lambda: run(gl.tensor(x)).item())
    assert finding.stage == "input"
    assert finding.index == (2, 1)
    assert "before the step began: 1 of 12 elements, the first at [2, 1]" in str(finding)


@MODES
def test_a_parameter_is_named(make: Make) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    network[1].bias.data.copy_(gl.tensor(np.array([0, np.inf], np.float32)))
    run = make(lambda x: (network(x) * 0).sum())
    finding = found(lambda: run(gl.tensor(np.ones((4, 3), np.float32))).item())
    assert finding.kind == "infinity"
    assert (finding.stage, finding.name) == ("input", "1.bias")
    assert finding.leads_to is not None
    assert finding.leads_to.operation == "multiply"
    network[1].bias.data.copy_(gl.tensor(np.array([0, np.nan], np.float32)))
    assert np.isnan(network[1].bias.numpy()[1])  # outside of what is watched
    finding = found(lambda: run(gl.tensor(np.ones((4, 3), np.float32))).item())
    assert finding.stage == "input"
    assert finding.name == "1.bias"
    assert "NaN in 1.bias (2) before the step began: 1 of 2 elements" in str(finding)


def test_infinities_on_purpose_are_none() -> None:
    with gl.detect_anomaly():
        mask = gl.where(gl.tensor(np.eye(3) > 0), gl.full((3, 3), -np.inf), 0.0)
        assert np.isneginf(mask.numpy()).sum() == 3
        attention = gl.exp(mask) / gl.exp(mask).sum(1, keepdims=True)
        np.testing.assert_allclose(attention.numpy().sum(1), 1)
        given = gl.tensor(np.array([1.0, np.inf]))
        assert (given * 2).numpy()[1] == np.inf


def test_a_row_without_anything_is_found_after_its_mask() -> None:
    scores = gl.tensor(np.full((2, 3), -np.inf))
    finding = found(lambda: nn.functional.softmax(scores, 1).numpy())
    assert finding.kind == "NaN"
    assert finding.operation == "subtract"
    assert finding.cause is not None
    assert finding.cause.name == "scores"
    assert "the infinity in it: infinity in scores (2×3)" in str(finding)
    assert finding.origin is not None
    assert finding.origin.library is not None
    assert finding.origin.library.function == "softmax"


def divergent() -> tuple[nn.Module, Any, Any]:
    """A network that a step size of 1e12 drives to infinity, and data."""
    rng = np.random.default_rng(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    network.compile(optim.SGD(network.parameters(), lr=1e12), nn.MSELoss())
    x = rng.standard_normal((256, 4)).astype(np.float32)
    return network, x, x.sum(1, keepdims=True)


def test_fit_tells_where_and_keeps_the_weights_from_before() -> None:
    network, x, y = divergent()
    with pytest.raises(AnomalyError) as caught:
        network.fit(x, y, batch_size=16, epochs=5, verbose=0, check_finite=True, seed=1)
    assert caught.value.finding.stage in ("forward", "backward", "update")
    assert all(np.isfinite(p.numpy()).all() for p in network.parameters())


def test_fit_that_goes_well_is_the_same_with_the_detective() -> None:
    weights = []
    for check in (False, True):
        gl.manual_seed(4)
        rng = np.random.default_rng(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))
        network.compile(optim.Adam(network.parameters(), lr=1e-2), nn.MSELoss())
        x = rng.standard_normal((200, 4)).astype(np.float32)
        network.fit(x, x[:, :1], epochs=3, verbose=0, seed=2, check_finite=check)
        weights.append({name: p.numpy() for name, p in network.named_parameters()})
    for name, value in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], value)


def test_it_ends_with_the_block() -> None:
    from glubina.graph import origins
    from glubina.tensor.mode import mode

    with gl.detect_anomaly(), gl.detect_anomaly():
        assert mode.detector is not None
    assert mode.detector is None
    assert origins.current() is None
    assert np.isnan(gl.log(gl.tensor(-1.0)).item())


def test_a_failure_does_not_come_up_where_something_else_is_worked_out() -> None:
    x = gl.tensor(np.full(200, -1.0, np.float32))
    held = gl.log(x)
    with pytest.raises(AnomalyError), gl.detect_anomaly():
        held.realise()
    later, state = held * 2, gl.tensor(np.ones(200, np.float32))
    state.add_(held)
    other = gl.ones(200) + 1

    @gl.compile
    def add(y: gl.Tensor) -> gl.Tensor:
        return y + 1

    assert add(gl.ones(200)).numpy()[0] == 2
    assert other.numpy()[0] == 2
    assert state.numpy()[0] == 1  # as it was
    for spoiled in (held, later):
        with pytest.raises(AnomalyError):
            spoiled.numpy()


def test_what_depends_on_a_failure_raises_it_when_asked_together_with_others() -> None:
    held = gl.log(gl.tensor(np.full(200, -1.0, np.float32)))
    with pytest.raises(AnomalyError), gl.detect_anomaly():
        held.realise()
    spoiled, fine = held + 1, gl.ones(200) * 3
    with pytest.raises(AnomalyError):
        (spoiled + fine).numpy()
    assert fine.numpy()[0] == 3


def test_what_only_a_kernel_makes_nan_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomaly, "investigate", lambda *_: None)
    finding = found(lambda: gl.log(gl.tensor([1.0, -1.0, -2.0])).numpy())
    assert (finding.kind, finding.operation, finding.count, finding.index) == (
        "NaN",
        "log",
        2,
        (1,),
    )


@MODES
def test_the_infinity_comes_before_the_nan_that_it_leads_to(make: Make) -> None:
    layer = nn.Linear(2, 2)
    x = gl.tensor(np.array([[400.0, -1.0]], np.float32))
    run = make(lambda x: layer(gl.exp(x) - 1).sum() * 0)
    finding = found(lambda: run(x).item())
    assert (finding.kind, finding.operation, finding.stage) == ("infinity", "exp", "forward")
    assert finding.operands[0].at == 400
    assert finding.leads_to is not None
    assert finding.leads_to.kind == "NaN"


@MODES
def test_infinite_data(make: Make) -> None:
    layer = nn.Linear(3, 2)
    given = np.ones((4, 3), np.float32)
    given[2, 1] = np.inf
    images = gl.tensor(given)
    run = make(lambda x: (layer(x) * 0).sum())
    finding = found(lambda: run(images).item())
    assert (finding.kind, finding.stage, finding.index) == ("infinity", "input", (2, 1))
    assert "first read by Linear, forward" in str(finding)


@MODES
def test_a_step_size_that_is_nan(make: Make) -> None:
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = float("nan")

    def step(x: gl.Tensor) -> gl.Tensor:
        optimizer.zero_grad()
        loss = layer(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    run = make(step)
    before = layer.weight.numpy()
    finding = found(lambda: run(gl.ones((1, 2))).item())
    assert finding.stage == "update"
    assert "NaN in an input of the update (a step size," in str(finding)
    assert finding.origin is not None
    assert finding.origin.library is not None
    assert finding.origin.library.file.endswith("sgd.py")
    np.testing.assert_array_equal(layer.weight.numpy(), before)


@MODES
def test_a_parameter_that_was_just_changed_by_hand_is_named(make: Make) -> None:
    network = nn.Sequential(nn.Linear(3, 2), nn.LSTM(2, 4))
    optimizer = optim.SGD(network.parameters(), lr=0.1)

    def step(x: gl.Tensor) -> gl.Tensor:
        optimizer.zero_grad()
        loss = (network(x)[0] ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    weight = network[1].weight_hh_l0.numpy()
    weight[3, 2] = np.nan
    network[1].weight_hh_l0.data.copy_(gl.tensor(weight))  # pending, still
    finding = found(lambda: make(step)(gl.ones((5, 2, 3))).item())
    assert (finding.stage, finding.name, finding.index) == ("input", "1.weight_hh_l0", (3, 2))


def test_in_a_loop_over_time() -> None:
    layer = nn.RNN(2, 3, nonlinearity="relu")
    nn.init.constant_(layer.weight_hh_l0, 1e20)
    finding = found(lambda: layer(gl.ones((9, 2, 2)))[0].numpy())
    assert (finding.kind, finding.operation) == ("infinity", "scan")
    assert finding.origin is not None
    assert finding.origin.layer == "RNN"


def _trained(
    detective: bool, steps: int, spoilt: int | None = None, view: bool = False
) -> tuple[list[np.ndarray[Any, Any]], int]:
    """Weights and moments after so many compiled steps of two turns; the step that failed."""
    gl.manual_seed(3)
    network = nn.Sequential(nn.Linear(6, 40), nn.BatchNorm1d(40), nn.Dropout(0.3), nn.Linear(40, 2))
    optimizer = optim.Adam(network.parameters(), lr=0.01)

    @gl.compile
    def step(x: gl.Tensor) -> gl.Tensor:
        loss = gl.sqrt(network(x).square().sum() + x.sum())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    held, failed = None, steps
    with gl.detect_anomaly() if detective else nullcontext():
        for number in range(steps):
            x = np.random.default_rng(number).random((8 if number % 7 else 5, 6))
            x = (x if number != spoilt else -1e4 * x).astype(np.float32)
            if view and number == 9:
                held = network[0].weight.numpy(copy=False)
            if number == 12:
                network[3].bias.data.mul_(0.5)
            try:
                step(gl.tensor(x))
            except AnomalyError:
                failed = number
                break
    del held
    state = {**network.state_dict(), **flattened(optimizer.state_dict())}
    return [np.asarray(value) for value in state.values()], failed


def flattened(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors in an optimizer's state."""
    found: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                walk(f"{name}.{key}", part)
        elif isinstance(value, (gl.Tensor, np.ndarray)):
            found[name] = value.numpy() if isinstance(value, gl.Tensor) else value

    walk("optimizer", state)
    return found


@pytest.mark.parametrize("view", [False, True], ids=["", "a weight looked at"])
@pytest.mark.parametrize("spoilt", [1, 8, 15, 16, 17, 33, 40])
def test_a_step_that_overwrote_its_state_is_undone(spoilt: int, view: bool) -> None:
    """Every value is what it was before the bad step, bit for bit."""
    found, failed = _trained(True, 50, spoilt, view)
    wanted, _ = _trained(False, spoilt)
    assert failed == spoilt
    assert len(found) == len(wanted) > 10
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_with_infinities_on_purpose_is_done_in_place_too() -> None:
    gl.manual_seed(0)
    w = gl.zeros(4, requires_grad=True)
    total = gl.zeros(4)

    @gl.compile
    def step(mask: gl.Tensor) -> gl.Tensor:
        total.add_(gl.softmax(w + mask, axis=0).detach())
        return w + mask

    mask = gl.tensor(np.array([0, 0, -np.inf, -np.inf], np.float32))
    with gl.detect_anomaly():
        for _ in range(20):
            assert np.isinf(step(mask).numpy()).sum() == 2
    np.testing.assert_array_equal(total.numpy(), [10, 10, 0, 0])


def test_a_detective_within_another() -> None:
    w = gl.zeros(3, requires_grad=True)

    @gl.compile
    def step(x: gl.Tensor) -> None:
        w.data.add_(gl.sqrt(x))

    one, bad = gl.tensor([1.0, 1, 1]), gl.tensor([1.0, -1, 1])
    with gl.detect_anomaly():
        step(one)
        with gl.detect_anomaly():
            step(one)
        step(one)
        with pytest.raises(AnomalyError):
            step(bad)
    np.testing.assert_array_equal(w.numpy(), [3, 3, 3])
