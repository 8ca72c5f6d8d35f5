from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glubina as gl
from glubina import optim

Array = NDArray[Any]
STEPS = 6


def sgd(w: Array, gradient: Callable[[Array], Array], **s: Any) -> Array:
    """Stochastic gradient descent, transcribed."""
    lr, momentum, damping = s["lr"], s.get("momentum", 0), s.get("dampening", 0)
    velocity: Array | None = None
    for _ in range(STEPS):
        g = gradient(w) * (-1 if s.get("maximize") else 1) + s.get("weight_decay", 0) * w
        if momentum:
            velocity = g if velocity is None else momentum * velocity + (1 - damping) * g
            g = g + momentum * velocity if s.get("nesterov") else velocity
        w = w - lr * g
    return w


def adam(w: Array, gradient: Callable[[Array], Array], **s: Any) -> Array:
    """Adam (decoupled=False) and AdamW, transcribed."""
    lr, (b1, b2), eps = s["lr"], s.get("betas", (0.9, 0.999)), s.get("eps", 1e-8)
    decay = s.get("weight_decay", 0)
    m, v, top = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient(w) * (-1 if s.get("maximize") else 1)
        if s.get("decoupled"):
            w = w - lr * decay * w
        else:
            g = g + decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        top = np.maximum(top, v) if s.get("amsgrad") else v
        w = w - lr / (1 - b1**t) * m / (np.sqrt(top) / np.sqrt(1 - b2**t) + eps)
    return w


def trained(rule: Any, start: Array, **settings: Any) -> Array:
    """The same steps by Glubina: the loss is Σ (w - 1)⁴ / 4 + w."""
    w = gl.tensor(start, requires_grad=True)
    optimizer = rule([w], **settings)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (((w - 1) ** 4 / 4 + w).sum()).backward()
        optimizer.step()
    return w.numpy()


def gradient(w: Array) -> Array:
    return (w - 1) ** 3 + 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.1},
        {"lr": 0.1, "weight_decay": 0.05},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.01, "maximize": True},
    ],
)
def test_sgd(settings: dict[str, Any], dtype: type) -> None:
    start = np.random.default_rng(0).standard_normal((3, 4))
    found = trained(optim.SGD, start.astype(dtype), **settings)
    expected = sgd(start.astype(dtype).astype(np.float64), gradient, **settings)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12 if dtype is np.float64 else 1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        (optim.Adam, {"lr": 0.1}),
        (optim.Adam, {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-3}),
        (optim.Adam, {"lr": 0.1, "amsgrad": True}),
        (optim.Adam, {"lr": 0.1, "maximize": True}),
        (optim.AdamW, {"lr": 0.1, "weight_decay": 0.3}),
    ],
)
def test_adam(rule: Any, settings: dict[str, Any], dtype: type) -> None:
    start = np.random.default_rng(0).standard_normal((3, 4))
    found = trained(rule, start.astype(dtype), **settings)
    expected = adam(
        start.astype(dtype).astype(np.float64),
        gradient,
        decoupled=rule is optim.AdamW,
        **settings,
    )
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-10 if dtype is np.float64 else 1e-4)


def test_adamw_decays_by_default() -> None:
    assert optim.AdamW([gl.ones((1,), requires_grad=True)]).param_groups[0]["weight_decay"] == 0.01


# -- what is trained -----------------------------------------------------------------------------


def parameter(*values: float) -> Any:
    return gl.tensor(np.array(values), requires_grad=True)


def test_groups_have_settings_of_their_own() -> None:
    a, b, c = parameter(1.0), parameter(1.0), parameter(1.0)
    rule = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.1, momentum=0.9)
    rule.add_param_group({"params": [c], "lr": 0.0})
    assert [g["momentum"] for g in rule.param_groups] == [0.9, 0.9, 0.9]
    (a + b + c).sum().backward()
    rule.step()
    assert (a.item(), b.item(), c.item()) == (0.5, 0.9, 1.0)


def test_a_changed_rate_counts_from_the_next_step() -> None:
    w = parameter(1.0)
    rule = optim.SGD([w], lr=0.5)
    for rate, expected in ((0.5, 0.5), (0.25, 0.25), (1.0, -0.75)):
        rule.param_groups[0]["lr"] = rate
        rule.zero_grad()
        w.sum().backward()
        rule.step()
        assert w.item() == expected


def test_what_has_no_gradient_stays() -> None:
    a, b = parameter(1.0), parameter(1.0)
    rule = optim.Adam([a, b], lr=0.1)
    for only_a in (False, True, False):
        rule.zero_grad()
        (a * 2 if only_a else a * 2 + b * 2).sum().backward()
        rule.step()
    # b has made two steps and a three: with a constant gradient each is lr long
    np.testing.assert_allclose(a.item(), 0.7, rtol=1e-6)
    np.testing.assert_allclose(b.item(), 0.8, rtol=1e-6)
    assert (rule.state[a]["step"].item(), rule.state[b]["step"].item()) == (3, 2)


def test_gradients_and_loss_can_be_read_after_the_step() -> None:
    w = parameter(3.0)
    rule = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward()
    rule.step()
    assert (loss.item(), w.grad.item()) == (9.0, 6.0)


def test_a_closure_is_called() -> None:
    w = parameter(3.0)
    rule = optim.SGD([w], lr=0.1)

    def closure() -> Any:
        rule.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    assert rule.step(closure).item() == 9.0
    np.testing.assert_allclose(w.item(), 2.4)


# -- saving --------------------------------------------------------------------------------------


def plain(state: Any) -> Any:
    """As it comes back from files: arrays, and text for keys."""
    return {
        "state": {
            str(k): {name: t.numpy() for name, t in v.items()} for k, v in state["state"].items()
        },
        "param_groups": state["param_groups"],
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5),
        lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    ],
)
def test_training_goes_on_from_a_saved_state(make: Callable[[Any], Any]) -> None:
    def steps(w: Any, b: Any, rule: Any, count: int) -> None:
        for _ in range(count):
            rule.zero_grad()
            ((w - 1) ** 4 + b * b).sum().backward()
            rule.step()

    start = (np.array([0.5, 3.0]), np.array(2.0))
    whole = [gl.tensor(a, requires_grad=True) for a in start]
    steps(*whole, make(whole), 6)

    first = [gl.tensor(a, requires_grad=True) for a in start]
    rule = make(first)
    steps(*first, rule, 3)
    rule.param_groups[0]["lr"] = 0.1
    saved = plain(rule.state_dict())
    second = [gl.tensor(t.numpy(), requires_grad=True) for t in first]
    other = make(second)
    other.load_state_dict(saved)
    steps(*second, other, 3)
    for found, expected in zip(second, whole):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_a_state_that_does_not_fit() -> None:
    rule = optim.SGD([parameter(1.0)], lr=0.1, momentum=0.9)
    other = optim.SGD([parameter(1.0), parameter(2.0)], lr=0.1)
    with pytest.raises(
        ValueError, match=r"groups of \[2\] parameters, this optimizer groups of \[1\]"
    ):
        rule.load_state_dict(other.state_dict())
    state = {"state": {"0": {"momentum_buffer": np.zeros(3)}}, "param_groups": [{"params": [0]}]}
    with pytest.raises(ValueError, match=r"momentum_buffer has shape \(3,\), its parameter \(1,\)"):
        rule.load_state_dict(state)
    assert rule.state == {}


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: optim.SGD([]), ValueError, "SGD was given no parameters"),
        (lambda: optim.SGD([parameter(1.0)], lr=-1), ValueError, "lr must not be negative, got -1"),
        (
            lambda: optim.SGD([parameter(1.0)], nesterov=True),
            ValueError,
            "nesterov needs a momentum",
        ),
        (lambda: optim.Adam([parameter(1.0)], betas=(1, 0)), ValueError, "betas are two numbers"),
        (lambda: optim.SGD([np.ones(3)]), TypeError, "takes tensors, got ndarray"),
        (lambda: optim.SGD([gl.tensor([1])]), TypeError, "floating tensors, got int64"),
        (
            lambda: optim.SGD([{"params": [parameter(1.0)], "rate": 1}]),
            ValueError,
            "unknown setting rate; there are lr, momentum",
        ),
    ],
)
def test_wrong_arguments(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_parameter_given_twice() -> None:
    w = parameter(1.0)
    with pytest.raises(ValueError, match="given to the optimizer twice"):
        optim.SGD([{"params": [w]}, {"params": [w]}])


# -- clipping ------------------------------------------------------------------------------------


def test_clipping_by_norm() -> None:
    a, b = parameter(3.0), parameter(0.0, 4.0)
    ((a * a).sum() + (b * b).sum()).backward()
    total = optim.clip_grad_norm_([a, b], 5.0)
    assert total.item() == 10.0
    np.testing.assert_allclose(a.grad.numpy(), [3.0], rtol=1e-6)
    np.testing.assert_allclose(b.grad.numpy(), [0, 4.0], rtol=1e-6)
    optim.clip_grad_norm_([a, b], 50.0)
    np.testing.assert_allclose(a.grad.numpy(), [3.0], rtol=1e-6)
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        optim.clip_grad_norm_([parameter(1.0)], 1.0)


def test_clipping_by_value() -> None:
    a = parameter(3.0, -3.0, 0.1)
    (a * a).sum().backward()
    optim.clip_grad_value_(a, 2.5)
    np.testing.assert_allclose(a.grad.numpy(), [2.5, -2.5, 0.2])


def test_clipped_gradients_are_what_the_step_uses() -> None:
    w = parameter(3.0)
    rule = optim.SGD([w], lr=1.0)
    (w * w).sum().backward()
    optim.clip_grad_norm_([w], 1.0)
    rule.step()
    np.testing.assert_allclose(w.item(), 2.0, rtol=1e-6)
