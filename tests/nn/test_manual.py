"""`nn.Manual`: layers with a backward by hand, in tensors and in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn
from glubina.graph import GraphError, ShapeError

RANDOM = np.random.default_rng(8)


def _weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(np.random.default_rng(sum(shape)).standard_normal(shape).astype("f") / 3)


class Dense(nn.Manual):
    """Both tensors and arrays can do this; tensors are taken."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.w, self.b = _weights(inputs, outputs), _weights(outputs)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.b

    def backward(self, grad: Any) -> Any:
        self.w.grad += self.x.T @ grad
        self.b.grad += grad.sum(axis=0)
        return grad @ self.w.T


class ArrayDense(Dense):
    """The same, which says that it works on arrays."""

    numpy = True


class Squashed(nn.Manual):
    """NumPy's functions: arrays."""

    def __init__(self) -> None:
        self.scale = _weights(1)

    def forward(self, x: Any) -> Any:
        assert isinstance(x, np.ndarray)
        self.x, self.y = x, np.tanh(self.scale * x)
        return self.y

    def backward(self, grad: Any) -> Any:
        inner = grad * (1 - self.y**2)
        self.scale.grad += (inner * self.x).sum()
        return self.scale * inner


class TensorSquashed(Squashed):
    def forward(self, x: Any) -> Any:
        self.x, self.y = x, gl.tanh(self.scale * x)
        return self.y


def _network(dense: Any, squashed: Any) -> nn.Module:
    return nn.Sequential(dense(6, 5), squashed(), dense(5, 5), squashed(), nn.Linear(5, 3))


class _Tanh(nn.Module):
    """What `Squashed` is, by the library."""

    def __init__(self) -> None:
        self.scale = _weights(1)

    def forward(self, x: Any) -> Any:
        return gl.tanh(self.scale * x)


class _Affine(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        self.w, self.b = _weights(inputs, outputs), _weights(outputs)

    def forward(self, x: Any) -> Any:
        return x @ self.w + self.b


X = RANDOM.standard_normal((24, 6)).astype(np.float32)
Y = RANDOM.integers(0, 3, 24)


def _loop(model: nn.Module, step: Any) -> None:
    for _ in range(3):
        for start in range(0, 24, 8):
            step(gl.tensor(X[start : start + 8]), gl.tensor(Y[start : start + 8]))


def _trained(model: nn.Module, how: str) -> list[Any]:
    rule = gl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        rule.step()
        return loss

    if how == "fit":
        model.compile(rule, "cross_entropy")
        model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    elif how == "compile":
        _loop(model, gl.compile(step))
    else:
        _loop(model, step)
    return [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize("how", ["loop", "compile", "fit"])
@pytest.mark.parametrize("kinds", [(Dense, TensorSquashed), (ArrayDense, Squashed)])
def test_trains_as_the_library_does(how: str, kinds: Any) -> None:
    gl.manual_seed(0)
    expected = _trained(_network(_Affine, _Tanh), "loop")
    gl.manual_seed(0)
    found = _trained(_network(*kinds), how)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("how", ["loop", "fit"])
def test_large_arrays_run_between_native_parts(how: str) -> None:
    """Beyond what the interpreter takes."""
    gl.manual_seed(0)
    x = RANDOM.standard_normal((64, 300)).astype(np.float32)
    y = RANDOM.integers(0, 9, 64)

    def build(dense: Any, tanh: Any) -> Any:
        gl.manual_seed(1)
        return nn.Sequential(nn.Linear(300, 200), tanh(), nn.Dropout(0.0), dense(200, 9))

    values = []
    for kinds in ((_Affine, _Tanh), (ArrayDense, Squashed)):
        model = build(*kinds)
        if how == "fit":
            model.compile(gl.optim.Adam(model.parameters()), "cross_entropy", ["accuracy"])
            history = model.fit(x, y, batch_size=24, epochs=2, shuffle=False, verbose=0)
            values.append(np.array([history["loss"], history["accuracy"]]))
        else:
            loss = nn.functional.cross_entropy(model(gl.tensor(x)), gl.tensor(y))
            loss.backward()
            values.append([p.grad.numpy() for p in model.parameters()])
    for one, other in zip(*values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_second_derivatives_in_tensors() -> None:
    layer = TensorSquashed()
    layer.double()
    check_gradients(lambda x: (layer(x) ** 2).sum(), RANDOM.standard_normal((3, 4)))


def test_no_second_derivative_in_numpy() -> None:
    layer = Squashed()
    slope = gl.grad(lambda x: layer(x).sum())
    with pytest.raises(GraphError, match=r"Squashed.backward runs in NumPy"):
        gl.grad(lambda x: slope(x).sum())(gl.tensor(X)).numpy()
    assert gl.compile(lambda x: x + 1)(gl.tensor(1.0)).item() == 2  # nobody asks for it again


@pytest.mark.parametrize("kind", [Dense, ArrayDense])
def test_used_twice_in_one_network(kind: Any) -> None:
    layer, x = kind(4, 4), gl.tensor(RANDOM.standard_normal((5, 4)).astype("f"))
    reference = _Affine(4, 4)
    for module in (layer, reference):
        module(module(x)).sum().backward()
    for one, other in zip(layer.parameters(), reference.parameters(), strict=True):
        np.testing.assert_allclose(one.grad.numpy(), other.grad.numpy(), rtol=1e-5, atol=1e-5)


class Mixed(nn.Manual):
    """Two inputs and a number; two outputs."""

    numpy = True

    def forward(self, a: Any, b: Any, power: int) -> Any:
        self.a, self.b, self.power = a, b, power
        return a**power, a * b

    def backward(self, first: Any, second: Any) -> Any:
        slope = self.power * self.a ** (self.power - 1)
        return first * slope + second * self.b, second * self.a


class TensorMixed(Mixed):
    numpy = False


@pytest.mark.parametrize("kind", [Mixed, TensorMixed])
def test_several_inputs_and_outputs(kind: Any) -> None:
    layer = kind()

    def value(a: Any, b: Any) -> Any:
        one, two = layer(a, b, 3)
        return (one * two).sum()

    a, b = RANDOM.standard_normal((2, 3, 4))
    check_gradients(value, a, b, second=False)
    found = gl.compile(gl.grad(value, (0, 1)))(gl.tensor(a), gl.tensor(b))
    np.testing.assert_allclose(found[0].numpy(), 4 * a**3 * b, rtol=1e-10)


def test_numpy_runs_at_once_and_only_as_needed() -> None:
    calls = []

    class Noted(nn.Manual):
        numpy = True

        def forward(self, x: Any) -> Any:
            calls.append("forward")
            return 2 * x

        def backward(self, grad: Any) -> Any:
            calls.append("backward")
            return 2 * grad

    x = gl.tensor([1.0, 2.0], requires_grad=True)
    y = Noted()(x)
    assert calls == ["forward"]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 2]
    assert calls == ["forward", "backward"]
    with gl.no_grad():
        Noted()(x)
    assert calls[2:] == ["forward"]


class Wrong(nn.Manual):
    def __init__(self, returns: Any = None) -> None:
        self.w, self.returns = _weights(4, 3), returns

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w

    def backward(self, grad: Any) -> Any:
        return self.returns(self, grad)


class ArrayWrong(Wrong):
    numpy = True


def _turned(layer: Any, grad: Any) -> Any:
    layer.w.grad = grad.T @ layer.x
    return grad @ layer.w.T


@pytest.mark.parametrize("kind", [Wrong, ArrayWrong])
@pytest.mark.parametrize(
    ("returns", "error", "text"),
    [
        (_turned, ShapeError, r"backward: w.grad has the shape \(3, 4\), w itself \(4, 3\)"),
        (lambda s, g: g, ShapeError, r"\(5, 3\), the (input|argument) \(5, 4\)"),
        (lambda s, g: (g, g), RuntimeError, "2 gradients for the 1 arguments of forward"),
    ],
)
def test_errors(kind: Any, returns: Any, error: Any, text: str) -> None:
    x = gl.tensor(RANDOM.standard_normal((5, 4)).astype("f"), requires_grad=True)
    layer = kind(returns)

    def run() -> None:
        layer(x).sum().backward()
        layer.w.grad.numpy()

    with pytest.raises(error, match=text):
        run()


def test_layer_in_the_error_text() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Dense(3, 2))
    with pytest.raises(ShapeError, match=r"layer '1' \(Dense\(\)\)"):
        model(gl.tensor(RANDOM.standard_normal((5, 4)).astype("f")))
    with pytest.raises(TypeError, match=r"Half needs a method backward\(grad\)"):
        type("Half", (nn.Manual,), {"forward": lambda self, x: x})()(gl.tensor([1.0]))


def test_saving_and_summary() -> None:
    gl.manual_seed(3)
    model, other = (_network(Dense, Squashed) for _ in range(2))
    other.load_state_dict(model.state_dict())
    x = gl.tensor(X)
    np.testing.assert_array_equal(model(x).numpy(), other(x).numpy())
    assert sorted(dict(model.named_parameters())) == sorted(model.state_dict())
    assert "Squashed" in str(nn.summary(model, (6,)))
