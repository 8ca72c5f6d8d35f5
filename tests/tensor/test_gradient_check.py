"""`gl.check_gradients`: finds wrong backward passes, and says where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.tensor.errors import DTypeError, GradientError

RANDOM = np.random.default_rng(2)
X = RANDOM.standard_normal((4, 3)).astype(np.float32)


class Dense(nn.Manual):
    """A linear layer with a mistake of choice."""

    def __init__(self, mistake: str = "", arrays: bool = False) -> None:
        self.w = nn.Parameter(RANDOM.standard_normal((3, 2)))
        self.b = nn.Parameter(np.zeros(2, np.float32))
        self.mistake, self.arrays = mistake, arrays

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.asarray(x @ self.w + self.b) if self.arrays else x @ self.w + self.b

    def backward(self, grad: Any) -> Any:
        scale = {"sign": -1.0, "factor": 0.5}.get(self.mistake, 1.0)
        self.w.grad += scale * (self.x.T @ grad)
        if self.mistake != "bias":
            self.b.grad += grad.sum(axis=0)
        if self.mistake == "entry":
            self.w.grad[1, 0] = 3.0
        return None if self.mistake == "input" else grad @ self.w.T


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize(
    ("mistake", "texts"),
    [
        ("", ["Dense: the gradients are right", "  x (4x3): 12 entries compared, all right"]),
        ("sign", ["Dense: 6 of 20 entries wrong", "w (3x2)", "6 wrong: the sign is the opposite"]),
        ("factor", ["each is 0.5 times what it should be"]),
        ("bias", ["b (2): 2 entries compared, 2 wrong: all that arrives is 0", "b[1]: backward"]),
        ("entry", ["1 wrong\n    w[1, 0]: backward gave 3, it should be"]),
        ("input", ["x (4x3): 12 entries compared, 12 wrong: "]),
    ],
)
def test_a_students_mistakes(mistake: str, texts: list[str], arrays: bool) -> None:
    layer = Dense(mistake, arrays)
    report = gl.check_gradients(layer, X)
    assert report.ok is bool(report) is (not mistake)
    for text in texts:
        assert text in str(report)
    assert layer.w.dtype == np.float64
    assert layer.b.dtype == np.float32
    assert layer.w.grad is None


def test_expected_values_are_right() -> None:
    layer = Dense("sign")
    report = gl.check_gradients(layer, X)
    (w,) = [t for t in report.tensors if t.name == "w"]
    for entry in w.wrong:
        assert entry.given == pytest.approx(-entry.expected, rel=1e-6)


def test_raises_only_if_asked() -> None:
    with pytest.raises(GradientError, match=r"w\[\d, \d\]: backward gave"):
        gl.check_gradients(Dense("sign"), X, raise_error=True)
    gl.check_gradients(Dense(), X, raise_error=True)


class Cube(gl.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        ctx.save_for_backward(x)
        return factor * x**3

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return 3 * ctx.saved_tensors[0] ** 2 * gradient, None


def test_functions() -> None:
    assert gl.check_gradients(Cube, X, 1.0)
    report = gl.check_gradients(Cube, X, 2.0)
    assert "Cube: 12 of 12 entries wrong" in str(report)
    assert "x (4x3): 12 entries compared, 12 wrong: each is 0.5 times" in str(report)
    assert gl.check_gradients(lambda a, b: (a * b, a + b), X, X)


def test_layers_of_the_library() -> None:
    gl.manual_seed(4)
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.4))
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    state = gl.default_generator.get_state()
    assert gl.check_gradients(model, X, samples=10)
    assert gl.default_generator.get_state() == state
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
        assert value.dtype == before[name].dtype
    labels = RANDOM.integers(0, 3, 4)
    assert gl.check_gradients(nn.CrossEntropyLoss(), X, labels)


def test_at_a_kink_both_slopes_are_right() -> None:
    report = gl.check_gradients(nn.ReLU(), np.array([0.0, 1.0]))
    assert report
    assert "1 at a kink" in str(report)


def test_samples_and_missing_gradients() -> None:
    report = gl.check_gradients(gl.tanh, RANDOM.standard_normal((30, 30)), samples=7)
    assert report.tensors[0].checked == 7
    with pytest.raises(GradientError, match="gives no gradient"):
        gl.check_gradients(lambda x: x.detach(), X)
    with pytest.raises(DTypeError, match="gives no floating tensor"):
        gl.check_gradients(gl.argmax, X)
    cut = gl.check_gradients(lambda a, b: a * b.detach(), X, X)
    assert "b (4x3): 12 entries compared, 12 wrong: no gradient arrives" in str(cut)
