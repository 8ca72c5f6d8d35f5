"""The value of every primitive, against one written again in plain Python, number by number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from primitives import BINARY, BITWISE, LOGICAL, PRIMITIVES, UNARY, Case, cases
from strategies import BOOL, F32, F64, I32, I64, U8, U32, Array, awkward, shapes, steady

from glubina.graph import Node, interpret, ops, verify

SCALAR: dict[str, Callable[..., Any]] = {
    "negative": lambda x: -x,
    "exp": math.exp,
    "log": math.log,
    "log1p": math.log1p,
    "expm1": math.expm1,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "sqrt": math.sqrt,
    "erf": math.erf,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "relu": lambda x: x if x > 0 else 0,
    "absolute": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "isnan": math.isnan,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "power": lambda x, y: x**y,
    "maximum": max,
    "minimum": min,
    "remainder": lambda x, y: x % y,
    "floor_divide": lambda x, y: x // y,
    "less": lambda x, y: x < y,
    "less_equal": lambda x, y: x <= y,
    "equal": lambda x, y: x == y,
    "not_equal": lambda x, y: x != y,
    "logical_not": lambda x: not x,
    "logical_and": lambda x, y: x and y,
    "logical_or": lambda x, y: x or y,
    "logical_xor": lambda x, y: x != y,
    "bitwise_not": lambda x: ~x,
    "bitwise_and": lambda x, y: x & y,
    "bitwise_or": lambda x, y: x | y,
    "bitwise_xor": lambda x, y: x ^ y,
    "shift_left": lambda x, y: x << y,
    "shift_right": lambda x, y: x >> y,
    "where": lambda c, x, y: x if c else y,
    "detach": lambda x: x,
}
INTEGER = ("negative", "absolute", "sign", "relu", *(set(BINARY) - {"divide"}))


def wrapped(value: Any, dtype: np.dtype[Any]) -> Any:
    """An integer as a machine keeps it."""
    if dtype.kind not in "iu":
        return value
    bits = 8 * dtype.itemsize
    value = int(value) % 2**bits
    return value - 2**bits if dtype.kind == "i" and value >= 2 ** (bits - 1) else value


def elementwise(node: Node, *arrays: Array) -> Array:
    scalar = SCALAR[node.op.name]
    rows = zip(*[a.reshape(-1).tolist() for a in arrays], strict=True)
    values = [wrapped(scalar(*row), node.dtype) for row in rows]
    return np.array(values, node.dtype).reshape(node.shape)


def read(node: Node, where: Callable[[tuple[int, ...]], tuple[int, ...] | None], x: Array) -> Array:
    """Element by element from the index that `where` gives (None: zero)."""
    result = np.zeros(node.shape, node.dtype)
    for index in np.ndindex(*node.shape):
        there = where(index)
        if there is not None:
            result[index] = x[there]
    return result


def reshaped(node: Node, x: Array) -> Array:
    return np.array(x.flatten().tolist(), x.dtype).reshape(node.shape)


def transposed(node: Node, x: Array) -> Array:
    order = node.attributes.permutation
    return read(node, lambda i: tuple(i[order.index(axis)] for axis in range(x.ndim)), x)


def stretched(node: Node, x: Array) -> Array:
    skip = len(node.shape) - x.ndim
    return read(
        node, lambda i: tuple(0 if n == 1 else k for n, k in zip(x.shape, i[skip:], strict=True)), x
    )


def sliced(node: Node, x: Array) -> Array:
    a = node.attributes
    return read(node, lambda i: tuple(s + t * k for s, t, k in zip(a.starts, a.steps, i)), x)


def padded(node: Node, x: Array) -> Array:
    a = node.attributes

    def where(index: tuple[int, ...]) -> tuple[int, ...] | None:
        spots = [divmod(i - low, gap + 1) for i, low, gap in zip(index, a.low, a.interior)]
        inside = all(not r and 0 <= q < n for (q, r), n in zip(spots, x.shape, strict=True))
        return tuple(q for q, _ in spots) if inside else None

    return read(node, where, x)


def joined(node: Node, *parts: Array) -> Array:
    axis, flat = node.attributes.axis, []
    for part in parts:
        flat += list(np.moveaxis(part, axis, 0))
    return np.moveaxis(np.stack(flat), 0, axis) if flat else np.zeros(node.shape, node.dtype)


def reduced(node: Node, x: Array) -> Array:
    combine = {"sum": np.add, "max": np.maximum, "prod": np.multiply}[node.op.name]
    axes = node.attributes.axes
    result = np.full(node.shape, {"sum": 0, "max": -100, "prod": 1}[node.op.name], node.dtype)
    for index in np.ndindex(*x.shape):
        there = tuple(i for axis, i in enumerate(index) if axis not in axes)
        result[there] = combine(result[there], x[index])
    return result


def about_the_mean(node: Node, x: Array) -> Array:
    axes = node.attributes.axes
    return np.asarray((np.var(x, axis=axes) * (x.size // max(node.size, 1))).astype(x.dtype))


def argmaximum(node: Node, x: Array) -> Array:
    rows = np.moveaxis(x, node.attributes.axis, -1)
    return np.array(
        [max(range(len(r)), key=lambda i: (r[i], -i)) for r in rows.reshape(-1, rows.shape[-1])]
    ).reshape(node.shape)


def matrix_product(node: Node, a: Array, b: Array) -> Array:
    return np.asarray((a[..., :, :, None] * b[..., None, :, :]).sum(-2))


def taken(node: Node, x: Array, indices: Array) -> Array:
    axis, rank = node.attributes.axis, indices.ndim
    return read(
        node, lambda i: (*i[:axis], int(indices[i[axis : axis + rank]]), *i[axis + rank :]), x
    )


def scattered(node: Node, indices: Array, updates: Array) -> Array:
    axis, rank = node.attributes.axis, indices.ndim
    result = np.zeros(node.shape, node.dtype)
    for i in np.ndindex(*updates.shape):
        result[(*i[:axis], int(indices[i[axis : axis + rank]]), *i[axis + rank :])] += updates[i]
    return result


STRUCTURED: dict[str, Callable[..., Array]] = {
    "reshape": reshaped,
    "transpose": transposed,
    "broadcast": stretched,
    "slice": sliced,
    "pad": padded,
    "concat": joined,
    "sum": reduced,
    "max": reduced,
    "prod": reduced,
    "squared_deviations": about_the_mean,
    "argmax": argmaximum,
    "matmul": matrix_product,
    "take": taken,
    "scatter_add": scattered,
    "cast": lambda node, x: np.array(
        [wrapped(int(v), node.dtype) if node.dtype.kind in "iu" else v for v in x.reshape(-1)],
        node.dtype,
    ).reshape(node.shape),
    "iota": lambda node: read(node, lambda i: (i[node.attributes.axis],), np.arange(9)),
}
ELSEWHERE = {
    # test_windows.py
    *("conv", "conv_filter", "pool_max", "pool_index", "pool_sum", "pool_gather", "pool_scatter"),
    *("attention", "attention_total", "attention_gradient"),  # test_attention.py
    "constant",  # test_graph_nodes.py
    "random_bits",  # the reference generator, tested beside the kernels
}


def test_every_primitive_has_a_second_opinion() -> None:
    assert set(PRIMITIVES) == {*SCALAR, *STRUCTURED, *ELSEWHERE}


def dtypes(name: str) -> tuple[np.dtype[Any], ...]:
    if name in (*LOGICAL, *BITWISE):
        return (F64,)
    if name in (*UNARY, *BINARY):
        return (F64, F32, I32, U8) if name in INTEGER else (F64, F32)
    return (F64,) if name == "matmul" else (F64, F32, I64)


@pytest.mark.parametrize("name", [*SCALAR, *STRUCTURED])
def test_values(name: str) -> None:
    @given(st.sampled_from(dtypes(name)).flatmap(lambda dtype: cases(name, dtype)))
    @steady(15)
    def check(case: Case) -> None:
        node = case.node
        verify([node])
        (value,) = interpret([node], case.bindings)
        if node.op.name == "input":
            return
        assert node.op.name == name
        arrays = [case.bindings[s] for s in node.sources]
        expected = elementwise(node, *arrays) if name in SCALAR else STRUCTURED[name](node, *arrays)
        tolerance = 3e-6 if F32 in (node.dtype, *[a.dtype for a in arrays]) else 1e-13
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance)
        assert value.dtype == node.dtype == expected.dtype

    check()


@pytest.mark.parametrize("name", ["reshape", "transpose", "broadcast", "slice", "pad"])
def test_movement_keeps_the_bits(name: str) -> None:
    @given(cases(name, F32), st.data())
    @steady(8)
    def check(case: Case, data: st.DataObject) -> None:
        if case.node.op.name == "input":
            return
        (x,) = case.node.sources
        array = data.draw(awkward(x.shape, F32))
        (value,) = interpret([case.node], {x: array})
        expected = STRUCTURED[name](case.node, array)
        np.testing.assert_array_equal(value.view(np.uint32), expected.view(np.uint32))

    check()


@given(shapes(min_rank=1, max_rank=3, min_extent=0, max_extent=2))
@steady(20)
def test_empty_arrays_go_through(shape: tuple[int, ...]) -> None:
    x = ops.input(shape, F64)
    axes = tuple(range(len(shape)))
    outputs = [
        ops.exp(x),
        ops.sum(x, axes),
        ops.prod(x, axes),
        ops.transpose(x, axes[::-1]),
        ops.pad(x, (1,) * len(shape), (0,) * len(shape), (1,) * len(shape)),
        ops.concat([x, x], 0),
        ops.slice(x, (0,) * len(shape), (0,) * len(shape), (1,) * len(shape)),
        ops.erf(x),
        ops.reshape(x, (*shape, 1)),
    ]
    array = np.ones(shape)
    values = interpret(outputs, {x: array})
    assert values[1] == array.size
    assert values[2] == 1
    assert values[4].sum() == array.size
    assert [v.shape for v in values] == [o.shape for o in outputs]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("maximum", (NAN, 1.0), NAN),
        ("maximum", (1.0, NAN), NAN),
        ("minimum", (NAN, 1.0), NAN),
        ("relu", (NAN,), NAN),
        ("relu", (-INF,), 0.0),
        ("sigmoid", (NAN,), NAN),
        ("sigmoid", (-INF,), 0.0),
        ("sigmoid", (-1000.0,), 0.0),
        ("sigmoid", (1000.0,), 1.0),
        ("sign", (NAN,), NAN),
        ("sign", (-0.0,), 0.0),
        ("absolute", (-0.0,), 0.0),
        ("sqrt", (-1.0,), NAN),
        ("log", (0.0,), -INF),
        ("log", (-1.0,), NAN),
        ("expm1", (1e-300,), 1e-300),
        ("log1p", (1e-300,), 1e-300),
        ("divide", (1.0, 0.0), INF),
        ("divide", (1.0, -0.0), -INF),
        ("divide", (0.0, 0.0), NAN),
        ("power", (0.0, 0.0), 1.0),
        ("power", (NAN, 0.0), 1.0),
        ("power", (1.0, NAN), 1.0),
        ("power", (-8.0, 1 / 3), NAN),
        ("power", (-2.0, 3.0), -8.0),
        ("power", (0.0, -1.0), INF),
        ("remainder", (-7.0, 3.0), 2.0),
        ("remainder", (7.0, -3.0), -2.0),
        ("remainder", (1.0, 0.0), NAN),
        ("floor_divide", (-7.0, 2.0), -4.0),
        ("round", (2.5,), 2.0),
        ("round", (-0.4,), -0.0),
        ("erf", (INF,), 1.0),
        ("tanh", (-INF,), -1.0),
    ],
)
def test_edges(name: str, arguments: tuple[float, ...], expected: float) -> None:
    for dtype in (F64, F32):
        nodes = [ops.input((), dtype) for _ in arguments]
        bindings = {n: np.array(a, dtype) for n, a in zip(nodes, arguments, strict=True)}
        (value,) = interpret([getattr(ops, name)(*nodes)], bindings)
        np.testing.assert_array_equal(value, np.array(expected, dtype))
        assert np.isnan(expected) or np.signbit(value) == np.signbit(expected)


def test_comparisons_with_nan_do_not_hold() -> None:
    x, y = ops.input((2,), F64), ops.input((2,), F64)
    bindings = {x: np.array([NAN, NAN]), y: np.array([NAN, 1])}
    holds = {name: getattr(ops, name)(x, y) for name in ("less", "less_equal", "equal")}
    for value in interpret(list(holds.values()), bindings):
        assert not value.any()
    assert interpret([ops.not_equal(x, y)], bindings)[0].all()


def test_reductions_see_nan() -> None:
    x = ops.input((3,), F64)
    bindings = {x: np.array([1, NAN, 5])}
    largest, place, total = interpret(
        [ops.max(x, (0,)), ops.argmax(x, 0), ops.sum(x, (0,))], bindings
    )
    assert np.isnan(largest)
    assert place == 1
    assert np.isnan(total)


@pytest.mark.parametrize(("value", "dtype"), [(300, U8), (-1, U32), (2**31, I32)])
def test_integers_wrap_around(value: int, dtype: np.dtype[Any]) -> None:
    x = ops.input((), I64)
    (cast,) = interpret([ops.cast(x, dtype)], {x: np.array(value)})
    assert cast == wrapped(value, dtype)


def test_cast_truncates_toward_zero_and_makes_truth_values() -> None:
    x = ops.input((4,), F64)
    bindings = {x: np.array([-1.9, 1.9, 0.0, NAN])}
    (cut,) = interpret([ops.cast(x, I32)], {x: np.array([-1.9, 1.9, 0.0, -0.5])})
    assert cut.tolist() == [-1, 1, 0, 0]
    assert interpret([ops.cast(x, BOOL)], bindings)[0].tolist() == [True, True, False, True]
