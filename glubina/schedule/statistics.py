"""Mean and variance in one pass: sums of the numbers and of their squares, in double precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glubina.graph import ops
from glubina.graph.node import Node, rebuild, remake, topological
from glubina.graph.techniques import used

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def in_one_pass(outputs: Sequence[Node]) -> list[Node]:
    """The outputs with `squared_deviations` in terms of sums that one kernel can work out.

    Σ (x − x̄)² = Σ x² − (Σ x)² / n. In the numbers' own precision the difference cancels where the
    mean is large. But the squares of float32 numbers are exact in float64, so that a variance has
    a relative error below 1e-14 · mean² / variance (rounding the numbers to float32 has changed it
    by a tenth of that already). A sum of the same numbers over the same axes is taken from the
    first of the two. Other dtypes are summed in two passes.
    """
    found = {n for n in topological(outputs) if n.op.name == "squared_deviations"}
    if not found:
        return list(outputs)
    single = {n for n in found if n.dtype == SINGLE and used("one-pass")}
    wide = {_what(n) for n in single}

    def change(node: Node, sources: tuple[Node, ...]) -> Node:
        if node in found:
            x, axes = sources[0], node.attributes.axes
            return _one_pass(x, axes) if node in single else _two_passes(x, axes)
        if node.op.name == "sum" and _what(node) in wide:
            return ops.cast(_total(sources[0], node.attributes.axes), SINGLE)
        return remake(node, sources)

    return rebuild(outputs, change)


def _what(node: Node) -> tuple[Node, tuple[int, ...]]:
    return node.sources[0], tuple(node.attributes.axes)


def _total(x: Node, axes: tuple[int, ...]) -> Node:
    return ops.sum(ops.cast(x, DOUBLE), axes)


def _one_pass(x: Node, axes: tuple[int, ...]) -> Node:
    exact, total = ops.cast(x, DOUBLE), _total(x, axes)
    squares = ops.sum(ops.multiply(exact, exact), axes)
    count = x.size // max(1, total.size)
    mean = ops.divide(total, ops.full_like(total, count))
    # Rounding may leave a little less than nothing.
    return ops.cast(ops.relu(ops.subtract(squares, ops.multiply(total, mean))), SINGLE)


def _two_passes(x: Node, axes: tuple[int, ...]) -> Node:
    centred = ops.subtract(x, ops.restored(ops.mean(x, axes), axes, x.shape))
    return ops.sum(ops.multiply(centred, centred), axes)
