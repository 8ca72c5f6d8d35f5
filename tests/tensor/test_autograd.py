"""Derivatives as users ask for them: backward(), grad, and the errors on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.tensor.errors import GradientError

rng = np.random.default_rng(1)


def central(function: Callable[[Any], Any], x: Any, step: float = 1e-6) -> Any:
    """The gradient of a scalar function by central differences (float64)."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += step
        behind[place] -= step
        up, down = function(gl.tensor(ahead)).item(), function(gl.tensor(behind)).item()
        result[place] = (up - down) / (2 * step)
    return result


FUNCTIONS: list[Callable[[Any], Any]] = [
    lambda x: (x.exp() * x.sin()).sum(),
    lambda x: (x.tanh() / (1 + x**2)).mean(),
    lambda x: gl.logsumexp(x, -1).sum(),
    lambda x: (gl.softmax(x) * gl.arange(4.0, dtype="float64")).sum(),
    lambda x: gl.log_softmax(x)[:, 1].sum(),
    lambda x: (x @ x.T).sigmoid().sum(),
    lambda x: x.var(0, correction=1).sum() + x.std(),
    lambda x: gl.einsum("ij,kj->ik", x, x.square()).sum(),
    lambda x: gl.cumulative_sum(x, 1).square().sum(),
    lambda x: (x[::2, ::-1] * x[0, 1]).sum(),
    lambda x: x[gl.tensor([0, 0, 2])].square().sum(),
    lambda x: gl.take_along_axis(x, gl.tensor([[0, 3], [1, 1], [2, 0]])).square().sum(),
    lambda x: gl.where(x > 0, x.square(), x).sum(),
    lambda x: gl.concat([x, x.flip(0)], 1).prod(1).sum(),
    lambda x: gl.stack([x, x * 2], 1).max(1).square().sum(),
    lambda x: (abs(x) + 1).log().sum() + (x + 5).sqrt().sum() + (x + 5).pow(1.3).sum(),
    lambda x: gl.roll(x, 1, 0).reshape(4, 3).permute(1, 0).mul(x).sum(),
    lambda x: gl.tile(x, (2, 2)).erf().sum() + gl.repeat(x, 2, 0).expm1().sum(),
    lambda x: gl.clip(x, -0.5, 0.5).square().sum() + gl.min(x, 1).square().sum(),
    lambda x: gl.tril(x[:, :3]).square().sum() + gl.pad(x, [(1, 1), (0, 2)]).square().log1p().sum(),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_gradients_against_central_differences(number: int) -> None:
    function = FUNCTIONS[number]
    start = rng.normal(size=(3, 4))
    x = gl.tensor(start, requires_grad=True)
    function(x).backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), central(function, start), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gl.grad(function)(gl.tensor(start)).numpy(), x.grad.numpy(), 1e-9)


@pytest.mark.parametrize("number", [0, 1, 3, 5, 9, 10])
def test_second_derivatives(number: int) -> None:
    function, direction = FUNCTIONS[number], rng.normal(size=(3, 4))

    def slope(x: Any) -> Any:
        return (gl.grad(function)(x) * gl.tensor(direction)).sum()

    start = rng.normal(size=(3, 4))
    found = gl.grad(slope)(gl.tensor(start)).numpy()
    np.testing.assert_allclose(found, central(slope, start), rtol=1e-4, atol=1e-6)


def test_the_example_of_the_course() -> None:
    w1, w2 = gl.tensor(2.0, requires_grad=True), gl.tensor(3.0, requires_grad=True)
    q = w1**2 * w2**2
    q.backward()
    assert w1.grad.item() == 36.0
    assert w2.grad.item() == 24.0


def test_gradients_add_up_until_they_are_cleared() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 12])
    x.grad = None
    (3 * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    assert not x.grad.requires_grad


def test_backward_of_more_than_a_scalar_takes_its_gradient() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    (x * x).backward(gl.tensor([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [2, 40])
    with pytest.raises(GradientError, match=r"shape \(2,\).*sum\(\) or mean\(\)"):
        (x * x).backward()
    with pytest.raises(gl.errors.ShapeError, match=r"gradient.*\(3,\).*\(2,\)"):
        (x * x).backward(gl.ones(3))


def test_errors_of_backward() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GradientError, match="does not require gradients"):
        gl.ones(2).sum().backward()
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(gl.errors.DTypeError, match="int64"):
        gl.tensor([1, 2], requires_grad=True)


def test_a_part_that_was_gone_through_and_read_is_an_error() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    middle = x * x
    middle.sum().backward()
    assert middle.tolist() == [1, 4]
    with pytest.raises(GradientError, match="earlier backward"):
        (middle * 2).sum().backward()
    total = 0.0
    total += middle.sum()  # sums of losses may go on
    assert total.item() == 5


def test_values_read_before_backward_change_nothing() -> None:
    x = gl.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    y = x.tanh()
    first = y.numpy()
    loss = (y * y).sum()
    loss.item()
    loss.backward()
    expected = 2 * first * (1 - first**2)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_detach_data_and_no_grad_stop_derivatives() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    (x * x.detach()).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 2])
    x.grad = None
    with gl.no_grad():
        fixed = x * 3
        assert not gl.is_grad_enabled()
        with gl.enable_grad():
            assert (x * 2).requires_grad
    assert not fixed.requires_grad
    (x * fixed * x.data).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 12])

    @gl.no_grad()
    def evaluate() -> Any:
        return x * 2

    assert not evaluate().requires_grad
    assert (x * 2).requires_grad


def test_derivatives_by_a_result_made_a_leaf() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    leaf = y.detach().requires_grad_()
    (leaf * leaf).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), [4, 8])
    assert x.grad is None
    assert leaf.is_leaf
    assert not y.is_leaf


def test_equal_initial_values_are_different_leaves() -> None:
    a = gl.zeros(3, requires_grad=True)
    b = gl.zeros(3, requires_grad=True)
    (a * 2 + b * 5).sum().backward()
    np.testing.assert_array_equal(a.grad.numpy(), [2, 2, 2])
    np.testing.assert_array_equal(b.grad.numpy(), [5, 5, 5])


def test_second_backward_through_a_gradient() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    slope = x.grad
    assert slope.requires_grad
    x.grad = None
    slope.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [6, 12])


def test_freezing() -> None:
    x, y = gl.ones(2, requires_grad=True), gl.ones(2, requires_grad=True)
    x.requires_grad_(False)
    (x * y).sum().backward()
    assert x.grad is None
    np.testing.assert_array_equal(y.grad.numpy(), [1, 1])
    x.requires_grad = True
    (x * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])
    with pytest.raises(GradientError, match="detach"):
        (x * 2).requires_grad_(False)


def test_grad_nests_and_closures_stay_outside() -> None:
    cube = gl.grad(gl.grad(lambda x: x**3))
    assert cube(gl.tensor(2.0)).item() == 12
    x = gl.tensor(3.0)
    assert gl.grad(lambda a: a * x)(x).item() == 3  # not 6: the x of the closure is fixed
    inner = gl.grad(lambda a: a * gl.grad(lambda b: a * b * b)(a))
    assert inner(gl.tensor(3.0)).item() == 3 * 2 * 9.0  # d/da of a (2 a a)


def test_value_and_grad_of_structures() -> None:
    def loss(params: Any, x: Any) -> Any:
        return ((x * params["w"] + params["b"][0]) ** 2).sum(), "more"

    params = {"w": gl.tensor([2.0, 3.0]), "b": [gl.tensor(1.0)]}
    (value, more), grads = gl.value_and_grad(loss, has_aux=True)(params, gl.tensor([1.0, 2.0]))
    assert (value.item(), more) == (9 + 49, "more")
    np.testing.assert_array_equal(grads["w"].numpy(), [6, 28])
    assert grads["b"][0].item() == 20
    both = gl.grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(gl.ones(2), gl.full(2, 3.0))
    assert [g.tolist() for g in both] == [[3, 3], [1, 1]]
    with pytest.raises(gl.errors.ShapeError, match=r"scalar.*\(2,\)"):
        gl.grad(lambda x: x)(gl.ones(2))
    with pytest.raises(gl.errors.DTypeError, match="floating"):
        gl.grad(lambda x: x)(gl.tensor(1))
