"""Derivatives of every primitive against central differences in float64, to second order.

With L(x, w) = <f(x), w>, a random direction v and a small e:
first order:  (L(x + e v) - L(x - e v)) / 2 e  =  <grad L, v>,
second order: the same for G(x, w) = <grad L(x, w), u>, whose derivative is that of the gradient.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from primitives import PRIMITIVES, Case, cases
from strategies import F32, F64, I64, Array, steady

from glubina.graph import Node, gradients, interpret, ops, verify

STEP = 1e-5
FLAT = {
    *("sign", "floor", "ceil", "round", "isnan", "floor_divide", "argmax", "pool_index"),
    *("less", "less_equal", "equal", "not_equal", "detach", "iota", "constant", "random_bits"),
    *("logical_not", "logical_and", "logical_or", "logical_xor", "bitwise_not", "bitwise_and"),
    *("bitwise_or", "bitwise_xor", "shift_left", "shift_right", "cast"),
}
SMOOTH = tuple(name for name in PRIMITIVES if name not in FLAT)


def inner(x: Node, y: Node) -> Node:
    """Σ x y over everything."""
    return ops.sum(ops.multiply(x, y), tuple(range(len(x.shape))))


def total(parts: list[Node]) -> Node:
    result = parts[0]
    for part in parts[1:]:
        result = ops.add(result, part)
    return result


def directions(bindings: dict[Node, Array], seed: int) -> dict[Node, Array]:
    random = np.random.default_rng(seed)
    return {n: random.standard_normal(a.shape) for n, a in bindings.items() if n.dtype.kind == "f"}


def check_direction(value: Node, bindings: dict[Node, Array], seed: int) -> list[Node]:
    """One random direction; returns the gradient nodes for all floating inputs."""
    wrt = [n for n in bindings if n.dtype.kind == "f"]
    found = gradients(value, wrt)
    verify([value, *found])
    assert [(g.shape, g.dtype) for g in found] == [(n.shape, n.dtype) for n in wrt]
    v = directions(bindings, seed)
    exact = sum(
        float((g * v[n]).sum()) for n, g in zip(wrt, interpret(found, bindings), strict=True)
    )
    moved = [
        interpret(
            [value], {n: a + sign * STEP * v[n] if n in v else a for n, a in bindings.items()}
        )
        for sign in (1, -1)
    ]
    measured = float((moved[0][0] - moved[1][0]) / (2 * STEP))
    assert exact == pytest.approx(measured, rel=2e-6, abs=2e-6)
    return found


def check_to_second_order(node: Node, bindings: dict[Node, Array], seed: int = 1) -> None:
    weights = ops.input(node.shape, node.dtype)
    random = np.random.default_rng(seed)
    bindings = {**bindings, weights: random.standard_normal(node.shape)}
    first = check_direction(inner(node, weights), bindings, seed + 1)
    u = {ops.input(g.shape, g.dtype): random.standard_normal(g.shape) for g in first}
    slopes = total([inner(g, c) for g, c in zip(first, u, strict=True)])
    check_direction(slopes, {**bindings, **u}, seed + 2)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives(name: str) -> None:
    @given(cases(name), st.integers(0, 1000))
    @steady(40 if name.startswith(("conv", "pool")) else 15)
    def check(case: Case, seed: int) -> None:
        check_to_second_order(case.node, case.bindings, seed)

    check()


@pytest.mark.parametrize("name", sorted(FLAT - {"iota", "constant", "cast"}))
def test_flat_primitives_have_the_derivative_zero(name: str) -> None:
    @given(cases(name))
    @steady(3)
    def check(case: Case) -> None:
        if case.node.op.name == "input":
            return
        node = case.node if case.node.dtype == F64 else ops.cast(case.node, F64)
        weights = ops.input(node.shape, F64)
        for found in gradients(inner(node, weights), case.floats):
            assert not interpret([found], case.bindings)[0].any()

    check()


def gradient_at(node: Node, bindings: dict[Node, Array], wrt: Node) -> list[float]:
    (found,) = gradients(ops.sum(node, tuple(range(len(node.shape)))), [wrt])
    return [float(v) for v in interpret([found], bindings)[0].reshape(-1)]


def test_cast_between_floating_dtypes_passes_gradients_and_through_integers_does_not() -> None:
    x = ops.input((2,), F64)
    single = ops.cast(x, F32)
    (found,) = gradients(inner(single, single), [x])
    assert interpret([found], {x: np.array([1.0, 3])})[0].tolist() == [2, 6]
    whole = ops.cast(ops.cast(x, I64), F64)
    assert gradient_at(whole, {x: np.array([1.0, 3])}, x) == [0, 0]


def test_equal_maxima_share_the_gradient() -> None:
    x, y = ops.input((3,), F64), ops.input((3,), F64)
    bindings = {x: np.array([1.0, 2, 2]), y: np.array([1.0, 5, 0])}
    assert gradient_at(ops.maximum(x, y), bindings, x) == [0.5, 0, 1]
    assert gradient_at(ops.maximum(x, y), bindings, y) == [0.5, 1, 0]
    assert gradient_at(ops.minimum(x, y), bindings, x) == [0.5, 1, 0]
    assert gradient_at(ops.max(x, (0,)), bindings, x) == [0, 0.5, 0.5]


def test_pooling_gives_the_gradient_to_the_first_maximum() -> None:
    x = ops.input((1, 4, 1), F64)
    pooled = ops.pool_max(x, ops.WindowAttributes((2,), (1,), ((0, 0),)))
    assert gradient_at(pooled, {x: np.array([2.0, 2, 1, 1]).reshape(1, 4, 1)}, x) == [1, 1, 1, 0]


def test_kinks() -> None:
    x = ops.input((3,), F64)
    bindings = {x: np.array([-1.0, 0.0, 1.0])}
    assert gradient_at(ops.relu(x), bindings, x) == [0, 0, 1]
    assert gradient_at(ops.absolute(x), bindings, x) == [-1, 0, 1]


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2, 3)])
def test_product_with_zeros(zeros: tuple[int, ...]) -> None:
    x = ops.input((2, 2), F64)
    array = np.array([2.0, -3, 0.5, 4])
    array[list(zeros)] = 0
    for axes in ((0, 1), (0,), (1,)):
        check_to_second_order(ops.prod(x, axes), {x: array.reshape(2, 2)})


@pytest.mark.parametrize(
    ("base", "exponent", "slope", "growth"),
    [
        (3.0, 2.0, 6.0, 9 * np.log(3)),
        (-3.0, 2.0, -6.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (-2.0, 0.0, 0.0, 0.0),
        (5.0, 0.0, 0.0, np.log(5)),
        (0.0, 0.5, np.inf, 0.0),
    ],
)
def test_power_at_its_edges(base: float, exponent: float, slope: float, growth: float) -> None:
    x, y = ops.input((), F64), ops.input((), F64)
    bindings = {x: np.array(base), y: np.array(exponent)}
    found = interpret(gradients(ops.power(x, y), [x, y]), bindings)
    np.testing.assert_allclose(found, [slope, growth])


@pytest.mark.parametrize(
    ("base", "exponent"), [(0.0, 2.0), (0.0, 3.0), (-1.5, 2.0), (-1.5, 3.0), (0.0, 1.0), (0.0, 0.0)]
)
def test_second_derivative_of_whole_powers(base: float, exponent: float) -> None:
    x = ops.input((), F64)
    (first,) = gradients(ops.power(x, ops.constant(exponent, F64)), [x])
    (second,) = interpret(gradients(first, [x]), {x: np.array(base)})
    assert second == exponent * (exponent - 1) * base ** max(exponent - 2, 0)


@pytest.mark.parametrize("base", [0.3, 2.0])
def test_mixed_second_derivative_of_power_at_exponent_zero(base: float) -> None:
    """d²/dx dy x^y = x^(y-1) (1 + y ln x), which is 1/x at y = 0: from both sides."""
    x, y = ops.input((), F64), ops.input((), F64)
    bindings = {x: np.array(base), y: np.array(0.0)}
    by_x, by_y = gradients(ops.power(x, y), [x, y])
    mixed = interpret([*gradients(by_x, [y]), *gradients(by_y, [x])], bindings)
    np.testing.assert_allclose(mixed, [1 / base, 1 / base])


def test_empty_slices_have_gradients() -> None:
    x = ops.input((3, 4), F64)
    node = ops.slice(x, (0, 1), (0, 2), (1, 2))
    assert gradient_at(node, {x: np.ones((3, 4))}, x) == [0] * 12


def test_empty_batches_have_gradients() -> None:
    x, w = ops.input((0, 3), F64), ops.input((3, 2), F64)
    assert gradient_at(ops.matmul(x, w), {x: np.ones((0, 3)), w: np.ones((3, 2))}, w) == [0] * 6
    image, kernel = ops.input((0, 3, 1), F64), ops.input((2, 1, 1), F64)
    geometry = ops.ConvAttributes((1,), ((0, 0),), (1,), (1,), 1)
    bindings = {image: np.ones((0, 3, 1)), kernel: np.ones((2, 1, 1))}
    assert gradient_at(ops.conv(image, kernel, geometry), bindings, kernel) == [0, 0]


def test_a_seed_takes_the_place_of_ones() -> None:
    x, seed = ops.input((2,), F64), ops.input((2,), F64)
    (found,) = gradients(ops.exp(x), [x], seed)
    (value,) = interpret([found], {x: np.zeros(2), seed: np.array([3.0, 5])})
    assert value.tolist() == [3, 5]


def test_paths_add_up_and_inner_nodes_have_gradients() -> None:
    x = ops.input((), F64)
    y = ops.multiply(x, x)
    z = ops.add(ops.multiply(y, y), y)
    wrt_y, wrt_x, itself = gradients(z, [y, x, z])
    values = interpret([wrt_y, wrt_x, itself], {x: np.array(2.0)})
    assert [float(v) for v in values] == [9.0, 36.0, 1.0]
