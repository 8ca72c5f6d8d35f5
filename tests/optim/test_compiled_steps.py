"""Training steps under gl.compile: the same numbers as the ordinary loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim


def train(
    make: Callable[[Any], Any],
    compiled: bool,
    between: Callable[[int, Any, Any], None] = lambda step, net, rule: None,
    steps: int = 5,
) -> tuple[dict[str, Any], list[float]]:
    """State and losses after some steps of a small network with everything in it."""
    gl.manual_seed(1)
    random = np.random.default_rng(0)
    x = gl.tensor(random.normal(size=(8, 6, 6, 1)).astype(np.float32))
    y = gl.tensor(random.integers(0, 3, 8))
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 3)),
    )
    rule = make(net.parameters())

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        rule.step()
        return loss.detach()

    run = gl.compile(step) if compiled else step
    losses = []
    for number in range(steps):
        losses.append(run(x, y).item())
        between(number, net, rule)
    return {name: value.numpy() for name, value in net.state_dict().items()}, losses


def check(make: Callable[[Any], Any], **options: Any) -> None:
    plain, plain_losses = train(make, False, **options)
    compiled, losses = train(make, True, **options)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    for name, value in plain.items():
        np.testing.assert_allclose(compiled[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.01),
        lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    ],
    ids=["sgd", "adamw"],
)
def test_a_compiled_step_is_the_step(make: Callable[[Any], Any]) -> None:
    check(make)


def test_a_schedule_reaches_a_compiled_step() -> None:
    def between(step: int, net: Any, rule: Any) -> None:
        rule.param_groups[0]["lr"] *= 0.5

    check(lambda p: optim.Adam(p, lr=0.1), between=between)


def test_freezing_and_eval_reach_a_compiled_step() -> None:
    def between(step: int, net: Any, rule: Any) -> None:
        if step == 1:
            net[0].requires_grad_(False)
        if step == 2:
            net.eval()

    check(lambda p: optim.SGD(p, lr=0.1), between=between)


def test_loading_reaches_a_compiled_step() -> None:
    saved: dict[str, Any] = {}

    def between(step: int, net: Any, rule: Any) -> None:
        if step == 1:
            saved["net"] = {k: v.numpy() for k, v in net.state_dict().items()}
            state = rule.state_dict()
            saved["rule"] = {
                "state": {
                    k: {n: t.numpy() for n, t in v.items()} for k, v in state["state"].items()
                },
                "param_groups": state["param_groups"],
            }
        if step == 3:
            net.load_state_dict(saved["net"])
            rule.load_state_dict(saved["rule"])

    check(lambda p: optim.Adam(p, lr=0.01), between=between, steps=6)


def test_lazy_layers_take_their_sizes_while_a_step_is_recorded() -> None:
    net = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(1))
    rule = optim.SGD(net.parameters(), lr=0.1)

    @gl.compile
    def step(x: Any) -> Any:
        rule.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        rule.step()
        return loss

    x = gl.ones((3, 2))
    losses = [step(x).item() for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert type(net[0]) is nn.Linear


def test_clipping_in_a_compiled_step() -> None:
    w = gl.tensor(np.array([3.0]), requires_grad=True)
    rule = optim.SGD([w], lr=1.0)

    @gl.compile
    def step() -> Any:
        rule.zero_grad()
        (w * w).sum().backward()
        norm = optim.clip_grad_norm_([w], 1.0)
        rule.step()
        return norm

    assert step().item() == 6.0
    assert step().item() == pytest.approx(4.0, rel=1e-5)
    np.testing.assert_allclose(w.numpy(), [1.0], rtol=1e-5)
