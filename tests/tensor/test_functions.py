"""Every function of tensors against NumPy's of the same meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl

rng = np.random.default_rng(5)
A = rng.normal(size=(3, 4)).astype(np.float32)
B = rng.normal(size=(4,)).astype(np.float32)
C = rng.normal(size=(2, 3, 4)).astype(np.float32)
K = rng.integers(-5, 6, size=(3, 4))
M = A > 0


def same(found: Any, expected: Any, tolerance: float = 2e-6) -> None:
    """The tensor has the array's shape, dtype and numbers."""
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=tolerance, atol=tolerance)


UNARY = [
    *("exp expm1 sin cos tan tanh sinh cosh absolute negative sign floor ceil trunc".split()),
    *("square isnan isinf isfinite positive".split()),
]


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name: str) -> None:
    same(getattr(gl, name)(gl.tensor(A)), getattr(np, name)(A))


@pytest.mark.parametrize("name", ["log", "log1p", "log2", "log10", "sqrt", "reciprocal"])
def test_functions_of_positive_numbers(name: str) -> None:
    same(getattr(gl, name)(gl.tensor(np.abs(A))), getattr(np, name)(np.abs(A)))


def test_functions_that_numpy_lacks() -> None:
    x = gl.tensor(A)
    same(gl.relu(x), np.maximum(A, 0))
    same(gl.sigmoid(x), 1 / (1 + np.exp(-A)))
    same(gl.rsqrt(gl.tensor(np.abs(A))), 1 / np.sqrt(np.abs(A)))
    same(gl.softplus(x), np.log1p(np.exp(A)))
    same(gl.round(x * 2), np.rint(A * 2))
    erf = [0.5204998778130465, 0.8427007929497149]
    same(gl.erf(gl.tensor([0.5, 1.0])), np.array(erf, np.float32))


BINARY = [
    *("add subtract multiply divide maximum minimum remainder floor_divide".split()),
    *("equal not_equal less less_equal greater greater_equal logaddexp".split()),
]


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_broadcast(name: str) -> None:
    function, expected = getattr(gl, name), getattr(np, name)
    same(function(gl.tensor(C), gl.tensor(B)), expected(C, B))
    same(function(gl.tensor(A), 2.5), expected(A, np.float32(2.5)))
    same(function(1, gl.tensor(A)), expected(np.float32(1), A))


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic(name: str) -> None:
    same(getattr(gl, name)(gl.tensor(M), gl.tensor(K)), getattr(np, name)(M, K))


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits(name: str) -> None:
    same(getattr(gl, name)(gl.tensor(K), 6), getattr(np, name)(K, 6))
    same(getattr(gl, name)(gl.tensor(M), gl.tensor(~M)), getattr(np, name)(M, ~M))


def test_operators() -> None:
    x, y = gl.tensor(A), gl.tensor(B)
    same(x + y, A + B)
    same(1 - x, 1 - A)
    same(2 / (x + 10), 2 / (A + 10))
    same(-x, -A)
    same(abs(x), abs(A))
    same(x**2, A**2)
    same(x**3, A**3)
    same((x + 9) ** -1, 1 / (A + 9))
    same((x + 9) ** 0.5, np.sqrt(A + 9))
    same((x + 9) ** 1.7, (A + 9) ** np.float32(1.7), 1e-5)
    same(2.0**x, np.float32(2) ** A, 1e-5)
    same(gl.tensor(K) // 2, K // 2)
    same(7 % (gl.tensor(K) + 20), 7 % (K + 20))
    same(~gl.tensor(M), ~M)
    same(gl.tensor(K) << 2, K << 2)
    same((x > 0) & (x < 1), (A > 0) & (A < 1))
    same(x @ x.T, A @ A.T)
    same(A + x, A + A)  # NumPy leaves the operator to the tensor
    same(np.float64(2) * x, 2 * A)


REDUCTIONS = ["sum", "mean", "max", "min", "prod", "var", "std", "all", "any", "count_nonzero"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions(name: str, axis: Any, keepdims: bool) -> None:
    found = getattr(gl, name)(gl.tensor(C), axis, keepdims=keepdims)
    expected = getattr(np, name)(C, axis=axis, keepdims=keepdims)
    same(found, np.asarray(expected), 1e-5)


def test_reductions_of_other_dtypes() -> None:
    same(gl.sum(gl.tensor(M)), M.sum())
    same(gl.sum(gl.tensor(K.astype(np.int8)), 0), K.sum(0))
    same(gl.mean(gl.tensor(K)), K.mean(dtype=np.float32))
    same(gl.max(gl.tensor(M), 1), M.max(1))
    same(gl.min(gl.tensor(K), 1), K.min(1))
    same(gl.std(gl.tensor(A), 0, correction=1), A.std(0, ddof=1))
    same(gl.sum(gl.tensor(A), dtype=gl.float64), A.sum(dtype=np.float64))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_places_of_extremes(axis: int | None) -> None:
    same(gl.argmax(gl.tensor(A), axis), A.argmax(axis))
    same(gl.argmin(gl.tensor(K), axis), K.argmin(axis))
    same(gl.argmax(gl.tensor(A), axis, keepdims=True), A.argmax(axis, keepdims=True))


def test_softmax_and_its_kin() -> None:
    x = gl.tensor(C) * 50
    grown = np.exp(C.astype(np.float64) * 50 - (C * 50).max(-1, keepdims=True))
    expected = grown / grown.sum(-1, keepdims=True)
    same(gl.softmax(x), expected.astype(np.float32), 1e-5)
    same(gl.log_softmax(gl.tensor(C), 1).exp(), gl.softmax(gl.tensor(C), 1).numpy(), 1e-6)
    same(gl.logsumexp(gl.tensor(C), (0, 2)), np.log(np.exp(C).sum((0, 2))), 1e-6)
    assert gl.logsumexp(gl.tensor([-np.inf, -np.inf])).item() == -np.inf
    same(gl.cumulative_sum(gl.tensor(C), 1), C.cumsum(1), 1e-5)


def test_products() -> None:
    a, b = rng.normal(size=(2, 1, 3, 4)), rng.normal(size=(5, 4, 6))
    same(gl.matmul(gl.tensor(a), gl.tensor(b)), a @ b)
    same(gl.matmul(gl.tensor(C), gl.tensor(B)), C @ B, 1e-5)
    same(gl.matmul(gl.tensor(B), gl.tensor(A.T)), B @ A.T, 1e-5)
    same(gl.matmul(gl.tensor(B), gl.tensor(B)), B @ B, 1e-5)
    same(gl.matmul(gl.tensor(C), gl.tensor(A.T)), C @ A.T, 1e-5)
    same(gl.matmul(gl.tensor(K), gl.tensor(K.T)), K @ K.T)
    same(gl.outer(gl.tensor(B), gl.tensor(B)), np.outer(B, B))
    same(gl.vecdot(gl.tensor(C), gl.tensor(B)), (C * B).sum(-1), 1e-5)
    same(gl.tensordot(gl.tensor(C), gl.tensor(A), 2), np.tensordot(C, A, 2), 1e-5)
    axes = ([2, 1], [1, 0])
    same(gl.tensordot(gl.tensor(C), gl.tensor(A), axes), np.tensordot(C, A, axes), 1e-5)


EINSUMS = [
    "ij,kj->ik",
    "ij,ij->",
    "ij->ji",
    "ij->j",
    "ij,kj",
    "ij,j->i",
    "ij,ij->ij",
    "ij,kl->ilkj",
]


@pytest.mark.parametrize("rule", EINSUMS)
def test_einsum(rule: str) -> None:
    inputs = rule.split("->")[0].split(",")
    arrays = [B if len(i) == 1 else A for i in inputs]
    same(gl.einsum(rule, *map(gl.tensor, arrays)), np.einsum(rule, *arrays), 1e-5)


def test_einsum_of_batches_and_three() -> None:
    q, k = rng.normal(size=(2, 5, 3, 4)), rng.normal(size=(2, 6, 3, 4))
    rule = "bqhd,bkhd->bhqk"
    same(gl.einsum(rule, gl.tensor(q), gl.tensor(k)), np.einsum(rule, q, k), 1e-5)
    x = gl.tensor(A)
    same(gl.einsum("ij,kj,k->i", x, x, x[:, 0]), np.einsum("ij,kj,k->i", A, A, A[:, 0]), 1e-5)
    same(gl.einsum("...ij->...ji", gl.tensor(C)), np.swapaxes(C, 1, 2))
    same(gl.einsum("ii->i", gl.tensor(A[:, :3])), np.diagonal(A[:, :3]))
    with pytest.raises(gl.errors.ShapeError, match=r"einsum.*j.*4 and 3"):
        gl.einsum("ij,jk->ik", x, x)


MOVES: list[tuple[Callable[[Any, Any], Any], str]] = [
    (lambda m, x: m.reshape(x, (4, 6)), "reshape"),
    (lambda m, x: m.reshape(x, (-1,)), "reshape"),
    (lambda m, x: m.moveaxis(x, 0, -1), "moveaxis"),
    (lambda m, x: m.moveaxis(x, (0, 1), (2, 0)), "moveaxis"),
    (lambda m, x: m.swapaxes(x, 0, 2), "swapaxes"),
    (lambda m, x: m.transpose(x), "transpose"),
    (lambda m, x: m.transpose(x, (1, 2, 0)), "transpose"),
    (lambda m, x: m.expand_dims(x, (0, -1)), "expand_dims"),
    (lambda m, x: m.broadcast_to(x, (5, 2, 3, 4)), "broadcast_to"),
    (lambda m, x: m.flip(x), "flip"),
    (lambda m, x: m.flip(x, (0, 2)), "flip"),
    (lambda m, x: m.roll(x, 5), "roll"),
    (lambda m, x: m.roll(x, (1, -2), (0, 2)), "roll"),
    (lambda m, x: m.tile(x, (2, 1, 3)), "tile"),
    (lambda m, x: m.tile(x, 2), "tile"),
    (lambda m, x: m.repeat(x, 2), "repeat"),
    (lambda m, x: m.repeat(x, 3, 1), "repeat"),
    (lambda m, x: m.tril(x, 1), "tril"),
    (lambda m, x: m.triu(x, -1), "triu"),
    (lambda m, x: m.stack([x, x + 1], 1), "stack"),
    (lambda m, x: m.stack([x, x + 1], -1), "stack"),
]


@pytest.mark.parametrize(("move", "name"), MOVES)
def test_moves(move: Callable[[Any, Any], Any], name: str) -> None:
    same(move(gl, gl.tensor(C)), move(np, C))


def test_moves_that_numpy_writes_otherwise() -> None:
    x = gl.tensor(C)
    same(gl.permute_dims(x, (2, 0, 1)), C.transpose(2, 0, 1))
    same(x.permute(2, 0, 1), C.transpose(2, 0, 1))
    same(x.mT, np.swapaxes(C, 1, 2))
    same(gl.tensor(A).T, A.T)
    same(gl.concat([x, x], 1), np.concatenate([C, C], 1))
    same(gl.concat([x, x], None), np.concatenate([C, C], None))
    same(gl.flatten(x, 1), C.reshape(2, 12))
    same(gl.squeeze(x[:, :1], 1), C[:, 0])
    same(gl.pad(x, [(0, 1), (2, 0), (1, 1)]), np.pad(C, [(0, 1), (2, 0), (1, 1)]))
    wide = np.pad(A, 1, constant_values=2.5)
    same(gl.pad(gl.tensor(A), [(1, 1), (1, 1)], 2.5), wide)
    for part, expected in zip(gl.split(x, 3, 2), (C[..., :3], C[..., 3:]), strict=True):
        same(part, expected)
    for part, expected in zip(gl.unstack(x, 1), np.moveaxis(C, 1, 0), strict=True):
        same(part, expected)
    rows = gl.broadcast_arrays(gl.tensor(A), gl.tensor(B))
    same(rows[1], np.broadcast_to(B, A.shape))


def test_choice() -> None:
    x = gl.tensor(A)
    same(gl.where(x > 0, x, 0.0), np.where(A > 0, A, np.float32(0)))
    same(gl.where(gl.tensor(M), 1, gl.tensor(B)), np.where(M, np.float32(1), B))
    same(gl.where(gl.tensor(M), 1, 2), np.where(M, 1, 2))
    same(gl.clip(x, -0.5, 0.5), A.clip(-0.5, 0.5))
    same(x.clamp(min=0), A.clip(0))


def test_taking() -> None:
    x, order = gl.tensor(C), np.array([2, 0, -1])
    same(gl.take(x, gl.tensor(order), 1), C.take(order, 1))
    places = A.argsort(1)
    same(gl.take_along_axis(gl.tensor(A), gl.tensor(places), 1), np.sort(A, 1))
    same(gl.sort(x, 1), np.sort(C, 1))
    same(gl.sort(x, descending=True), -np.sort(-C))
    same(gl.argsort(gl.tensor(K), 0), K.argsort(0, kind="stable"))
    for found, expected in zip(gl.nonzero(gl.tensor(M)), np.nonzero(M), strict=True):
        same(found, expected)
    same(gl.masked_select(gl.tensor(A), gl.tensor(M)), A[M])
    same(gl.unique_values(gl.tensor(K)), np.unique(K))
    added = A.copy()
    np.add.at(added, [0, 0], C[:, 0])
    same(gl.index_add(gl.tensor(A), gl.tensor([0, 0]), gl.tensor(C[:, 0])), added)
