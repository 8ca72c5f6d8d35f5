"""Convolution and pooling against loops that follow their definitions literally."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from primitives import Case, cases
from strategies import F64, Array, conv_geometries, steady

from glubina.graph import Node, interpret, ops, topological
from glubina.graph.ops.contraction import output_extents


def conv_terms(
    a: Any, spatial: tuple[int, ...], window: tuple[int, ...], outputs: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(output position, window position, input position) of every product that is not zero."""
    for o in itertools.product(*map(range, outputs)):
        for k in itertools.product(*map(range, window)):
            spots = [
                oi * s + ki * d - low
                for oi, ki, s, d, (low, _) in zip(
                    o, k, a.stride, a.dilation, a.padding, strict=True
                )
            ]
            pairs = [divmod(spot, e) for spot, e in zip(spots, a.input_dilation, strict=True)]
            if all(not r and 0 <= q < n for (q, r), n in zip(pairs, spatial, strict=True)):
                yield o, k, tuple(q for q, _ in pairs)


def naive_conv(node: Node, x: Array, w: Array) -> Array:
    a, result = node.attributes, np.zeros(node.shape)
    cin, cout = w.shape[-2], w.shape[-1] // a.groups
    for o, k, i in conv_terms(a, x.shape[1:-1], w.shape[:-2], node.shape[1:-1]):
        for group in range(a.groups):
            part = x[(slice(None), *i, slice(group * cin, (group + 1) * cin))]
            outs = slice(group * cout, (group + 1) * cout)
            result[(slice(None), *o, outs)] += part @ w[(*k, slice(None), outs)]
    return result


def naive_filter(node: Node, x: Array, g: Array) -> Array:
    (a, window), result = node.attributes, np.zeros(node.shape)
    cin, cout = node.shape[-2], node.shape[-1] // a.groups
    for o, k, i in conv_terms(a, x.shape[1:-1], window, g.shape[1:-1]):
        for group in range(a.groups):
            part = x[(slice(None), *i, slice(group * cin, (group + 1) * cin))]
            outs = slice(group * cout, (group + 1) * cout)
            result[(*k, slice(None), outs)] += part.T @ g[(slice(None), *o, outs)]
    return result


@given(cases("conv"))
@steady(120)
def test_convolution(case: Case) -> None:
    x, w = case.node.sources
    (value,) = interpret([case.node], case.bindings)
    expected = naive_conv(case.node, case.bindings[x], case.bindings[w])
    np.testing.assert_allclose(value, expected, atol=1e-12)


@given(cases("conv_filter"))
@steady(80)
def test_filter_gradient(case: Case) -> None:
    value, x, g = interpret([case.node, *case.node.sources], case.bindings)
    expected = naive_filter(case.node, x, g)
    np.testing.assert_allclose(value, expected, atol=1e-12)


@given(st.data(), st.integers(1, 3))
@steady(60)
def test_filter_gradient_of_a_transposed_convolution(data: st.DataObject, rank: int) -> None:
    a, spatial, window = data.draw(conv_geometries(rank))
    a = a._replace(stride=(1,) * rank)
    extents = output_extents(spatial, window, a)
    x = ops.input((2, *spatial, 2 * a.groups), F64)
    g = ops.input((2, *extents, 3 * a.groups), F64)
    node = ops.conv_filter(x, g, a, window)
    random = np.random.default_rng(3)
    values = {n: random.standard_normal(n.shape) for n in (x, g)}
    (value,) = interpret([node], values)
    expected = np.zeros(node.shape)
    for o, k, i in conv_terms(a, spatial, window, extents):
        for group in range(a.groups):
            outs = slice(3 * group, 3 * group + 3)
            part = values[x][(slice(None), *i, slice(2 * group, 2 * group + 2))]
            expected[(*k, slice(None), outs)] += part.T @ values[g][(slice(None), *o, outs)]
    np.testing.assert_allclose(value, expected, atol=1e-12)


def test_no_zeros_are_put_between_elements_for_a_transposed_convolution() -> None:
    x, g = ops.input((2, 5, 4, 3), F64), ops.input((2, 10, 8, 7), F64)
    a = ops.ConvAttributes((1, 1), ((2, 2),) * 2, (1, 1), (2, 2), 1)
    found = topological([ops.conv_filter(x, g, a, (4, 4))])
    assert [n.op.name for n in found if n.op.name in ("pad", "conv_filter")] == ["conv_filter"]


def test_convolution_of_a_known_image() -> None:
    """The Sobel filter of a ramp: 8 everywhere inside."""
    x, w = ops.input((1, 4, 5, 1), F64), ops.input((3, 3, 1, 1), F64)
    node = ops.conv(x, w, ops.ConvAttributes((1, 1), ((0, 0),) * 2, (1, 1), (1, 1), 1))
    image = np.broadcast_to(np.arange(5.0), (4, 5)).reshape(1, 4, 5, 1).copy()
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1.0]]).reshape(3, 3, 1, 1)
    assert (interpret([node], {x: image, w: sobel})[0] == 8).all()


def test_a_crop_beyond_the_image_reads_zeros() -> None:
    x, w = ops.input((1, 3, 1), F64), ops.input((1, 1, 1), F64)
    geometry = ops.ConvAttributes((1,), ((-4, 3),), (1,), (2,), 1)
    node = ops.conv(x, w, geometry)
    (value,) = interpret([node], {x: np.ones((1, 3, 1)), w: np.ones((1, 1, 1))})
    assert value.reshape(-1).tolist() == [1, 0, 0, 0]


def windows(
    a: ops.WindowAttributes, spatial: tuple[int, ...], outputs: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, tuple[int, ...]]]]]:
    """(output position, [(flat position in the window, input position)]) without the padding."""
    for o in itertools.product(*map(range, outputs)):
        inside = []
        for flat, k in enumerate(itertools.product(*map(range, a.window))):
            spot = tuple(
                oi * s + ki - low
                for oi, ki, s, (low, _) in zip(o, k, a.stride, a.padding, strict=True)
            )
            if all(0 <= p < n for p, n in zip(spot, spatial, strict=True)):
                inside.append((flat, spot))
        yield o, inside


def naive_pool(node: Node, x: Array) -> Array:
    result = np.zeros(node.shape, node.dtype)
    for o, inside in windows(node.attributes, x.shape[1:-1], node.shape[1:-1]):
        values = np.stack([x[(slice(None), *spot)] for _, spot in inside])
        where = (slice(None), *o)
        if node.op.name == "pool_max":
            result[where] = values.max(0)
        elif node.op.name == "pool_sum":
            result[where] = values.sum(0)
        else:
            flats = np.array([flat for flat, _ in inside])
            result[where] = flats[values.argmax(0)]
    return result


@pytest.mark.parametrize("name", ["pool_max", "pool_index", "pool_sum"])
def test_pooling(name: str) -> None:
    @given(cases(name))
    @steady(40)
    def check(case: Case) -> None:
        (x,) = case.node.sources
        (value,) = interpret([case.node], case.bindings)
        np.testing.assert_allclose(value, naive_pool(case.node, case.bindings[x]), atol=1e-12)

    check()


@given(cases("pool_gather"))
@steady(30)
def test_gather_by_index(case: Case) -> None:
    node = case.node
    x, index = node.sources
    value, flats = interpret([node, index], case.bindings)
    expected = np.zeros(node.shape)
    for o, inside in windows(node.attributes, x.shape[1:-1], node.shape[1:-1]):
        for flat, spot in inside:
            here = flats[(slice(None), *o)] == flat
            expected[(slice(None), *o)] += np.where(here, case.bindings[x][(slice(None), *spot)], 0)
    np.testing.assert_allclose(value, expected)


@given(cases("pool_scatter"))
@steady(30)
def test_scatter_by_index(case: Case) -> None:
    node = case.node
    g, index = node.sources
    value, flats = interpret([node, index], case.bindings)
    expected = np.zeros(node.shape)
    a = node.attributes
    for o, inside in windows(a.geometry, a.spatial, g.shape[1:-1]):
        for flat, spot in inside:
            here = flats[(slice(None), *o)] == flat
            update = case.bindings[g][(slice(None), *o)]
            expected[(slice(None), *spot)] += np.where(here, update, 0)
    np.testing.assert_allclose(value, expected)


GEOMETRY = ops.WindowAttributes((2, 2), (1, 1), ((1, 0), (1, 0)))


def test_the_first_of_equal_maxima_wins_and_padding_never_does() -> None:
    x = ops.input((1, 2, 2, 1), F64)
    outputs = [ops.pool_max(x, GEOMETRY), ops.pool_index(x, GEOMETRY)]
    for fill in (1.0, -np.inf):
        largest, index = interpret(outputs, {x: np.full((1, 2, 2, 1), fill)})
        assert (largest == fill).all()
        assert index.reshape(2, 2).tolist() == [[3, 2], [1, 0]]


def test_pooling_of_integers_ignores_padding() -> None:
    x = ops.input((1, 2, 2, 1), np.dtype(np.int32))
    lowest = np.full((1, 2, 2, 1), np.iinfo(np.int32).min, np.int32)
    largest, index = interpret(
        [ops.pool_max(x, GEOMETRY), ops.pool_index(x, GEOMETRY)], {x: lowest}
    )
    assert (largest == lowest).all()
    assert index.reshape(2, 2).tolist() == [[3, 2], [1, 0]]


def test_a_window_with_nan_gives_nan_and_its_place() -> None:
    x = ops.input((1, 2, 2, 1), F64)
    image = np.array([[5.0, np.nan], [7.0, 1.0]]).reshape(1, 2, 2, 1)
    plain = ops.WindowAttributes((2, 2), (2, 2), ((0, 0), (0, 0)))
    largest, index = interpret([ops.pool_max(x, plain), ops.pool_index(x, plain)], {x: image})
    assert np.isnan(largest).all()
    assert index.item() == 1
