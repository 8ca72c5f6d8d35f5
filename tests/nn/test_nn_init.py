from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.nn import init


def filled(function: Any, shape: tuple[int, ...] = (200, 100), **options: Any) -> Any:
    tensor = gl.zeros(shape)
    assert function(tensor, **options) is tensor
    return tensor.numpy()


def test_fans() -> None:
    assert init.fans(gl.zeros((5, 3))) == (3, 5)
    assert init.fans(gl.zeros((3, 2, 4, 8))) == (24, 48)
    with pytest.raises(ValueError, match=r"at least 2 axes, got shape \(5,\)"):
        init.xavier_normal_(gl.zeros((5,)))


@pytest.mark.parametrize(
    ("function", "options", "std"),
    [
        (init.normal_, {"std": 0.5}, 0.5),
        (init.uniform_, {"a": -1, "b": 1}, 1 / math.sqrt(3)),
        (init.xavier_uniform_, {}, math.sqrt(2 / 300)),
        (init.xavier_normal_, {"gain": 2}, 2 * math.sqrt(2 / 300)),
        (init.kaiming_uniform_, {}, math.sqrt(2 / 100)),
        (init.kaiming_normal_, {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 200)),
    ],
)
def test_standard_deviations(function: Any, options: dict[str, Any], std: float) -> None:
    gl.manual_seed(0)
    values = filled(function, **options)
    assert abs(values.std() / std - 1) < 0.02
    assert abs(values.mean()) < 0.02 * std * 2


def test_bounds() -> None:
    values = filled(init.uniform_, a=2, b=3)
    assert values.min() >= 2
    assert values.max() <= 3
    values = filled(init.xavier_uniform_)
    assert 0.99 < np.abs(values).max() / math.sqrt(6 / 300) <= 1
    values = filled(init.trunc_normal_, std=2.0, a=-1.0, b=1.0)
    assert np.abs(values).max() <= 1


def test_constants() -> None:
    assert (filled(init.ones_) == 1).all()
    assert (filled(init.zeros_) == 0).all()
    assert (filled(init.constant_, value=3) == 3).all()
    np.testing.assert_array_equal(filled(init.eye_, (3, 3)), np.eye(3))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    q = filled(init.orthogonal_, shape).reshape(-1, shape[-1])
    q = q if q.shape[0] >= q.shape[1] else q.T
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-6)


def test_gains() -> None:
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)
    with pytest.raises(ValueError, match="unknown nonlinearity 'x'; there are linear"):
        init.calculate_gain("x")


def test_layers_begin_within_their_bounds_and_by_the_seed() -> None:
    gl.manual_seed(3)
    first = nn.Conv2d(4, 8, 3)
    bound = 1 / math.sqrt(36)
    assert 0.9 * bound < np.abs(first.weight.numpy()).max() <= bound
    assert np.abs(first.bias.numpy()).max() <= bound
    second = nn.Conv2d(4, 8, 3)
    assert (first.weight.numpy() != second.weight.numpy()).any()
    gl.manual_seed(3)
    np.testing.assert_array_equal(nn.Conv2d(4, 8, 3).weight.numpy(), first.weight.numpy())


def test_initialising_keeps_the_parameter() -> None:
    layer = nn.Linear(3, 2)
    weight = layer.weight
    init.ones_(weight)
    assert weight.requires_grad
    layer(gl.ones((1, 3))).sum().backward()
    np.testing.assert_array_equal(weight.grad.numpy(), np.ones((2, 3)))
