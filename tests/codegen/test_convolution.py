"""Convolutions and their filter gradients as native code, against NumPy, in every geometry."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_runs import check, run
from strategies import conv_geometries

from glubina.codegen import conv_filter_plan, conv_plan, conv_planes_filter, planes_plan
from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.graph import Node, ops
from glubina.graph.node import make
from glubina.graph.ops.contraction import (
    CONV_FILTER,
    ConvAttributes,
    FilterAttributes,
    output_extents,
)
from glubina.schedule.kernel import Kernel

ONE = (1, 1)


def geometry(
    stride: tuple[int, ...] = ONE,
    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0)),
    dilation: tuple[int, ...] = ONE,
    spread: tuple[int, ...] = ONE,
    groups: int = 1,
) -> ConvAttributes:
    return ConvAttributes(stride, padding, dilation, spread, groups)


def leaf(shape: tuple[int, ...], dtype: str, seed: int) -> tuple[Node, np.ndarray]:
    value = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    return ops.input(shape, value.dtype), value


def forward(
    x_shape: tuple[int, ...], window: tuple[int, ...], filters: int, a: ConvAttributes,
    dtype: str = "float32",
) -> tuple[Kernel, list[np.ndarray]]:  # fmt: skip
    """relu(x * w + bias) and x * w + bias as one kernel, with its inputs' values."""
    x, x_value = leaf(x_shape, dtype, 1)
    w, w_value = leaf((*window, x_shape[-1] // a.groups, filters), dtype, 2)
    bias, bias_value = leaf((filters,), dtype, 3)
    anchor = ops.conv(x, w, a)
    linear = ops.add(anchor, ops.broadcast(bias, anchor.shape))
    kernel = Kernel("conv", (anchor,), (x, w, bias), (ops.relu(linear), linear), anchor.shape)
    return kernel, [x_value, w_value, bias_value]


def gradient(
    x_shape: tuple[int, ...], window: tuple[int, ...], filters: int, a: ConvAttributes,
    dtype: str = "float32",
) -> tuple[Kernel, list[np.ndarray]]:  # fmt: skip
    """weights - rate * dw and dw as one kernel, with its inputs' values."""
    x, x_value = leaf(x_shape, dtype, 1)
    extents = output_extents(x_shape[1:-1], window, a)
    g, g_value = leaf((x_shape[0], *extents, filters), dtype, 2)
    anchor = make(CONV_FILTER, (x, g), FilterAttributes(a, window))
    weights, old = leaf(anchor.shape, dtype, 3)
    rate, rate_value = leaf((), dtype, 4)
    step = ops.multiply(anchor, ops.broadcast(rate, anchor.shape))
    outputs = ops.subtract(weights, step), anchor
    kernel = Kernel("conv_filter", (anchor,), (x, g, weights, rate), outputs, anchor.shape)
    return kernel, [x_value, g_value, old, rate_value]


def verify(made: tuple[Kernel, list[np.ndarray]], terms: int, target: Target | None = None) -> None:
    kernel, values = made
    unit = 1e-6 if kernel.inputs[0].dtype == np.float32 else 1e-14
    check(lower(kernel, target or host()), kernel, values, 20 * unit, 8 * unit * terms**0.5)


def both(
    x_shape: tuple[int, ...], window: tuple[int, ...], filters: int, a: ConvAttributes,
    dtype: str = "float32", target: Target | None = None,
) -> None:  # fmt: skip
    """The convolution and its filter gradient agree with the interpreter."""
    extents = output_extents(x_shape[1:-1], window, a)
    taps = int(np.prod(window)) * x_shape[-1] // a.groups
    verify(forward(x_shape, window, filters, a, dtype), taps, target)
    pixels = x_shape[0] * int(np.prod(extents))
    verify(gradient(x_shape, window, filters, a, dtype), pixels, target)


SAME = ((1, 1), (1, 1))
LAYERS = [
    ((3, 28, 28, 1), (3, 3), 32, geometry()),
    ((2, 26, 26, 32), (3, 3), 64, geometry()),
    ((2, 12, 12, 64), (3, 3), 32, geometry(padding=((2, 2), (2, 2)))),
    ((2, 15, 17, 3), (3, 3), 16, geometry(padding=SAME)),
    ((2, 14, 14, 16), (3, 3), 32, geometry(stride=(2, 2), padding=SAME)),
    ((2, 7, 7, 32), (3, 3), 16, geometry(padding=((1, 2), (1, 2)), spread=(2, 2))),
    ((2, 9, 9, 8), (5, 5), 10, geometry(padding=((2, 2), (2, 2)))),
    ((1, 20, 20, 3), (7, 7), 64, geometry(stride=(2, 2), padding=((3, 3), (3, 3)))),
    ((3, 7, 7, 20), (1, 1), 40, geometry()),
    ((2, 8, 8, 12), (1, 1), 5, geometry(stride=(2, 2))),
    ((2, 10, 10, 4), (3, 3), 6, geometry(padding=((2, 2), (2, 2)), dilation=(2, 2))),
    ((2, 9, 8, 40), (3, 3), 40, geometry(padding=SAME, groups=40)),
    ((2, 9, 8, 33), (3, 3), 33, geometry(stride=(2, 2), padding=SAME, groups=33)),
    ((2, 6, 6, 12), (3, 3), 24, geometry(padding=SAME, groups=3)),
    ((2, 5, 5, 4), (3, 3), 8, geometry(padding=SAME, groups=4)),
    ((2, 1, 9, 6), (1, 3), 7, geometry(padding=((0, 0), (1, 1)))),
    ((2, 8, 8, 16), (3, 3), 1, geometry(padding=SAME)),
    ((2, 5, 5, 3), (3, 3), 4, geometry(padding=((-1, 2), (2, -1)))),
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers(layer):
    both(*layer)


@pytest.mark.parametrize("layer", LAYERS[1::3], ids=str)
def test_layers_in_double_precision(layer):
    both(*layer, dtype="float64")


@pytest.mark.parametrize(("bits", "registers"), [(256, 16), (128, 32), (128, 16)])
@pytest.mark.parametrize("layer", LAYERS[::4], ids=str)
def test_narrow_vectors(layer, bits, registers):
    both(*layer, target=dataclasses.replace(host(), vector_bits=bits, registers=registers))


HALVES = [
    ((2, 10, 9, 5), (3, 3), 24, geometry(stride=(2, 2), padding=SAME)),
    ((2, 7, 8, 24), (1, 1), 36, geometry()),
    ((2, 9, 9, 16), (5, 5), 6, geometry(padding=((4, 4), (4, 4)))),
    ((2, 7, 9, 24), (3, 3), 24, geometry(padding=SAME, groups=24)),
    ((2, 8, 8, 32), (3, 3), 32, geometry(padding=SAME, groups=4)),
]  # fmt: skip


@pytest.mark.skipif(host().vector_bits != 512, reason="vectors of 512 bits")
@pytest.mark.parametrize("cpu", ["znver4", "skylake-avx512"])
@pytest.mark.parametrize("layer", HALVES, ids=str)
def test_half_vectors_where_whole_ones_would_be_partly_empty(layer, cpu):
    text = host().features if cpu == host().cpu else "-prefer-256-bit"
    both(*layer, target=dataclasses.replace(host(), cpu=cpu, features=text))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("batch", "extent"), [(1, 5), (3, 9)])
def test_channels_are_shared_out_where_the_filter_leaves_the_cache(
    batch, extent, groups, monkeypatch
):
    monkeypatch.setattr(conv_plan, "FILTER_BYTES", 1 << 10)
    monkeypatch.setattr(conv_plan, "STRIP_BYTES", 1 << 13)  # several strips of an image too
    verify(
        forward((batch, extent, extent, 40), (3, 3), 120, geometry(stride=(2, 1), groups=groups)),
        360,
    )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes(rank, groups):
    extents, window = (11, 6, 7)[-rank:], (3, 2, 3)[-rank:]
    a = geometry((2,) * rank, ((1, 2),) * rank, (1,) * rank, (1,) * rank, groups)
    both((2, *extents, 4), window, 18, a)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rank=st.integers(1, 3), dtype=st.sampled_from(["float32", "float64"]))
def test_any_geometry(data, rank, dtype):
    a, spatial, window = data.draw(conv_geometries(rank))
    images = data.draw(st.integers(1, 4))
    if data.draw(st.booleans()):
        channels = filters = a.groups * data.draw(st.integers(1, 7))
        a = a._replace(groups=channels)
    else:
        channels = a.groups * data.draw(st.integers(1, 6))
        filters = a.groups * data.draw(st.integers(1, 20))
    both((images, *spatial, channels), window, filters, a, dtype)


@pytest.mark.parametrize("make", [forward, gradient])
@pytest.mark.parametrize("a", [geometry(), geometry(padding=SAME)], ids=["inside", "padded"])
def test_the_same_code_for_a_smaller_batch(make, a):
    kernels = [make((n, 12, 12, 8), (3, 3), 16, a)[0] for n in (128, 96)]
    first, second = (lower(kernel, host()) for kernel in kernels)
    assert first.key == second.key
    assert first.stages != second.stages


def test_more_threads_than_work():
    kernel, values = forward((1, 6, 6, 3), (3, 3), 8, geometry(padding=SAME))
    lowering = lower(kernel, host())
    one, many = run(lowering, kernel, values, 1), run(lowering, kernel, values, 100)
    for a, b in zip(one, many, strict=True):
        assert a.tobytes() == b.tobytes()


def test_padding_reads_nothing_outside_the_image():
    kernel, values = forward((2, 6, 6, 3), (3, 3), 8, geometry(padding=SAME))
    values[0][0] = np.nan
    linear = run(lower(kernel, host()), kernel, values)[1]
    assert np.isnan(linear[0]).all()
    assert np.isfinite(linear[1]).all()


# -- planes -------------------------------------------------------------------------------------


@pytest.fixture
def in_planes(monkeypatch):
    """Every convolution is computed in planes, whatever that costs."""

    def possible(shape, dtype, target):
        return not shape.cin == shape.geometry.groups == shape.cout

    monkeypatch.setattr(planes_plan, "pays", possible)
    monkeypatch.setattr(conv_planes_filter, "pays", possible)


def planar(made: tuple[Kernel, list[np.ndarray]], terms: int, target: Target | None = None) -> None:
    lowering = lower(made[0], target or host())
    assert all(stage.symbol.startswith("planes_") for stage in lowering.stages)
    verify(made, terms, target)


NARROW = [
    ((5, 28, 28, 1), (5, 5), 6, geometry(padding=((2, 2), (2, 2)))),
    ((2, 66, 40, 8), (3, 3), 3, geometry(padding=SAME)),
    ((2, 33, 21, 40), (3, 3), 1, geometry(padding=SAME)),
    ((2, 9, 9, 16), (3, 3), 10, geometry(stride=(2, 2), padding=SAME)),
    ((2, 12, 12, 64), (7, 7), 3, geometry(padding=((6, 5), (6, 5)), spread=(2, 2))),
    ((2, 20, 20, 64), (3, 3), 64, geometry(padding=SAME, groups=16)),
    ((1, 20, 20, 33), (3, 3), 22, geometry(padding=((-1, 2), (2, -1)), dilation=(2, 1), groups=11)),
    ((2, 7, 7, 17), (1, 1), 4, geometry()),
    ((2, 7, 7, 17), (1, 1), 5, geometry(stride=(2, 2))),
]  # fmt: skip


@pytest.mark.parametrize("layer", NARROW, ids=str)
def test_few_output_channels(layer, in_planes):
    x_shape, window, _, a = layer
    planar(forward(*layer), int(np.prod(window)) * x_shape[-1] // a.groups)
    verify(gradient(*layer), 1000)


@pytest.mark.parametrize(("bits", "registers"), [(256, 16), (128, 32)])
@pytest.mark.parametrize("layer", NARROW[::3], ids=str)
def test_few_output_channels_in_narrow_vectors(layer, bits, registers, in_planes):
    target = dataclasses.replace(host(), vector_bits=bits, registers=registers)
    planar(forward(*layer), int(np.prod(layer[1])) * layer[0][-1], target)
    verify(gradient(*layer), 1000, target)


@pytest.mark.parametrize("filters", [1, 2, 3, 8])
def test_results_without_a_bias_are_finished_along_whole_lines(filters, in_planes):
    a = geometry(padding=SAME)
    (x, x_value), (w, w_value) = (
        leaf((2, 9, 21, 5), "float32", 1),
        leaf((3, 3, 5, filters), "float32", 2),
    )
    y = ops.conv(x, w, a)
    (mask, mask_value) = leaf(y.shape, "float32", 3)
    kernel = Kernel("conv", (y,), (x, w, mask), (ops.multiply(y, mask),), y.shape)
    planar((kernel, [x_value, w_value, mask_value]), 45)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), rank=st.integers(1, 3), dtype=st.sampled_from(["float32", "float64"]))
def test_any_geometry_in_planes(data, rank, dtype, in_planes):
    a, spatial, window = data.draw(conv_geometries(rank))
    channels = a.groups * data.draw(st.integers(1, 6))
    filters = a.groups * data.draw(st.integers(1, 9))
    both((data.draw(st.integers(1, 4)), *spatial, channels), window, filters, a, dtype)


def test_few_output_channels_are_computed_in_planes():
    wide = forward((64, 28, 28, 16), (3, 3), 16, geometry(padding=SAME))[0]
    narrow = forward((64, 28, 28, 16), (3, 3), 3, geometry(padding=SAME))[0]
    symbols = [lower(kernel, host()).stages[-1].symbol for kernel in (wide, narrow)]
    assert [symbol.startswith("planes_") for symbol in symbols] == [False, host().vector_bits > 128]


FAR = [
    ((2, 5, 70, 20), (3, 3), geometry(padding=SAME, groups=20)),
    ((3, 9, 6, 80), (5, 5), geometry(padding=((2, 2), (2, 2)), groups=80)),
    ((2, 11, 37, 16), (3, 2), geometry((2, 2), ((1, 0), (0, 1)), (1, 2), groups=16)),
    ((2, 90, 24), (7,), geometry((1,), ((6, 0),), (2,), (1,), 24)),
    ((2, 4, 5, 9, 18), (3, 2, 3), geometry((1, 2, 1), ((1, 1),) * 3, (1,) * 3, (1,) * 3, 18)),
    ((1, 40, 33, 17), (1, 31), geometry(padding=((0, 0), (15, 15)), groups=17)),
    ((2, 9, 7, 33), (1, 1), geometry()),
]


@pytest.mark.parametrize(("x", "window", "a"), FAR)
def test_memory_is_asked_for_ahead(
    monkeypatch: pytest.MonkeyPatch, x: tuple[int, ...], window: tuple[int, ...], a: ConvAttributes
) -> None:
    """Pieces of a line and of several lines, with and without memory asked for ahead."""
    both(x, window, x[-1], a)
    for module in (conv_plan, conv_filter_plan):
        monkeypatch.setattr(module, "FAR", 0)
    both(x, window, x[-1], a)
