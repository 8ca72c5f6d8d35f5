"""Convolutions that are matrix products are rewritten to them, all three passes."""

from __future__ import annotations

import numpy as np
import pytest

from glubina.graph import expand, interpret, ops, simplify, topological
from glubina.graph.ops.contraction import ConvAttributes

PLAIN = ConvAttributes((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1)


def passes(spatial: tuple[int, int], window: tuple[int, int], a: ConvAttributes):
    x = ops.input((3, *spatial, 4), np.dtype(np.float64))
    w = ops.input((*window, 4, 5), np.dtype(np.float64))
    y = ops.conv(x, w, a)
    g = ops.input(y.shape, np.dtype(np.float64))
    outputs = [y, *y.op.derivative(y, g)]
    random = np.random.default_rng(0)
    bindings = {node: random.standard_normal(node.shape) for node in (x, w, g)}
    return outputs, bindings


def names(outputs) -> set[str]:
    return {node.op.name for node in topological(outputs)}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [(5, 5), (3, 1), (1, 1)])
def test_a_window_over_the_whole_input(window, stride):
    outputs, bindings = passes(window, window, PLAIN._replace(stride=(stride, stride)))
    after = simplify(expand(outputs))
    if stride == 1:
        assert not names(after) & {"conv", "conv_filter"}
    for want, found in zip(interpret(outputs, bindings), interpret(after, bindings), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("window", "padding"), [((3, 3), (1, 1)), ((3, 3), (0, 0)), ((5, 5), (-1, 1)), ((4, 4), (0, 1))]
)
def test_other_windows_stay_convolutions(window, padding):
    outputs, bindings = passes((5, 5), window, PLAIN._replace(padding=(padding, padding)))
    after = simplify(expand(outputs))
    assert "conv" in names(after)
    for want, found in zip(interpret(outputs, bindings), interpret(after, bindings), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)
