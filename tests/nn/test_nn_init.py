"""Initialisers: their distributions, gains and refusals."""

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
        (init.kaiming_uniform_, {"a": 2.0}, math.sqrt(2 / 5 / 100)),
        (init.kaiming_normal_, {"nonlinearity": "tanh"}, 5 / 3 / 10),
        (init.lecun_uniform_, {}, 1 / 10),
        (init.lecun_normal_, {}, 1 / 10),
        (init.trunc_normal_, {"std": 0.3}, 0.3),
        (init.trunc_normal_, {}, 0.87963),
        (init.sparse_, {"sparsity": 0.75, "std": 2.0}, 1.0),
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


def _share(values: Any, std: float) -> Any:
    """The share of normal numbers of this deviation below each value."""
    return [0.5 * (1 + math.erf(v / std / math.sqrt(2))) for v in values]


@pytest.mark.parametrize(
    ("function", "options", "below"),
    [
        (init.normal_, {"std": 0.5}, lambda v: _share(v, 0.5)),
        (init.lecun_normal_, {}, lambda v: _share(v, 0.1)),
        (init.uniform_, {"a": -1.0, "b": 3.0}, lambda v: (v + 1) / 4),
        (
            init.trunc_normal_,
            {"std": 1.0, "a": -1.0, "b": 1.0},
            lambda v: (np.array(_share(v, 1.0)) - _share([-1], 1.0)[0]) / 0.6826895,
        ),
    ],
)
def test_distributions(function: Any, options: dict[str, Any], below: Any) -> None:
    """Kolmogorov's distance of 20,000 numbers, which chance makes larger in one case of 1e5."""
    gl.manual_seed(1)
    values = np.sort(filled(function, **options).ravel()).astype("d")
    ranks = (np.arange(values.size) + 0.5) / values.size
    assert np.abs(ranks - below(values)).max() < 2.5 / math.sqrt(values.size)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_passes_channels_on(rank: int, groups: int) -> None:
    gl.manual_seed(0)
    layer = getattr(nn, f"Conv{rank}d")(4, 4, 3, padding=1, groups=groups, bias=False)
    init.dirac_(layer.weight, groups)
    x = np.random.default_rng(0).standard_normal((2, *(5,) * rank, 4)).astype("f")
    np.testing.assert_array_equal(layer(gl.tensor(x)).numpy(), x)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 1.0])
def test_sparse(sparsity: float) -> None:
    zeros = (filled(init.sparse_, (30, 7), sparsity=sparsity) == 0).sum(axis=0)
    assert zeros.tolist() == [math.ceil(sparsity * 30)] * 7


def test_errors() -> None:
    matrix, vector = gl.zeros((3, 4)), gl.zeros((3,))
    with pytest.raises(ValueError, match="a must be at most b, got a=2 and b=1"):
        init.uniform_(matrix, 2, 1)
    for function in (init.normal_, init.trunc_normal_):
        with pytest.raises(ValueError, match=r"std must .*, got -1"):
            function(matrix, std=-1)
    with pytest.raises(ValueError, match="mode is 'fan_in' or 'fan_out', got 'in'"):
        init.kaiming_normal_(matrix, mode="in")
    with pytest.raises(ValueError, match=r"dirac_ needs a filter of 3 to 5 axes, got shape \(3,"):
        init.dirac_(matrix)
    with pytest.raises(ValueError, match=r"groups must divide the outputs \(5 .*, got 2"):
        init.dirac_(gl.zeros((3, 4, 5)), 2)
    with pytest.raises(ValueError, match="sparsity must be from 0 to 1, got 2"):
        init.sparse_(matrix, 2)
    for function in (init.eye_, init.sparse_):
        with pytest.raises(ValueError, match=r"needs a matrix, got shape \(3,\)"):
            function(vector, *[0.5] * (function is init.sparse_))
    with pytest.raises(ValueError, match=r"param must be a number, .* got '0.1'"):
        init.calculate_gain("leaky_relu", "0.1")  # type: ignore[arg-type]


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
