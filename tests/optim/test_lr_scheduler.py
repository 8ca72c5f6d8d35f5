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
    with pytest.raises(ValueError, match="step_size must be at least 1, got 0"):
        optim.StepLR(rule(1.0), 0)
    with pytest.raises(ValueError, match="T_max must be at least 1, got 0"):
        optim.CosineAnnealingLR(rule(1.0), 0)
