"""Filter gradients by Winograd's transforms: near the exact sums, the same bits for any threads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_runs import run

from glubina.codegen.lowered import Lowering
from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.graph import ops
from glubina.graph.interpreter import interpret
from glubina.graph.ops.contraction import ConvAttributes
from glubina.schedule.kernel import Kernel

BOUND = 1e-6  # of Σ|x||g|
Padding = tuple[tuple[int, int], tuple[int, int]]
SAME = ((1, 1), (1, 1))
VALID = ((0, 0), (0, 0))


def layer(
    x_shape: tuple[int, ...], filters: int, padding: tuple[tuple[int, int], ...], seed: int = 0,
    window: tuple[int, ...] = (3, 3),
) -> tuple[Kernel, list[np.ndarray]]:  # fmt: skip
    """The gradient, and a weight after a step against it, as one kernel."""
    random = np.random.default_rng(seed)
    once = (1,) * len(window)
    geometry = ConvAttributes(once, padding, once, once, 1)
    x = ops.input(x_shape, np.dtype(np.float32))
    w = ops.input((*window, x_shape[-1], filters), x.dtype)
    g = ops.input(ops.conv(x, w, geometry).shape, x.dtype)
    anchor = ops.conv_filter(x, g, geometry, window)
    outputs = anchor, ops.subtract(w, anchor)
    kernel = Kernel("conv_filter", (anchor,), (x, g, w), outputs, anchor.shape)
    values = [random.standard_normal(node.shape).astype(np.float32) for node in (x, g, w)]
    return kernel, values


def is_winograd(lowering: Lowering) -> bool:
    return lowering.stages[0].symbol.startswith("wino")


def verify(kernel: Kernel, values: list[np.ndarray], target: Target | None = None) -> None:
    """One, three and many threads give the same bits, and these are near the exact result."""
    lowering = lower(kernel, target or host())
    assert is_winograd(lowering)
    results = [run(lowering, kernel, values, threads) for threads in (1, 3, 70)]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()
    (anchor,) = kernel.anchors
    wide = [value.astype(np.float64) for value in values]
    x, g = (ops.input(value.shape, value.dtype) for value in wide[:2])
    sums = ops.conv_filter(x, g, *anchor.attributes)
    (exact,) = interpret([sums], {x: wide[0], g: wide[1]})
    (size,) = interpret([sums], {x: abs(wide[0]), g: abs(wide[1])})
    size = size.max(axis=tuple(range(size.ndim - 2)), keepdims=True)  # the taps share their errors
    assert np.all(abs(results[0][0] - exact) <= BOUND * size)
    assert np.all(abs(results[0][1] - (wide[2] - exact)) <= BOUND * (size + abs(wide[2])))


LAYERS = [
    ((4, 26, 26, 32), 64, VALID),
    ((4, 32, 32, 16), 16, SAME),
    ((8, 8, 8, 64), 64, SAME),
    ((5, 14, 14, 40), 48, SAME),
    ((8, 7, 7, 130), 140, SAME),
    ((6, 17, 15, 19), 33, ((1, 0), (0, 2))),
    ((7, 19, 15, 18), 29, ((-1, 1), (2, -2))),
    ((70, 6, 5, 17), 100, ((2, 2), (2, 2))),
]
OTHERS = [
    ((64, 2, 2, 64), 64, SAME, (3, 3)),  # tiles of 2 x 2 outputs
    ((16, 6, 16, 24), 40, SAME, (3, 3)),
    ((16, 12, 13, 20), 28, ((0, 0), (2, 2)), (5, 5)),
    ((16, 12, 13, 20), 28, ((1, 1), (0, 0)), (5, 3)),
    ((16, 20, 13, 64), 64, ((1, 1), (0, 0)), (3, 1)),
    ((16, 50, 40), 48, ((1, 1),), (3,)),
]


@pytest.mark.parametrize("made", LAYERS, ids=str)
def test_layers(made):
    verify(*layer(*made))


@pytest.mark.parametrize("made", OTHERS, ids=str)
def test_other_tiles(made):
    shape, filters, padding, window = made
    verify(*layer(shape, filters, padding, window=window))


@pytest.mark.parametrize(("bits", "registers"), [(256, 16), (128, 32), (128, 16)])
@pytest.mark.parametrize("made", LAYERS[1::3], ids=str)
def test_narrow_vectors(made, bits, registers):
    verify(*layer(*made), dataclasses.replace(host(), vector_bits=bits, registers=registers))


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_any_geometry(data):
    pads = [data.draw(st.tuples(st.integers(-1, 4), st.integers(-1, 4))) for _ in range(2)]
    sides = [data.draw(st.integers(max(4, 10 - low - high), 18)) for low, high in pads]
    channels, filters = (data.draw(st.integers(16, 70)) for _ in range(2))
    images = data.draw(st.integers(6, 12))
    made = layer(
        (images, *sides, channels), filters, (pads[0], pads[1]), data.draw(st.integers(0, 9))
    )
    if is_winograd(lower(made[0], host())):
        verify(*made)


def test_the_error_of_large_offsets_stays_within_the_sum_of_sizes():
    kernel, values = layer((8, 16, 16, 32), 32, SAME)
    values[0] += 100
    verify(kernel, values)


def test_parts_depend_on_shapes_only():
    kernel, values = layer((64, 8, 8, 16), 16, SAME)
    lowering = lower(kernel, host())
    assert lowering.stages[0].arguments[2] > 1
    verify(kernel, values)


def test_the_same_code_for_other_batches_and_channels():
    first, second = (lower(layer((n, 12, 12, 32), 32, SAME)[0], host()) for n in (128, 96))
    assert first.modules.keys() == second.modules.keys()
    third = lower(layer((128, 12, 12, 64), 64, SAME)[0], host())
    assert first.shared.keys() == third.shared.keys()


def test_what_is_computed_directly():
    good, _ = layer((8, 16, 16, 32), 32, SAME)
    assert is_winograd(lower(good, host()))
    assert not is_winograd(lower(good, dataclasses.replace(host(), direct=True)))
    for shape, filters in (((8, 16, 16, 3), 32), ((8, 16, 16, 3), 3), ((1, 4, 4, 16), 16)):
        assert not is_winograd(lower(layer(shape, filters, SAME)[0], host()))


def test_gradients_of_a_filter_agree_with_the_interpreter():
    kernel, values = layer((8, 16, 16, 32), 48, SAME)
    given_ = dict(zip(kernel.inputs, values, strict=True))
    found = Compiled(kernel.outputs, kernel.inputs, [-1, 2]).run_alike(given_)
    wanted = interpret(kernel.outputs, given_)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=BOUND * 8 * 256 * 2)
