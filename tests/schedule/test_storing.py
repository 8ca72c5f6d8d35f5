"""What is worth a place in memory: what residual blocks have added up so far."""

from __future__ import annotations

import pytest
from strategies import F32

from glubina.graph import Node, gradients, ops
from glubina.schedule.plan import Schedule, schedule


def _normalised(x: Node) -> Node:
    """x over the root of its rows' mean square."""
    rows, columns = x.shape
    squares = ops.sum(ops.multiply(x, x), (1,))
    scale = ops.divide(ops.constant(1.0, F32), ops.constant(float(columns), F32))
    root = ops.sqrt(ops.multiply(squares, ops.broadcast(scale, squares.shape)))
    return ops.divide(x, ops.broadcast(ops.reshape(root, (rows, 1)), x.shape))


def _residual(blocks: int) -> tuple[Schedule, Node]:
    """Blocks of x + f(x) W, forward and backward."""
    x = first = ops.input((64, 48), F32)
    weights = [ops.input((24, 24), F32) for _ in range(blocks)]
    for w in weights:
        rows = ops.matmul(ops.reshape(ops.tanh(_normalised(x)), (128, 24)), w)
        x = ops.add(x, ops.reshape(rows, x.shape))
    x = _normalised(x)
    loss = ops.sum(ops.multiply(ops.multiply(x, x), x), (0, 1))
    results = gradients(loss, [first, *weights])
    return schedule(results, [first, *weights], [-1] * len(results)), first


@pytest.mark.parametrize("blocks", [2, 6])
def test_the_sum_of_residual_blocks_is_read_as_one_array(blocks: int) -> None:
    plan, first = _residual(blocks)
    large = [[n for n in k.inputs if n.size == first.size] for k in plan.kernels]
    assert max(len(read) for read in large) <= 5, "no matter how many blocks there are"
    ends = [k for k in plan.kernels if k.kind == "matmul" and first in k.inputs]
    assert ends, "the first block's sum is made at the end of its product"
