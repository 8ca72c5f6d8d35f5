"""Rprop and ASGD against transcriptions of their formulas; SWALR and ignored arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import glubina as gl
import glubina.torch as torch
from glubina import optim
from glubina.torch.optim.swa_utils import SWALR

Array = NDArray[Any]
START, AIM = np.array([1.5, -1.0, 0.3]), np.array([1.0, 0.5, 0.4])


def gradient(w: Array) -> Array:
    return 4 * (w - AIM) ** 3


def rprop(w: Array, lr: float, etas: Any, sizes: Any, steps: int) -> Array:
    size, before = np.full_like(w, lr), np.zeros_like(w)
    for _ in range(steps):
        g = gradient(w)
        turn = np.sign(g * before)
        factor = np.where(turn > 0, etas[1], np.where(turn < 0, etas[0], 1.0))
        size = np.clip(size * factor, *sizes)
        before = np.where(turn < 0, 0, g)
        w = w - np.sign(before) * size
    return w


def asgd(w: Array, lr: float, lambd: float, alpha: float, t0: float, steps: int) -> Any:
    average = np.zeros_like(w)
    for t in range(1, steps + 1):
        rate = lr / (1 + lambd * lr * (t - 1)) ** alpha
        w = w * (1 - lambd * rate) - rate * gradient(w)
        average = average + (w - average) / max(1, t - 1 - t0)
    return w, average


def trained(rule: Any, steps: int, compiled: bool, **settings: Any) -> tuple[Array, Any]:
    w = gl.tensor(START, requires_grad=True)
    optimizer = rule([w], **settings)

    def step() -> None:
        optimizer.zero_grad()
        ((w - gl.tensor(AIM)) ** 4).sum().backward()
        optimizer.step()

    run = gl.compile(step) if compiled else step
    for _ in range(steps):
        run()
    return w.numpy(), optimizer.state[w]


@pytest.mark.parametrize("compiled", [False, True])
def test_rprop(compiled: bool) -> None:
    settings = {"lr": 0.3, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.5)}
    found, _ = trained(optim.Rprop, 12, compiled, **settings)
    np.testing.assert_allclose(found, rprop(START, *settings.values(), 12), rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
def test_asgd(compiled: bool) -> None:
    found, state = trained(optim.ASGD, 12, compiled, lr=0.05, lambd=0.01, t0=3)
    w, average = asgd(START, 0.05, 0.01, 0.75, 3, 12)
    np.testing.assert_allclose(found, w, rtol=1e-12)
    np.testing.assert_allclose(state["ax"].numpy(), average, rtol=1e-12)


def test_bad_settings() -> None:
    with pytest.raises(ValueError, match="etas are one number from 0 to 1 and one above 1"):
        optim.Rprop([gl.ones(2, requires_grad=True)], etas=(1.2, 0.5))
    with pytest.raises(ValueError, match="lambd must not be negative"):
        optim.ASGD([gl.ones(2, requires_grad=True)], lambd=-1)


@pytest.mark.parametrize(
    ("strategy", "epochs", "rates"),
    [
        # as PyTorch 2.13 gives them
        ("cos", 5, [0.095225, 0.082725, 0.067275, 0.054775, 0.05, 0.05]),
        ("linear", 3, [0.083333, 0.066667, 0.05, 0.05, 0.05, 0.05]),
        ("cos", 0, [0.05] * 6),
    ],
)
def test_swalr(strategy: str, epochs: int, rates: list[float]) -> None:
    rule = torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=0.1, foreach=False)
    schedule = SWALR(rule, swa_lr=0.05, anneal_epochs=epochs, anneal_strategy=strategy)
    found = []
    for _ in rates:
        rule.step()
        schedule.step()
        found.append(rule.param_groups[0]["lr"])
    assert found == pytest.approx(rates, abs=1e-6)


def test_how_a_step_is_computed_may_be_said_and_does_not_matter() -> None:
    w = torch.ones(2, requires_grad=True)
    rule = torch.optim.AdamW([w], lr=0.1, fused=True, capturable=False)
    assert isinstance(rule, optim.AdamW)
    assert type(rule).__name__ == "AdamW"
    assert rule.state[w] == {}
    with pytest.raises(TypeError, match="AdamW has no argument 'learning_rate'; did you mean 'lr'"):
        torch.optim.AdamW([w], learning_rate=0.1)
