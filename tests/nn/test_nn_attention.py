"""scaled_dot_product_attention against NumPy; its gradients; its errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from numpy.typing import NDArray

import glubina as gl
from glubina.graph import DTypeError, ShapeError
from glubina.nn import functional as F

Array = NDArray[Any]


def attention(q: Array, k: Array, v: Array, mask: Array | None = None, scale: float = 0) -> Array:
    """softmax(scale · Q Kᵀ + mask) V; zero where nothing is seen."""
    scores = q @ np.swapaxes(k, -1, -2) * (scale or q.shape[-1] ** -0.5)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    largest = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = e.sum(-1, keepdims=True)
    return np.asarray(e / np.where(total == 0, 1, total) @ v)


def arrays(*shapes: tuple[int, ...]) -> list[Array]:
    random = np.random.default_rng(0)
    return [random.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize(
    "shapes",
    [
        ((6, 4), (9, 4), (9, 3)),
        ((2, 6, 4), (2, 9, 4), (2, 9, 3)),
        ((2, 3, 6, 4), (2, 3, 9, 4), (2, 3, 9, 3)),
        ((2, 3, 6, 4), (1, 3, 9, 4), (3, 9, 3)),
        ((2, 2, 3, 6, 4), (2, 2, 3, 9, 4), (2, 2, 3, 9, 3)),
        ((2, 3, 1, 4), (2, 3, 9, 4), (2, 3, 9, 3)),
    ],
)
def test_values_and_gradients(shapes: tuple[tuple[int, ...], ...]) -> None:
    q, k, v = arrays(*shapes)
    t, s = q.shape[-2], k.shape[-2]
    random = np.random.default_rng(1)
    added, seen = random.standard_normal((t, s)), random.random((t, s)) < 0.6
    causal = np.tril(np.ones((t, s), bool))
    tensors = [gl.tensor(x) for x in (q, k, v)]
    for found, wanted in [
        (F.scaled_dot_product_attention(*tensors), attention(q, k, v)),
        (F.scaled_dot_product_attention(*tensors, scale=0.3), attention(q, k, v, None, 0.3)),
        (F.scaled_dot_product_attention(*tensors, gl.tensor(seen)), attention(q, k, v, seen)),
        (F.scaled_dot_product_attention(*tensors, gl.tensor(added)), attention(q, k, v, added)),
        (F.scaled_dot_product_attention(*tensors, is_causal=True), attention(q, k, v, causal)),
    ]:
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-11, atol=1e-12)

    def loss(a: Any, b: Any, c: Any, mask: Any) -> Any:
        return (F.scaled_dot_product_attention(a, b, c, mask) ** 2).sum()

    check_gradients(loss, q, k, v, added)


def test_dropout_keeps_its_draw_in_the_backward_pass() -> None:
    (q, k, v) = arrays((2, 8, 4), (2, 70, 4), (2, 70, 3))
    gl.manual_seed(3)
    ones = gl.tensor(np.ones((2, 70, 1)))
    total = F.scaled_dot_product_attention(gl.tensor(q), gl.tensor(k), ones, dropout_p=0.4).numpy()
    assert (total != 1).all()
    assert abs(total.mean() - 1) < 0.1

    def loss(a: Any, b: Any, c: Any) -> Any:
        gl.manual_seed(5)
        return (F.scaled_dot_product_attention(a, b, c, dropout_p=0.4) ** 2).sum()

    check_gradients(loss, q, k, v)
    dropped = F.scaled_dot_product_attention(gl.tensor(q), gl.tensor(k), ones, dropout_p=1.0)
    assert (dropped.numpy() == 0).all()


def test_a_query_that_sees_no_key() -> None:
    q, k, v = (gl.tensor(x, requires_grad=True) for x in arrays((5, 4), (6, 4), (6, 3)))
    mask = np.ones((5, 6), bool)
    mask[2] = False
    result = F.scaled_dot_product_attention(q, k, v, gl.tensor(mask))
    result.sum().backward()
    assert (result.numpy()[2] == 0).all()
    assert q.grad is not None
    assert (q.grad.numpy()[2] == 0).all()
    assert np.isfinite(q.grad.numpy()).all()


def test_compiled_and_float32() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 65, 8)).astype(np.float32)

    @gl.compile
    def run(t: gl.Tensor) -> gl.Tensor:
        return F.scaled_dot_product_attention(t, t, t, is_causal=True)

    found = run(gl.tensor(x)).numpy()
    wanted = attention(x, x, x, np.tril(np.ones((65, 65), bool)))
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


def test_errors() -> None:
    q, k = gl.ones((2, 5, 4)), gl.ones((2, 6, 4))
    with pytest.raises(ShapeError, match=r"query \(2, 5, 4\), key \(2, 6, 4\) and value \(2, 5"):
        F.scaled_dot_product_attention(q, k, q)
    with pytest.raises(ShapeError, match=r"needs \(\.\.\., length, features\), got \(4,\)"):
        F.scaled_dot_product_attention(gl.ones(4), k, k)
    with pytest.raises(DTypeError, match="need one dtype, got float32, float64, float64"):
        F.scaled_dot_product_attention(q, k.astype(gl.float64), k.astype(gl.float64))
    with pytest.raises(ValueError, match="attn_mask and is_causal exclude each other"):
        F.scaled_dot_product_attention(q, k, k, gl.ones((5, 6)), is_causal=True)
    with pytest.raises(ShapeError, match=r"attn_mask \(6, 5\) does not broadcast to the weights"):
        F.scaled_dot_product_attention(q, k, k, gl.ones((6, 5)))
    with pytest.raises(DTypeError, match="attn_mask is a tensor of bool or float32, got int64"):
        F.scaled_dot_product_attention(q, k, k, gl.ones((5, 6)).astype(gl.int64))
    with pytest.raises(ValueError, match="dropout_p must be between 0 and 1, got 2"):
        F.scaled_dot_product_attention(q, k, k, dropout_p=2)
