"""`gl.Function`: derivatives written by hand, in ordinary loops and in compiled programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.tensor.errors import DTypeError, GradientError, ShapeError

RANDOM = np.random.default_rng(5)
A, B = RANDOM.standard_normal((3, 4)), RANDOM.standard_normal((3, 4))


class Cube(gl.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Exp(gl.Function):
    """Saves its result, through which second derivatives go."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = gl.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient * ctx.saved_tensors[0]


class SumAndProduct(gl.Function):
    """Two results, and an argument that is no tensor."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, factor: float) -> Any:
        ctx.save_for_backward(a, b)
        ctx.factor = factor
        return a + b, factor * a * b

    @staticmethod
    def backward(ctx: Any, of_sum: Any, of_product: Any) -> Any:
        a, b = ctx.saved_tensors
        scaled = ctx.factor * of_product
        return of_sum + scaled * b, of_sum + scaled * a, None


class Doubled(gl.Function):
    """Its derivative is wrong on purpose, so that it is seen whose derivative is taken."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return 100 * gradient


def test_derivatives_to_second_order() -> None:
    check_gradients(lambda x: (Cube.apply(x) * gl.tensor(B)).sum(), A)
    check_gradients(lambda x: (Exp.apply(x) * gl.tensor(B)).sum(), A)
    check_gradients(lambda a, b: (Cube.apply(Exp.apply(a)) * Exp.apply(b * a)).sum(), A, B / 3)


def test_several_results() -> None:
    def value(a: Any, b: Any) -> Any:
        one, two = SumAndProduct.apply(a, b, 0.5)
        return (one**2).sum() + (two * one).sum()

    check_gradients(value, A, B)
    check_gradients(lambda a, b: (SumAndProduct.apply(a, b, 0.5)[1] ** 2).sum(), A, B)
    check_gradients(lambda a: (SumAndProduct.apply(a, a, 2.0)[1]).sum(), A)


def test_third_derivative() -> None:
    third = gl.grad(gl.grad(gl.grad(lambda x: Exp.apply(x) + Cube.apply(x))))
    assert third(gl.tensor(0.5)).item() == pytest.approx(np.exp(0.5) + 6, rel=1e-6)


def test_its_own_derivative_is_taken() -> None:
    x = gl.tensor(A, requires_grad=True)
    (Doubled.apply(Doubled.apply(x)) * 3).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.full(A.shape, 30000.0))


class Nested(gl.Function):
    """A function whose backward uses another one, and `gl.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return gl.exp(x**3).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        inner = gl.grad(lambda v: Cube.apply(v).sum())(x)
        return gradient * Exp.apply(Cube.apply(x)) * inner


def test_functions_in_a_backward() -> None:
    check_gradients(lambda x: Nested.apply(x) ** 2, A / 3)


def test_what_is_needed() -> None:
    seen = []

    class Seen(gl.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any, c: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            return a * b

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            seen.append("backward")
            return gradient, gradient, None

    a, b = gl.tensor(A, requires_grad=True), gl.tensor(B)
    y = Seen.apply(a, b, 3)
    assert seen == [(True, False, False), "backward"]
    assert y.requires_grad
    with gl.no_grad():
        assert not Seen.apply(a, b, 3).requires_grad
    assert not Seen.apply(b, b, 3).requires_grad
    assert seen[2:] == [(False, False, False)] * 2
    y.sum().backward()
    assert b.grad is None


def test_setup_context_and_results_without_derivative() -> None:
    class Largest(gl.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return gl.max(x, axis=-1), gl.argmax(x, axis=-1)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output[1])
            ctx.width = inputs[0].shape[-1]
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx: Any, gradient: Any, unused: Any) -> Any:
            places = gl.one_hot(ctx.saved_tensors[0], ctx.width).astype(gradient.dtype)
            return gradient[:, None] * places

    x = gl.tensor(A, requires_grad=True)
    value, place = Largest.apply(x)
    assert value.requires_grad
    assert not place.requires_grad
    value.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), A.max(-1, keepdims=True) == A)


class Scaled(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 6)
        self.outer = nn.Linear(6, 3)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.outer(self.function(self.inner(x)))


def _trained(function: Any, compiled: bool) -> Any:
    gl.manual_seed(3)
    random = np.random.default_rng(1)
    x, y = random.standard_normal((32, 8)), random.integers(0, 3, 32)
    model = Scaled(function)
    if compiled:
        model.compile(gl.optim.SGD(model.parameters(), lr=0.1), "cross_entropy")
        model.fit(x.astype(np.float32), y, epochs=3, batch_size=8, verbose=0, shuffle=False)
        return [p.numpy() for p in model.parameters()]
    rule = gl.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        for start in range(0, 32, 8):
            rule.zero_grad()
            out = model(gl.tensor(x[start : start + 8].astype(np.float32)))
            nn.functional.cross_entropy(out, gl.tensor(y[start : start + 8])).backward()
            rule.step()
    return [p.numpy() for p in model.parameters()]


def test_loop_and_fit_train_alike() -> None:
    plain = _trained(gl.exp, False)
    for compiled in (False, True):
        for one, other in zip(_trained(Exp.apply, compiled), plain, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


def test_a_loop_makes_one_structure() -> None:
    from glubina.tensor.programs import structures_seen

    w = gl.tensor(RANDOM.standard_normal((50, 50)), requires_grad=True)
    counts = []
    for _ in range(4):
        w.grad = None
        Cube.apply(Exp.apply(w / 10)).sum().backward()
        assert w.grad is not None
        w.grad.numpy()
        counts.append(structures_seen())
    assert counts[1] == counts[3]


def test_compiled_function() -> None:
    @gl.compile
    def slope(x: Any) -> Any:
        return gl.grad(lambda v: (Exp.apply(v) * Cube.apply(v)).sum())(x)

    expected = np.exp(A) * (A**3 + 3 * A**2)
    for _ in range(2):
        np.testing.assert_allclose(slope(gl.tensor(A)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("returns", "error", "text"),
    [
        (lambda g: (g, g), GradientError, "Bad.backward returned 2 gradients for the 1 argument"),
        (lambda g: g.sum(), ShapeError, r"argument 0 has the shape \(\), the argument \(3, 4\)"),
        (lambda g: g > 0, DTypeError, "argument 0 is bool, it must be floating"),
        (lambda g: g * g.numpy(), ValueError, "have no values"),
        (lambda g: g * gl.zeros((400, 400)).add(g.sum()).sum().item(), ValueError, "no values"),
    ],
)
def test_errors_of_a_backward(returns: Any, error: type[Exception], text: str) -> None:
    class Bad(gl.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return returns(gradient)

    with pytest.raises(error, match=text) as caught:
        Bad.apply(gl.tensor(A, requires_grad=True))
    assert caught.tb is not None  # what it holds disturbs nothing
    assert gl.compile(lambda x: x + 1)(gl.tensor(1.0)).item() == 2


def test_errors_of_a_forward() -> None:
    class Number(gl.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3.0

    with pytest.raises(TypeError, match=r"Number.forward returned float"):
        Number.apply(gl.tensor(A))
    with pytest.raises(TypeError, match=r"call Number.apply"):
        Number()
