"""Schedules of the learning rate, against their formulas step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import optim


def rule(*rates: float) -> Any:
    groups = [{"params": [gl.tensor(np.ones(1), requires_grad=True)], "lr": rate} for rate in rates]
    return optim.SGD(groups)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda o: optim.StepLR(o, 2, 0.1), [1, 1, 0.1, 0.1, 0.01]),
        (lambda o: optim.MultiStepLR(o, [1, 3], 0.5), [1, 0.5, 0.5, 0.25, 0.25]),
        (lambda o: optim.ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125, 0.0625]),
        (lambda o: optim.LambdaLR(o, lambda n: 1 / (1 + n)), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        (
            lambda o: optim.CosineAnnealingLR(o, 4, 0.2),
            [0.2 + 0.8 * (1 + math.cos(math.pi * n / 4)) / 2 for n in range(5)],
        ),
        (
            lambda o: optim.MultiplicativeLR(o, lambda n: n / 4),
            [1, 1 / 4, 2 / 16, 6 / 64, 24 / 256],
        ),
        (lambda o: optim.ConstantLR(o, 0.25, 2), [0.25, 0.25, 1, 1]),
        (lambda o: optim.LinearLR(o, 0.2, 1.0, 4), [0.2, 0.4, 0.6, 0.8, 1, 1]),
        (lambda o: optim.PolynomialLR(o, 4, 2.0), [1, 9 / 16, 1 / 4, 1 / 16, 0, 0]),
        (lambda o: optim.InversePowerLR(o), [1, 1 / 2, 1 / 3, 1 / 4]),
        (lambda o: optim.InversePowerLR(o, 0.5), [1, 0.5**0.5, (1 / 3) ** 0.5, 0.5]),
        (
            lambda o: optim.CosineAnnealingWarmRestarts(o, 2, 2),
            [1, 0.5, 1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 1],
        ),
        (
            lambda o: optim.OneCycleLR(o, 1.0, 6, pct_start=0.5, anneal_strategy="linear"),
            [0.04, 0.52, 1, *(1 - (1 - 4e-6) * k / 3 for k in (1, 2, 3))],
        ),
        (lambda o: optim.CyclicLR(o, 0.0, 1.0, 2, 1), [0, 0.5, 1, 0, 0.5, 1]),
        (
            lambda o: optim.CyclicLR(o, 0.0, 1.0, 1, mode="triangular2"),
            [0, 1, 0, 0.5, 0, 0.25],
        ),
        (
            lambda o: optim.SequentialLR(
                o, [optim.LinearLR(o, 0.5, 1.0, 2), optim.ExponentialLR(o, 0.5)], [2]
            ),
            [0.5, 0.75, 1, 0.5, 0.25],
        ),
        (
            lambda o: optim.ChainedScheduler(
                [optim.ConstantLR(o, 0.5, 2), optim.ExponentialLR(o, 0.5)]
            ),
            [0.5, 0.25, 0.25, 0.125],
        ),
    ],
)
def test_rates(make: Callable[[Any], Any], expected: list[float]) -> None:
    optimizer = rule(1.0, 2.0)
    schedule = make(optimizer)
    found = []
    for _ in expected:
        found.append(optimizer.param_groups[0]["lr"])
        assert schedule.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
        schedule.step()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_function_for_each_group() -> None:
    optimizer = rule(1.0, 2.0)
    optim.LambdaLR(optimizer, [lambda n: 0.5, lambda n: 2.0])
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 4.0]
    with pytest.raises(ValueError, match="expected 2 functions, one per group: 1"):
        optim.LambdaLR(optimizer, [lambda n: 0.5])


def test_state_goes_round() -> None:
    first = rule(1.0)
    schedule = optim.StepLR(first, 2)
    for _ in range(3):
        schedule.step()
    second = rule(7.0)
    other = optim.StepLR(second, 2)
    other.load_state_dict(schedule.state_dict())
    schedule.step()
    other.step()
    assert first.param_groups[0]["lr"] == second.param_groups[0]["lr"] == pytest.approx(0.01)
    with pytest.raises(ValueError, match="the state has 1 groups, the optimizer 2"):
        optim.StepLR(rule(1.0, 1.0), 2).load_state_dict(schedule.state_dict())


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="step_size must be a whole number of at least 1, got 0"):
        optim.StepLR(rule(1.0), 0)
    with pytest.raises(ValueError, match="T_max must be a whole number of at least 1, got 0"):
        optim.CosineAnnealingLR(rule(1.0), 0)


def test_plateau() -> None:
    optimizer = rule(1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=0.3)
    found = []
    for value in (5, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3, 3):
        schedule.step(value)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    other = optim.ReduceLROnPlateau(rule(7.0))
    other.load_state_dict(schedule.state_dict())
    assert (other.best, other.get_last_lr()) == (3.0, [0.3])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o: optim.LinearLR(o, 0.0), "start_factor must be above 0 and at most 1, got 0.0"),
        (lambda o: optim.PolynomialLR(o, 0), "total_iters must be a whole number of at least 1"),
        (lambda o: optim.OneCycleLR(o, 1.0), "give total_steps, or epochs and steps_per_epoch"),
        (lambda o: optim.CyclicLR(o, 0.1, 1.0, mode="saw"), "mode must be 'triangular', "),
        (lambda o: optim.ReduceLROnPlateau(o, "least"), "mode must be 'min' or 'max', got 'least'"),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1), "factor must be above 0 and below 1"),
        (
            lambda o: optim.SequentialLR(o, [optim.StepLR(o, 1)], [2]),
            "one milestone less than schedules: 1 schedules, 1 milestones",
        ),
        (
            lambda o: optim.ChainedScheduler([optim.StepLR(o, 1), optim.StepLR(rule(1.0), 1)]),
            "every schedule must be of the same optimizer",
        ),
    ],
)
def test_bad_schedules(make: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(rule(1.0))


def test_one_cycle_ends() -> None:
    schedule = optim.OneCycleLR(rule(1.0), 1.0, 2)
    schedule.step()
    schedule.step()
    with pytest.raises(ValueError, match="was made for 2 steps, this is step 4"):
        schedule.step()


def test_the_momentum_goes_the_other_way() -> None:
    optimizer = rule(0.1, 0.1)
    schedule = optim.CyclicLR(
        optimizer, 0.0, 1.0, 2, base_momentum=[0.5, 0.7], max_momentum=[0.9, 0.9]
    )
    found = []
    for _ in range(5):
        found.append([g["momentum"] for g in optimizer.param_groups])
        schedule.step()
    wanted = [[0.9, 0.9], [0.7, 0.8], [0.5, 0.7], [0.7, 0.8], [0.9, 0.9]]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    adam = optim.Adam([gl.zeros(1, requires_grad=True)])
    cycle = optim.OneCycleLR(adam, 1.0, 7, pct_start=0.5, anneal_strategy="linear")
    betas = []
    for _ in range(6):
        betas.append(adam.param_groups[0]["betas"])
        cycle.step()
    assert {second for _, second in betas} == {0.999}
    rise = [0.95, 0.95 - 0.1 / 2.5, 0.95 - 0.2 / 2.5]
    fall = [0.85 + 0.1 * k / 3.5 for k in (0.5, 1.5, 2.5)]
    np.testing.assert_allclose([first for first, _ in betas], [*rise, *fall], rtol=1e-12)
    still = optim.SGD([gl.zeros(1, requires_grad=True)], lr=1.0, momentum=0.3)
    optim.OneCycleLR(still, 1.0, 7, cycle_momentum=False).step()
    assert still.param_groups[0]["momentum"] == 0.3


@pytest.mark.parametrize(
    ("scale_mode", "wanted"),
    [("cycle", [0, 1, 0, 0.5, 0, 1 / 3]), ("iterations", [0, 1, 0, 1 / 3, 0])],
)
def test_a_scale_of_one_s_own(scale_mode: str, wanted: list[float]) -> None:
    optimizer, found = rule(1.0), []
    schedule = optim.CyclicLR(
        optimizer, 0.0, 1.0, 1, scale_fn=lambda n: 1 / n if n else 1.0, scale_mode=scale_mode
    )
    for _ in wanted:
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_going_on_and_steps_between_epochs() -> None:
    first = rule(1.0)
    schedule = optim.CosineAnnealingLR(first, 10)
    for _ in range(4):
        schedule.step()
    second = rule(first.param_groups[0]["lr"])
    second.param_groups[0]["initial_lr"] = 1.0
    again = optim.CosineAnnealingLR(second, 10, last_epoch=3)
    assert again.get_last_lr() == schedule.get_last_lr()
    restarts = optim.CosineAnnealingWarmRestarts(rule(1.0), 2)
    restarts.step(2.5)
    assert restarts.get_last_lr()[0] == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
