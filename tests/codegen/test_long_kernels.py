"""Kernels over long axes stay within their buffers, and give what the interpreter gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_runs import check, run
from strategies import F32, Draw, lengths, steady

from glubina.codegen.lowering import lower
from glubina.codegen.target import host
from glubina.graph import Node, expand, ops, simplify
from glubina.schedule.fuse import fuse

FEW = st.integers(1, 40)


def leaf(*shape: int) -> Node:
    return ops.input(shape, F32)


def along(x: Node, axis: int) -> Node:
    """A number for each place of one axis, spread over the others."""
    shape = [1] * len(x.shape)
    shape[axis] = x.shape[axis]
    return ops.broadcast(leaf(*shape), x.shape)


@st.composite
def rows(draw: Draw) -> Node:
    x = leaf(draw(FEW), draw(lengths()))
    y = ops.add(x, along(x, 1))
    y = ops.multiply(y, along(x, 0)) if draw(st.booleans()) else y
    return draw(st.sampled_from([ops.relu, ops.tanh, ops.exp, lambda y: ops.multiply(y, x)]))(y)


@st.composite
def columns(draw: Draw) -> Node:
    x = leaf(draw(lengths()), draw(st.integers(1, 70)))
    return ops.add(ops.multiply(x, along(x, 1)), along(x, 0))


@st.composite
def reductions(draw: Draw) -> Node:
    shape = tuple(draw(st.permutations([draw(FEW), draw(lengths(10_000))])))
    axes = draw(st.sampled_from([(0,), (1,), (0, 1)]))
    return draw(st.sampled_from([ops.sum, ops.max]))(ops.sigmoid(leaf(*shape)), axes)


@st.composite
def turned(draw: Draw) -> Node:
    extents = [draw(FEW), draw(st.integers(1, 300)), draw(st.integers(1, 70))]
    shape = tuple(draw(st.permutations(extents)))
    y = ops.transpose(leaf(*shape), tuple(draw(st.permutations(range(3)))))
    return ops.add(y, along(y, 2))


@st.composite
def joined(draw: Draw) -> Node:
    count = draw(FEW)
    parts = [leaf(count, draw(lengths(9000))) for _ in range(2)]
    return ops.concat((ops.relu(parts[0]), parts[1]), 1)


@st.composite
def padded(draw: Draw) -> Node:
    x = leaf(draw(FEW), draw(lengths(9000)))
    return ops.exp(ops.pad(x, (0, draw(FEW)), (1, draw(FEW)), (0, 0)))


@pytest.mark.parametrize("kind", [rows, columns, reductions, turned, joined, padded])
@given(data=st.data())
@steady(30)
def test_within_their_buffers(kind: object, data: st.DataObject) -> None:
    kernels = fuse(simplify(expand([data.draw(kind())])))  # type: ignore[operator]
    for kernel in kernels:
        chance = np.random.default_rng(0)
        given = [chance.standard_normal(node.shape).astype(node.dtype) for node in kernel.inputs]
        if len(kernels) == 1:
            check(lower(kernel, host()), kernel, given, 1e-5, 1e-4)
        else:  # of one that reads another's result only the buffers are looked at
            run(lower(kernel, host()), kernel, given, 2)
