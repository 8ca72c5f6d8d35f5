"""The ends of the range: NaN, infinities, signed zeros, integers near their limits, empty axes.

Everything three ways: the interpreter (tiny graphs), compiled programs, NumPy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl

Array = np.ndarray[Any, Any]
NAN, INF = np.nan, np.inf
FLOATS = (np.float32, np.float64)
INTEGERS = [np.dtype(name) for name in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")]
SPECIAL = [0.0, -0.0, 1.0, -1.0, NAN, INF, -INF, 2.5, -2.5, 0.5, 1e-3]


def both_ways(function: Callable[..., Any], *arrays: Array) -> list[Array]:
    """The values by the interpreter (the graph is tiny), and by a compiled program."""
    eager = function(*[gl.tensor(a) for a in arrays]).numpy()
    return [eager, gl.compile(function)(*[gl.tensor(a) for a in arrays]).numpy()]


def assert_same(found: Array, wanted: Array, rtol: float = 1e-5) -> None:
    """Equal shapes and values, NaN where NaN is, zeros of the same sign; integers to the bit."""
    assert found.shape == wanted.shape
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=0)
    ordered = ~np.isnan(wanted)
    assert (np.signbit(found) == np.signbit(wanted))[ordered].all()


def check(
    function: Callable[..., Any], numpy: Callable[..., Any], *arrays: Array, rtol: float = 1e-5
) -> None:
    with np.errstate(all="ignore"):
        wanted = np.asarray(numpy(*arrays))
    for found in both_ways(function, *arrays):
        assert_same(found, wanted, rtol)


def over(function: Callable[..., Any], axis: Any) -> Callable[[Any], Any]:
    """The function over an axis."""
    return lambda x: function(x, axis=axis)


# -- floating point -------------------------------------------------------------------------------

PAIRS = (
    *("add subtract multiply divide maximum minimum less less_equal greater greater_equal".split()),
    *("equal not_equal pow floor_divide remainder logaddexp".split()),
)
ONES = (
    *("exp expm1 log log1p log2 log10 sqrt abs sign sin cos tan tanh sinh cosh square".split()),
    *("floor ceil round trunc negative reciprocal isnan isinf isfinite".split()),
)
NUMPY = {"pow": "power"}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_special_numbers(name: str, dtype: Any) -> None:
    a, b = (np.array(v, dtype) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
    check(getattr(gl, name), getattr(np, NUMPY.get(name, name)), a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ONES)
def test_special_numbers(name: str, dtype: Any) -> None:
    x = np.array([*SPECIAL, 1e4, -1e4, 80.0, -80.0, 89.0, 700.0, 2e37, -2e37], dtype)
    check(getattr(gl, name), getattr(np, NUMPY.get(name, name)), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_choosing_and_clipping(dtype: Any) -> None:
    a, b = (np.array(v, dtype) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
    check(lambda a, b: gl.where(a > 0, a, b), lambda a, b: np.where(a > 0, a, b), a, b)
    check(lambda a: gl.clip(a, -1, 1), lambda a: np.clip(a, -1, 1), a)
    check(lambda a: gl.nn.functional.relu(a), lambda a: np.maximum(a, 0), a[a != 0])


REDUCTIONS = ("max", "min", "argmax", "argmin", "sum", "prod", "mean", "var", "std", "any", "all")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_of_special_numbers(name: str, dtype: Any) -> None:
    rows = [
        [1, NAN, 2, 3],
        [NAN] * 4,
        [INF, 1, -INF, 0.5],
        [INF, NAN, 1, 2],
        [5] * 4,
        [-1, -2, -1, 7],
    ]
    small = np.array(rows, dtype)
    numpy = getattr(np, name)
    for x in (small, np.tile(small, (1, 75)), np.tile(small, (40, 1))):
        for axis in (0, 1):
            check(
                lambda t, k=axis: getattr(gl, name)(t, axis=k),
                lambda a, k=axis: numpy(a, axis=k),
                x,
            )


def test_sorting_puts_nan_last() -> None:
    x = np.array([[1, NAN, 2, -INF, INF, -3, 0.5], [NAN, NAN, 3, 2, 1, 0.1, -1]], np.float32)
    assert_same(gl.sort(gl.tensor(x), axis=1).numpy(), np.sort(x, axis=1))
    order = gl.argsort(gl.tensor(x), axis=1).numpy()
    assert_same(order, np.argsort(x, axis=1, kind="stable"))


def test_denormal_numbers_count_as_zero_inside_programs() -> None:
    x = np.tile(np.array([1e-40, -1e-40, 0.0, -3.0, 2.0], np.float32), 4000)
    assert (np.abs(gl.tensor(x).sign().numpy()) == np.tile([0, 0, 0, 1, 1], 4000)).all()
    assert (((gl.tensor(x) * 1e30) * 1e10).numpy()[::5] == 0).all()
    assert (gl.tensor(np.full(20000, 1e-30, np.float32)) * 1e-10).numpy().max() == 0
    doubles = np.full(20000, 1e-310)
    assert ((gl.tensor(doubles) * 1e300) * 1e10).numpy().max() == 0


# -- integers -------------------------------------------------------------------------------------


def near_limits(dtype: np.dtype[Any]) -> list[int]:
    limits = np.iinfo(dtype)
    found = {limits.min, limits.min + 1, 0, 1, 2, 3, 7, limits.max - 1, limits.max}
    return sorted(found | ({-1, -2, -3, -7} if limits.min else set()))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_near_their_limits(dtype: np.dtype[Any]) -> None:
    values = near_limits(dtype)
    a, b = (np.array(v, dtype) for v in zip(*itertools.product(values, values), strict=True))
    names = "add subtract multiply maximum minimum less less_equal equal greater"
    for name in (*names.split(), "floor_divide", "remainder", "bitwise_and", "bitwise_xor"):
        check(getattr(gl, name), getattr(np, name), a, b)  # also division by zero
    for name in ("negative", "abs", "sign", "square", "bitwise_invert"):
        numpy = getattr(np, {"bitwise_invert": "invert"}.get(name, name))
        check(getattr(gl, name), numpy, np.array(values, dtype))
    bits = np.iinfo(dtype).bits
    shifts = (0, 1, 3, bits - 1, bits, 100)
    x, s = (np.array(v, dtype) for v in zip(*itertools.product(values, shifts), strict=True))
    check(gl.bitwise_left_shift, np.left_shift, x, s)
    check(gl.bitwise_right_shift, np.right_shift, x, s)
    x, s = (np.array(v, dtype) for v in zip(*itertools.product(values, (0, 1, 2, 5)), strict=True))
    check(gl.pow, np.power, x, s)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_reductions_of_integers_wrap(dtype: np.dtype[Any]) -> None:
    for many in (1, 60):
        x = np.array(near_limits(dtype) * many, dtype)
        for name in ("sum", "prod", "max", "min", "argmax", "argmin", "cumulative_sum"):
            numpy = getattr(np, {"cumulative_sum": "cumsum"}.get(name, name))
            check(over(getattr(gl, name), 0), over(numpy, 0), x)
    ties = np.array([1, 3, 3, 2, 1, 3], dtype)
    check(lambda t: gl.argmax(t, axis=0), lambda a: np.argmax(a), ties)
    check(lambda t: gl.argmin(t, axis=0), lambda a: np.argmin(a), ties)


@pytest.mark.parametrize("source", [*INTEGERS, np.dtype(bool)], ids=str)
def test_casts_between_integers_keep_the_low_bits(source: np.dtype[Any]) -> None:
    x = np.array([False, True]) if source.kind == "b" else np.array(near_limits(source), source)
    for target in (*INTEGERS, np.dtype(bool), *map(np.dtype, FLOATS)):
        check(lambda t, d=target: t.astype(d), lambda a, d=target: a.astype(d), x)


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target", INTEGERS, ids=str)
def test_casts_to_integers_go_to_the_nearest_there_is(target: np.dtype[Any], source: Any) -> None:
    limits = np.iinfo(target)
    given = [0.0, -0.9, 0.9, 1.5, 100.7, NAN, INF, -INF, 1e30, -1e30, -1.5, -1.0]
    given += [float(limits.max), float(limits.min), 2.0 * limits.max, float(limits.max) / 2]
    x = np.array([*given, np.nextafter(source(limits.max), source(0))], source)

    def cast(value: float) -> int:
        if np.isnan(value):
            return 0
        if abs(value) >= limits.max:
            return limits.max if value > 0 else limits.min
        return max(limits.min, int(value))

    wanted = np.array([cast(float(v)) for v in x], target)
    for many in (1, 1000):
        for found in both_ways(lambda t: t.astype(target), np.tile(x, many)):
            assert_same(found, np.tile(wanted, many))


def test_minimum_and_maximum_of_booleans() -> None:
    x = np.array([[True, False], [True, True], [False, False]])
    for axis in (0, 1, None):
        check(over(gl.min, axis), over(np.min, axis), x)
        check(over(gl.max, axis), over(np.max, axis), x)


# -- empty axes, axes of one element --------------------------------------------------------------

EMPTY = [(0,), (0, 3), (3, 0), (0, 0), (2, 0, 3), (1, 0), (1, 1)]


@pytest.mark.parametrize("shape", EMPTY, ids=str)
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_reductions_of_nothing(name: str, shape: tuple[int, ...]) -> None:
    """As NumPy's: the sum 0, the product 1, the mean NaN; of max and its like an error."""
    x = np.zeros(shape, np.float32)
    numpy = getattr(np, name)
    for axis in (None, *range(len(shape))):
        try:
            numpy(x, axis=axis)
        except ValueError:
            for way in (lambda f: f, gl.compile):
                with pytest.raises(ValueError, match="empty"):
                    way(over(getattr(gl, name), axis))(gl.tensor(x)).numpy()
        else:
            check(
                lambda t, k=axis: getattr(gl, name)(t, axis=k),
                lambda a, k=axis: numpy(a, axis=k),
                x,
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_products_with_empty_axes(dtype: Any) -> None:
    for m, k, n in itertools.product((0, 1, 3), (0, 1, 4), (0, 1, 5)):
        a, b = np.ones((m, k), dtype), np.ones((k, n), dtype)
        check(lambda a, b: a @ b, lambda a, b: a @ b, a, b)
        for batch in (0, 2):
            stacked = [np.broadcast_to(x, (batch, *x.shape)).copy() for x in (a, b)]
            check(lambda a, b: a @ b, lambda a, b: a @ b, *stacked)


def test_gradients_with_empty_axes() -> None:
    a, b = (gl.zeros(s, requires_grad=True) for s in ((3, 0), (0, 2)))
    (a @ b + 1).sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.shape, b.grad.shape) == ((3, 0), (0, 2))
    empty, full = (gl.ones(s, requires_grad=True) for s in ((0, 3), (2, 3)))
    (gl.concat([empty, full, empty]) * 2).sum().backward()
    assert empty.grad is not None
    assert full.grad is not None
    assert empty.grad.shape == (0, 3)
    assert (full.grad.numpy() == 2).all()
    for function in (gl.sum, gl.mean, gl.prod, gl.logsumexp, gl.var):
        x = gl.zeros((0, 3), requires_grad=True)
        function(x, axis=0).sum().backward()
        assert x.grad is not None
        assert x.grad.shape == (0, 3)


def test_softmax_of_nothing() -> None:
    for shape in ((3, 0), (0, 4), (0, 0)):
        x = np.zeros(shape, np.float32)
        for function in (gl.softmax, gl.log_softmax, gl.nn.functional.softmax):
            check(lambda t, f=function: f(t, axis=-1), lambda a: a, x)
    assert gl.logsumexp(gl.zeros((2, 0)), axis=1).tolist() == [-INF, -INF]


def test_pieces_of_nothing() -> None:
    x = np.zeros((0, 3), np.float32)
    full = np.ones((2, 3), np.float32)
    check(lambda a, b: gl.concat([a, b, a]), lambda a, b: np.concatenate([a, b, a]), x, full)
    check(lambda t: gl.stack([t, t]), lambda a: np.stack([a, a]), x)
    check(lambda t: t.reshape((0, 7)), lambda a: a.reshape((0, 7)), x)
    check(lambda t: t[:1], lambda a: a[:1], x)
    check(lambda t: t.T, lambda a: a.T, x)
    check(lambda t: gl.broadcast_to(t, (5, 0, 3)), lambda a: np.broadcast_to(a, (5, 0, 3)), x)
    rows = np.zeros(0, np.int64)
    check(lambda t, i: gl.take(t, i, axis=0), lambda a, i: np.take(a, i, axis=0), full, rows)
    check(lambda t, i: gl.take(t, i, axis=0), lambda a, i: np.take(a, i, axis=0), x, rows)
    with pytest.raises(IndexError):
        gl.tensor(x)[0].numpy()
    assert gl.sort(gl.tensor(x), axis=0).shape == (0, 3)
