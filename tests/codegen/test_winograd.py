"""Winograd's convolutions: within their error of the exact sums, the same bits for any threads."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from compiled import Compiled
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_runs import compile_text, run

from glubina.codegen.conv_plan import ConvShape
from glubina.codegen.lowered import Lowering
from glubina.codegen.lowering import lower
from glubina.codegen.target import Target, host
from glubina.codegen.winograd_choice import choose
from glubina.codegen.winograd_plan import SLOTS
from glubina.graph import Node, ops
from glubina.graph.interpreter import interpret
from glubina.graph.ops.contraction import ConvAttributes
from glubina.schedule.kernel import Kernel

BOUND = 2e-6  # of the largest Σ|x||w| of an image and channel
Padding = tuple[tuple[int, int], tuple[int, int]]


def geometry(padding: tuple[tuple[int, int], ...]) -> ConvAttributes:
    once = (1,) * len(padding)
    return ConvAttributes(once, padding, once, once, 1)


def linear(
    x_shape: tuple[int, ...], filters: int, padding: tuple[tuple[int, int], ...], seed: int = 0,
    window: tuple[int, ...] = (3, 3),
) -> tuple[Kernel, list[np.ndarray]]:  # fmt: skip
    """The bare convolution, relu(it + bias) and it times an array, as one kernel."""
    random = np.random.default_rng(seed)
    shapes = x_shape, (*window, x_shape[-1], filters), (filters,)
    values = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    x, w, bias = (ops.input(value.shape, value.dtype) for value in values)
    anchor = ops.conv(x, w, geometry(padding))
    scale = ops.input(anchor.shape, anchor.dtype)
    values.append(random.standard_normal(anchor.shape).astype(np.float32))
    shifted = ops.relu(ops.add(anchor, ops.broadcast(bias, anchor.shape)))
    outputs = anchor, shifted, ops.multiply(anchor, scale)
    return Kernel("conv", (anchor,), (x, w, bias, scale), outputs, anchor.shape), values


def is_winograd(lowering: Lowering) -> bool:
    return any(stage.symbol.startswith("winograd") for stage in lowering.stages)


def verify(
    kernel: Kernel, values: list[np.ndarray], target: Target | None = None, bound: float = BOUND
) -> None:
    """One, three and many threads give the same bits, and these are near the exact result."""
    lowering = lower(kernel, target or host())
    assert is_winograd(lowering)
    results = [run(lowering, kernel, values, threads) for threads in (1, 3, 70)]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.tobytes() == b.tobytes()
    (anchor,) = kernel.anchors
    x, w = (ops.input(value.shape, np.dtype(np.float64)) for value in values[:2])
    sums = ops.conv(x, w, anchor.attributes)
    wide = [value.astype(np.float64) for value in values]
    (exact,) = interpret([sums], {x: wide[0], w: wide[1]})
    (size,) = interpret([sums], {x: abs(wide[0]), w: abs(wide[1])})
    size = size.max(axis=tuple(range(1, size.ndim - 1)), keepdims=True)  # a tile shares its errors
    expected = exact, np.maximum(exact + wide[2], 0), exact * wide[3]
    scales = size, size + abs(wide[2]), size * abs(wide[3])
    for got, want, scale in zip(results[0], expected, scales, strict=True):
        assert np.all(abs(got - want) <= bound * scale)


SAME = ((1, 1), (1, 1))
FULL = ((2, 2), (2, 2))
LAYERS = [
    ((2, 26, 26, 32), 64, ((0, 0), (0, 0))),
    ((2, 24, 24, 64), 32, FULL),
    ((2, 32, 32, 16), 16, SAME),
    ((6, 8, 8, 64), 64, SAME),
    ((3, 14, 14, 40), 48, SAME),
    ((8, 7, 7, 128), 40, SAME),
    ((6, 17, 15, 19), 33, ((1, 0), (0, 2))),
    ((7, 19, 15, 18), 29, ((-1, 1), (2, -2))),
    ((80, 6, 5, 17), 100, FULL),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layers(layer):
    verify(*linear(*layer))


@pytest.mark.parametrize(("bits", "registers"), [(256, 16), (128, 32), (128, 16)])
@pytest.mark.parametrize("layer", LAYERS[2::3], ids=str)
def test_narrow_vectors(layer, bits, registers):
    verify(*linear(*layer), dataclasses.replace(host(), vector_bits=bits, registers=registers))


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_geometry(data):
    pads = [data.draw(st.tuples(st.integers(-1, 4), st.integers(-1, 4))) for _ in range(2)]
    sides = [data.draw(st.integers(max(4, 10 - low - high), 18)) for low, high in pads]
    channels, filters = (data.draw(st.integers(24, 70)) for _ in range(2))
    images = data.draw(st.integers(6, 12))
    made = linear(
        (images, *sides, channels), filters, (pads[0], pads[1]), data.draw(st.integers(0, 9))
    )
    if is_winograd(lower(made[0], host())):
        verify(*made)


def test_many_items_share_the_slots():
    kernel, values = linear((40, 32, 32, 16), 16, SAME)
    lowering = lower(kernel, host())
    assert lowering.stages[-1].arguments[0] == SLOTS
    verify(kernel, values)


def test_the_error_of_large_offsets_stays_within_the_sum_of_sizes():
    kernel, values = linear((2, 16, 16, 32), 32, SAME)
    values[0] += 100
    verify(kernel, values)


def test_the_same_code_for_a_smaller_batch():
    first, second = (lower(linear((n, 12, 12, 16), 16, SAME)[0], host()) for n in (128, 90))
    assert is_winograd(first)
    assert first.key == second.key
    assert first.stages != second.stages


def shape(images: int, side: int, cin: int, cout: int, a: ConvAttributes) -> ConvShape:
    return ConvShape(images, (side, side), cin, (3, 3), (side, side), cout, a)


def tile_of(shape: ConvShape, dtype: str = "float32", target: Target | None = None) -> str:
    """The outputs of the chosen tile, as 4x4, or `direct`."""
    tile = choose(shape, np.dtype(dtype), target or host(), False)
    return "x".join(str(line.outputs) for line in tile) if tile else "direct"


def test_what_is_computed_directly():
    good = shape(8, 16, 32, 32, geometry(SAME))
    assert tile_of(good) == "4x4"
    assert tile_of(good, "float64") == "direct"
    assert tile_of(good, target=dataclasses.replace(host(), direct=True)) == "direct"
    for change in (
        {"cin": 4}, {"cin": 8, "cout": 3}, {"window": (7, 7)}, {"outputs": (0, 16)}, {"batch": 0},
        {"window": (1, 1)}, {"window": (3, 3, 3), "outputs": (16, 16, 16)},
    ):  # fmt: skip
        assert tile_of(dataclasses.replace(good, **change)) == "direct"
    for name in ("stride", "dilation", "input_dilation"):
        other = good.geometry._replace(**{name: (1, 2)})
        assert tile_of(dataclasses.replace(good, geometry=other)) == "direct"
    grouped = good.geometry._replace(groups=2)
    assert tile_of(dataclasses.replace(good, geometry=grouped)) == "direct"


def test_the_tile_fits_the_outputs():
    def of(side: int, images: int = 64) -> str:
        return tile_of(shape(images, side, 64, 64, geometry(SAME)))

    assert [of(side) for side in (2, 4, 6, 7, 8)] == ["direct", "4x4", "2x2", "4x4", "4x4"]
    line = ConvShape(64, (40,), 64, (3,), (40,), 64, geometry(((1, 1),)))
    assert tile_of(line) == "1x4"
    five = ConvShape(64, (16, 16), 64, (5, 5), (12, 12), 64, geometry(((0, 0), (0, 0))))
    assert tile_of(five) == "2x2"


OTHERS = [
    ((64, 6, 6, 24), 44, SAME, (3, 3)),  # tiles of 2 x 2 outputs
    ((16, 6, 16, 24), 44, SAME, (3, 3)),  # of 2 x 4
    ((8, 12, 13, 20), 28, ((0, 0), (2, 2)), (5, 5)),
    ((8, 12, 13, 20), 28, ((1, 1), (0, 0)), (5, 3)),
    ((8, 20, 13, 40), 28, ((1, 1), (0, 0)), (3, 1)),
    ((8, 50, 40), 48, ((1, 1),), (3,)),
    ((8, 50, 40), 48, ((0, 2),), (5,)),
    ((1, 14, 14, 200), 150, SAME, (3, 3)),  # each item transforms its part of the filter
    ((1, 28, 28, 64), 128, SAME, (3, 3)),
]


@pytest.mark.parametrize("layer", OTHERS, ids=str)
def test_other_tiles(layer):
    shape, filters, padding, window = layer
    verify(*linear(shape, filters, padding, window=window))


def test_an_image_that_is_not_finite_leaves_the_others_alone():
    kernel, values = linear((12, 12, 12, 16), 16, SAME)
    values[0][3] = np.nan
    plain = run(lower(kernel, host()), kernel, values)[0]
    assert np.isnan(plain[3]).all()
    assert np.isfinite(np.delete(plain, 3, 0)).all()


def test_the_result_may_overwrite_what_is_added():
    kernel, values = linear((8, 15, 13, 20), 24, SAME)
    x, w, _, old = kernel.inputs
    total = ops.add(kernel.anchors[0], old)
    given = dict(zip((x, w, old), (values[0], values[1], values[3]), strict=True))
    kept = Compiled([total], list(given)).run_alike(given)
    donated = Compiled([total], list(given), [2])
    assert donated.program.plan.donated == (2,)
    assert donated.run_alike(given)[0].tobytes() == kept[0].tobytes()


def test_input_gradients_of_layers_agree_with_the_direct_kernel():
    kernel, values = linear((4, 18, 18, 32), 48, SAME)
    anchor = kernel.anchors[0]
    derivative = anchor.op.derivative
    assert derivative is not None
    g = ops.input(anchor.shape, anchor.dtype)
    dx = derivative(anchor, g)[0]
    assert isinstance(dx, Node)
    given = {kernel.inputs[1]: values[1], g: values[3]}
    found = Compiled([dx], list(given)).run_alike(given)[0]
    (wanted,) = interpret([dx], given)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=BOUND * 9 * 48 * 2)


def test_the_environment_asks_for_direct_convolutions():
    text = "from glubina.codegen.target import host; print(host().direct)"
    for chosen, wanted in (("direct", "True"), ("", "False")):
        environment = {**os.environ, "GLUBINA_CONV": chosen}
        found = subprocess.run(
            [sys.executable, "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == wanted


def test_a_direct_target_makes_other_code():
    kernel, values = linear((12, 12, 12, 16), 16, SAME)
    direct = dataclasses.replace(host(), direct=True)
    fast, slow = lower(kernel, host()), lower(kernel, direct)
    assert fast.key != slow.key
    assert not is_winograd(slow)
    assert compile_text(slow.ir(), direct) is not None
    for a, b in zip(run(fast, kernel, values), run(slow, kernel, values), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-3)
