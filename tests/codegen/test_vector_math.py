"""The mathematical functions: units in the last place over the whole range, special values."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from kernel_runs import compile_text
from scipy import special

from glubina.codegen import vector_math
from glubina.codegen.emitter import Function, module
from glubina.codegen.target import host
from glubina.codegen.values import vector

SCALARS = {"float32": "float", "float64": "double"}

# What NumPy computes in more digits than the kernel has.
WIDE = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
}


@cache
def native(name: str, dtype: str, lanes: int) -> Callable[..., None]:
    """out[i] = name(x[i], y[i]) as a compiled loop."""
    scalar = SCALARS[dtype]
    f = Function("k", [("o", "ptr"), ("a", "ptr"), ("b", "ptr"), ("n", "i64")])
    out, a, b, n = f.parameters
    sources = (a, b) if name == "power" else (a,)
    with f.loop(f.i64(0), n, f.i64(lanes)) as loop:
        values = [f.load(f.element(p, loop.index, scalar), vector(scalar, lanes)) for p in sources]
        f.store(vector_math.call(f, name, values), f.element(out, loop.index, scalar))
    f.return_()
    engine = compile_text(module([f]))
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    function = kind(engine.get_function_address("k"))
    function.engine = engine
    return function


def run(name: str, *xs: np.ndarray, lanes: int = 8) -> np.ndarray:
    count = -(-len(xs[0]) // 16) * 16
    padded = [np.concatenate([x, np.ones(count - len(x), x.dtype)]) for x in xs]
    out = np.empty_like(padded[0])
    function = native(name, xs[0].dtype.name, lanes)
    function(out.ctypes.data, padded[0].ctypes.data, padded[-1].ctypes.data, count)
    return out[: len(xs[0])]


def units(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The error in units of the last place of the rounded wanted value; NaN must meet NaN."""
    with np.errstate(all="ignore"):
        rounded = wanted.astype(found.dtype)
        step = np.spacing(np.abs(rounded)).astype(wanted.dtype)
        error = np.abs(found.astype(wanted.dtype) - wanted) / step
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    # At the edge of overflow the largest number and infinity are one step apart.
    largest = np.finfo(found.dtype).max
    edge = np.isinf(found) != np.isinf(rounded)
    near = edge & (np.abs(np.where(np.isinf(found), rounded, found)) == largest)
    error = np.where(same, 0, np.where(near, 1, error))
    return np.where(np.isfinite(error), error, np.inf)


def every_kind_of_float32() -> np.ndarray:
    """A million bit patterns spread over all of float32, and the special ones."""
    bits = np.arange(0, 1 << 32, 1 << 12, dtype=np.uint64).astype(np.uint32)
    odd = bits * np.uint32(2654435761) + np.uint32(977)
    return np.concatenate([bits, odd]).view(np.float32)


@pytest.mark.parametrize("name", WIDE)
def test_float32_over_the_whole_range(name: str) -> None:
    x = every_kind_of_float32()
    with np.errstate(all="ignore"):
        wanted = WIDE[name](x.astype(np.float64))
    error = units(run(name, x, lanes=host().lanes(x.dtype)), wanted)
    worst = int(np.argmax(error))
    assert error[worst] <= 2, f"{name}({x[worst]!r}) is {error[worst]} units off"


LONG = {
    "exp": (np.exp, -745, 709.7),
    "log": (np.log, 1e-3, 10),
    "log1p": (np.log1p, -0.99, 10),
    "expm1": (np.expm1, -5, 5),
    "tanh": (np.tanh, -4, 4),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -700, 40),
    "sin": (np.sin, -1000, 1000),
    "cos": (np.cos, -1000, 1000),
}
more_digits = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="long double has no more digits than double here"
)


@more_digits
@pytest.mark.parametrize("name", LONG)
def test_float64_against_long_double(name: str) -> None:
    function, low, high = LONG[name]
    chance = np.random.default_rng(1)
    sizes = np.exp(chance.uniform(-60, 5, 20000)) * chance.choice([-1, 1], 20000)
    x = np.concatenate([chance.uniform(low, high, 40000), np.clip(sizes, low, high)])
    with np.errstate(all="ignore"):
        wanted = function(x.astype(np.longdouble))
    assert units(run(name, x), wanted).max() <= 4


def test_float64_erf_against_scipy() -> None:
    x = np.random.default_rng(1).uniform(-6.5, 6.5, 50000)
    assert units(run("erf", x), special.erf(x)).max() <= 4


def test_sines_of_huge_numbers_are_exact() -> None:
    # From tables: the argument closest to a multiple of π/2 among doubles, and a power of ten.
    x = np.array([6381956970095103.0 * 2.0**797, 1e22, 2.0**60, -(2.0**1000)])
    wanted = np.array([1.0, -0.8522008497671888, -0.8306632467247305, 0.15670445492588303])
    wanted[2] = np.sin(np.longdouble(2.0) ** 60)
    found = run("sin", x)
    assert abs(found[0] - 1) < 1e-15
    assert abs(found[1] - wanted[1]) < 4e-16
    cosine = run("cos", x)
    assert abs(cosine[0] - -4.68716592425462761112e-19) < 1e-33
    np.testing.assert_allclose(found**2 + cosine**2, 1, rtol=1e-15)


SPECIAL = {
    "exp": ([-np.inf, np.inf, 0.0, 1e4, -1e4], [0, np.inf, 1, np.inf, 0]),
    "log": ([0.0, -0.0, -1.0, np.inf, 1.0], [-np.inf, -np.inf, np.nan, np.inf, 0]),
    "log1p": ([-1.0, -2.0, np.inf, -0.0, 0.0], [-np.inf, np.nan, np.inf, -0.0, 0]),
    "expm1": ([-np.inf, np.inf, -0.0, 0.0, 5e-324], [-1, np.inf, -0.0, 0, 5e-324]),
    "tanh": ([-np.inf, np.inf, -0.0, 0.0, 5e-324], [-1, 1, -0.0, 0, 5e-324]),
    "sigmoid": ([-np.inf, np.inf, 0.0, 1e4, -1e4], [0, 1, 0.5, 1, 0]),
    "erf": ([-np.inf, np.inf, -0.0, 0.0, 30.0], [-1, 1, -0.0, 0, 1]),
    "sin": ([-np.inf, np.inf, -0.0, 0.0, 5e-324], [np.nan, np.nan, -0.0, 0, 5e-324]),
    "cos": ([-np.inf, np.inf, -0.0, 0.0, 5e-324], [np.nan, np.nan, 1, 1, 1]),
}


@pytest.mark.parametrize("dtype", SCALARS)
@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("lanes", [1, 8])
def test_special_values(name: str, dtype: str, lanes: int) -> None:
    given, wanted = (np.array([*v, np.nan]).astype(dtype) for v in SPECIAL[name])
    found = run(name, given, lanes=lanes)
    np.testing.assert_array_equal(found, wanted)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(wanted[numbers]))


# -- power --------------------------------------------------------------------------------------


def test_power_float32() -> None:
    chance = np.random.default_rng(2)
    bits = chance.integers(0, 1 << 32, (2, 1 << 18), dtype=np.uint64).astype(np.uint32)
    any_x, any_y = bits.view(np.float32)
    x = np.exp(chance.uniform(-80, 80, 1 << 17)).astype(np.float32)
    y = (chance.uniform(-100, 100, x.size) / np.log(x)).astype(np.float32)
    whole = chance.integers(-30, 30, x.size).astype(np.float32)
    base = chance.uniform(-20, 20, x.size).astype(np.float32)
    for a, b in ((any_x, any_y), (x, y), (base, whole)):
        with np.errstate(all="ignore"):
            wanted = np.power(a.astype(np.float64), b.astype(np.float64))
        assert units(run("power", a, b), wanted).max() <= 2


@more_digits
def test_power_float64() -> None:
    chance = np.random.default_rng(3)
    x = np.exp(chance.uniform(-300, 300, 20000))
    y = chance.uniform(-708, 708, x.size) / np.log(x)
    near = 1 + chance.uniform(-0.5, 0.5, x.size)
    steep = chance.uniform(-1, 1, x.size) * 740 / np.abs(np.log(near))
    for a, b in ((x, y), (near, steep), (near, chance.uniform(-5, 5, x.size))):
        with np.errstate(all="ignore"):
            wanted = np.power(a.astype(np.longdouble), b.astype(np.longdouble))
        # Powers far out lose digits of long double itself.
        assert units(run("power", a, b), wanted).max() <= 4


@pytest.mark.parametrize("dtype", SCALARS)
def test_power_of_special_values(dtype: str) -> None:
    tiny, largest = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    values = [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2, -2, 0.5, -0.5, 3, -3, tiny, largest]
    x, y = (v.ravel() for v in np.meshgrid(*[np.array(values, dtype)] * 2))
    with np.errstate(all="ignore"):
        wanted = np.power(x, y)
    found = run("power", x, y)
    np.testing.assert_allclose(found, wanted, rtol=4 * np.finfo(dtype).eps)
    numbers = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(wanted[numbers]))
