"""Tensors of the face: values against NumPy, PyTorch's meaning of arguments, error texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina as gl
import glubina.torch as torch
from glubina.graph import ops

X = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.0]], np.float32)
ONE: dict[str, tuple[Any, Any]] = {
    "std": (lambda x: x.std(), lambda a: a.std(ddof=1)),
    "std of an axis": (lambda x: x.std(1), lambda a: a.std(1, ddof=1)),
    "variance without correction": (lambda x: x.var(0, unbiased=False), lambda a: a.var(0)),
    "correction": (lambda x: torch.var(x, dim=1, correction=0), lambda a: a.var(1)),
    "sum keeping": (lambda x: x.sum(0, True), lambda a: a.sum(0, keepdims=True)),
    "mean of two axes": (lambda x: x.mean(dim=(0, 1)), lambda a: a.mean()),
    "transpose": (lambda x: x.transpose(0, 1), lambda a: a.T),
    "view": (lambda x: x.view(3, -1), lambda a: a.reshape(3, -1)),
    "permute": (lambda x: x[None].permute(2, 0, 1), lambda a: a[None].transpose(2, 0, 1)),
    "repeat": (lambda x: x.repeat(2, 3), lambda a: np.tile(a, (2, 3))),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, dim=1), lambda a: a.repeat(2, 1)),
    "expand": (lambda x: x[:, None].expand(-1, 4, -1), lambda a: np.stack([a] * 4, 1)),
    "cat": (lambda x: torch.cat([x, x], dim=1), lambda a: np.concatenate([a, a], 1)),
    "stack": (lambda x: torch.stack([x, x], dim=2), lambda a: np.stack([a, a], 2)),
    "norm": (lambda x: x.norm(p=3, dim=1), lambda a: (abs(a) ** 3).sum(1) ** (1 / 3)),
    "clamp": (lambda x: x.clamp(0, 2), lambda a: a.clip(0, 2)),
    "masked_fill": (lambda x: x.masked_fill(x > 1, 9), lambda a: np.where(a > 1, 9, a)),
    "add with alpha": (lambda x: torch.add(x, x, alpha=2), lambda a: 3 * a),
    "cumsum": (lambda x: x.cumsum(dim=1), lambda a: a.cumsum(1)),
    "cumprod": (lambda x: x.cumprod(1), lambda a: a.cumprod(1)),
    "flip": (lambda x: torch.flip(x, [1]), lambda a: a[:, ::-1]),
    "diag": (lambda x: torch.diag(x[0], 1), lambda a: np.diag(a[0], 1)),
    "softmax": (
        lambda x: torch.softmax(x, dim=0),
        lambda a: np.exp(a) / np.exp(a).sum(0),
    ),
    "einsum": (lambda x: torch.einsum("ij,kj->ik", x, x), lambda a: a @ a.T),
    "addmm": (lambda x: torch.addmm(x[:, :2], x, x.t(), beta=2), lambda a: 2 * a[:, :2] + a @ a.T),
    "quantile": (lambda x: x.quantile(0.3), lambda a: np.quantile(a, 0.3)),
    "cdist": (
        lambda x: torch.cdist(x, x + 1),
        lambda a: np.sqrt(((a[:, None] - a[None] - 1) ** 2).sum(-1)),
    ),
}


@pytest.mark.parametrize("name", ONE)
def test_functions_agree_with_numpy(name: str) -> None:
    ours, theirs = ONE[name]
    found = ours(torch.tensor(X))
    assert type(found) is torch.Tensor
    np.testing.assert_allclose(found.numpy(), theirs(X), rtol=1e-5, atol=1e-6)


def test_extremes_with_dim_are_pairs() -> None:
    x = torch.tensor(X, requires_grad=True)
    values, indices = x.max(dim=1)
    assert values.tolist() == [3.0, 4.0]
    assert indices.tolist() == [0, 1]
    found = torch.topk(x, 2, dim=0)
    assert found.values.shape == (2, 3)
    assert x.sort(1, descending=True)[1].tolist() == [[0, 2, 1], [1, 0, 2]]
    assert x.median(1).values.tolist() == [2.0, 0.5]
    assert torch.min(x, 0, keepdim=True).indices.tolist() == [[1, 0, 1]]
    assert torch.max(x).item() == 4.0
    values.sum().backward()
    assert x.grad.tolist() == [[1, 0, 0], [0, 1, 0]]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 1), st.data())
@settings(max_examples=20, deadline=None)
def test_gather_and_scatter(rows: int, columns: int, count: int, dim: int, data: Any) -> None:
    x = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    shape = (count, columns) if dim == 0 else (rows, count)
    index = np.array(
        data.draw(st.lists(st.integers(0, x.shape[dim] - 1), min_size=shape[0] * shape[1],
                           max_size=shape[0] * shape[1]))
    ).reshape(shape)  # fmt: skip
    found = torch.gather(torch.tensor(x), dim, torch.tensor(index))
    assert found.tolist() == np.take_along_axis(x, index, dim).tolist()
    source = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    added = np.zeros_like(x)
    for place in np.ndindex(*shape):
        to = (index[place], place[1]) if dim == 0 else (place[0], index[place])
        added[to] += source[place]
    ours = torch.zeros(rows, columns).scatter_add_(dim, torch.tensor(index), torch.tensor(source))
    np.testing.assert_allclose(ours.numpy(), added, rtol=1e-5, atol=1e-6)


def test_scatter_makes_one_hot_rows_and_has_a_gradient() -> None:
    labels = torch.tensor([2, 0])
    assert torch.zeros(2, 3).scatter_(1, labels.unsqueeze(1), 1).tolist() == [[0, 0, 1], [1, 0, 0]]
    values = torch.tensor([[5.0], [6.0]], requires_grad=True)
    torch.zeros(2, 3).scatter(1, labels.unsqueeze(1), values).sum().backward()
    assert values.grad.tolist() == [[1.0], [1.0]]


def test_sizes_types_and_constructors() -> None:
    x = torch.zeros(2, 3)
    assert x.size() == x.shape == torch.Size([2, 3])
    assert (x.size(-1), x.numel(), x.dim()) == (3, 6, 2)
    assert repr(x.shape) == "torch.Size([2, 3])"
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor([1, 2]).dtype == torch.float32
    assert torch.LongTensor([1, 2]).type() == "torch.LongTensor"
    assert isinstance(x, torch.FloatTensor)
    assert not isinstance(x, torch.LongTensor)
    assert x.type(torch.LongTensor).dtype == x.long().dtype == torch.int64
    assert x.to(torch.float64).dtype == x.double().dtype == torch.float64
    assert torch.tensor([1, 2]).dtype == torch.long
    assert torch.arange(0, 1, 0.5).dtype == torch.float32
    assert torch.full((2,), 7).dtype == torch.int64
    assert torch.zeros(2, requires_grad=True).requires_grad
    assert str(torch.device("cuda:0").type) == "cuda"
    assert x.device == torch.device("cpu")
    assert (torch.tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
    assert type(gl.zeros((2,)) + x[0, :2]) is not None  # both faces meet


def test_methods_in_place() -> None:
    x = torch.ones(2, 2)
    same = x.add_(1).mul_(3).sub_(torch.ones(2, 2), alpha=2).div_(2).clamp_(max=1.5)
    assert same is x
    assert x.tolist() == [[1.5, 1.5], [1.5, 1.5]]
    x[0] = 0
    x[:, 1] += 1
    assert x.tolist() == [[0.0, 1.0], [1.5, 2.5]]
    assert x.fill_(4).sqrt_().tolist() == [[2.0, 2.0], [2.0, 2.0]]
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(gl.errors.GradientError, match="add_: a leaf tensor that requires"):
        w.add_(1)
    w.data = torch.tensor([5.0, 6.0])
    assert w.tolist() == [5.0, 6.0]
    with pytest.raises(gl.errors.DTypeError, match="cannot be kept in a int64 tensor"):
        torch.tensor([1, 2]).add_(0.5)


def test_steps_have_the_derivative_zero() -> None:
    x = torch.tensor([0.5, -1.5], requires_grad=True)
    (torch.sign(x) + x.floor() + x.round()).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


def test_there_is_no_cuda_and_who_asks_is_told() -> None:
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    for ask in (
        lambda: torch.zeros(2).cuda(),
        lambda: torch.zeros(2).to("cuda:0"),
        lambda: torch.zeros(2, device="cuda"),
        lambda: torch.nn.Linear(2, 2).to(torch.device("cuda")),
    ):
        with pytest.raises(RuntimeError, match=r"there is no device 'cuda.*runs on the CPU"):
            ask()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: torch.zeros(2, 3).sum(dims=1), TypeError, "sum: 'dims' is unknown; it takes"),
        (lambda: torch.zeros(2, 3).size(5), IndexError, "size: 5 is not an axis"),
        (lambda: torch.tensor([1, 2]).mean(), TypeError, r"use x\.float\(\)\.mean\(\)"),
        (lambda: torch.topk(torch.zeros(3), 5), ValueError, "k must be from 0 to 3"),
        (lambda: torch.clamp(torch.zeros(2)), ValueError, "at least one of min and max"),
        (lambda: torch.mm(torch.zeros(2), torch.zeros(2)), gl.errors.ShapeError, "mm: needs matr"),
        (lambda: torch.exmp(torch.zeros(2)), AttributeError, "did you mean exp?"),
        (lambda: torch.float16, AttributeError, "float32 or float64 here"),
        (lambda: torch.set_default_dtype(torch.float64), RuntimeError, "give dtype="),
        (
            lambda: torch.gather(torch.zeros(2, 3), 1, torch.tensor([1])),
            gl.errors.ShapeError,
            "gather: index needs 2 axes",
        ),
        (
            lambda: torch.autograd.grad(torch.ones(2, requires_grad=True).sum(),
                                        torch.ones(2, requires_grad=True)),
            gl.errors.GradientError,
            "do not depend on input 0",
        ),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_diagonals_of_values_that_are_not_finite() -> None:
    found = torch.diag(torch.tensor([float("inf"), -2.0]), 1).numpy()
    np.testing.assert_array_equal(found, [[0, np.inf, 0], [0, 0, -2], [0, 0, 0]])
    assert not np.signbit(found[2]).any()
    assert torch.diag(torch.tensor([1, 2])).tolist() == [[1, 0], [0, 2]]
    assert torch.diag_embed(torch.tensor([[True], [False]]), -1).tolist()[0] == [
        [False, False],
        [True, False],
    ]


def test_rounding_to_decimals() -> None:
    x = torch.tensor([1.26, -0.449, 1250.0], requires_grad=True)
    np.testing.assert_allclose(torch.round(x, decimals=1).tolist(), [1.3, -0.4, 1250.0], rtol=1e-6)
    assert x.round(decimals=-2).tolist() == [0.0, 0.0, 1200.0]
    assert x.round().tolist() == [1.0, 0.0, 1250.0]
    x.round(decimals=2).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]


def test_the_engine_knows_no_torch_size() -> None:
    # equal nodes are one: a Size in it would be seen by who never imported the face
    node = ops.broadcast(ops.constant(1, np.dtype(np.float32)), torch.Size([2, 3]))
    assert type(node.shape) is tuple
    assert type(torch.ones(2, 3).shape) is torch.Size


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
def test_scatter_reduce(reduce: str, include: bool) -> None:
    index = torch.tensor([[0, 0, 1], [2, 2, 2]])
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    found = torch.full((2, 3), 1.5).scatter_reduce(1, index, x, reduce, include_self=include)
    rows = [[[1.0, 2.0], [3.0], []], [[], [], [4.0, 5.0, 6.0]]]
    rule = {"sum": sum, "mean": np.mean, "prod": np.prod, "amax": max, "amin": min}[reduce]
    expected = [
        [rule([1.5, *part] if include else part) if part else 1.5 for part in row] for row in rows
    ]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-6)
    found.sum().backward()
    assert x.grad.shape == x.shape


def test_stacking_along_the_third_axis() -> None:
    assert torch.dstack([torch.arange(3), torch.arange(3)]).shape == (1, 3, 2)
    assert torch.dstack([torch.ones(2, 2), torch.zeros(2, 2)]).tolist()[0][0] == [1, 0]


def test_special_functions() -> None:
    x = torch.tensor([0.3])
    assert torch.special.expit(x).item() == torch.sigmoid(x).item()
    assert torch.arctan2(x, -x).item() == pytest.approx(3 * np.pi / 4)
    assert torch.erf(x.erfinv()).item() == pytest.approx(0.3)
