"""Inside a program a result takes the memory of an input that dies as it is made."""

from __future__ import annotations

import numpy as np
from compiled import Compiled, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st

from glubina.graph import Node, interpret, ops
from glubina.schedule.fuse import fuse
from glubina.schedule.order import heirs

F32 = np.dtype(np.float32)


def check(outputs: list[Node], inputs: list[Node]) -> int:
    """Compiled and interpreted agree; the bytes of the arena."""
    random = np.random.default_rng(5)
    bindings = {n: random.standard_normal(n.shape).astype(n.dtype) for n in inputs}
    program = Compiled(outputs, inputs)
    found = program.run_alike(bindings)
    for one, want in zip(found, interpret(outputs, bindings), strict=True):
        assert_close(one, want, 4.0)
    return program.program.memory


def centred(x: Node) -> Node:
    """x less its column means: a kernel of its own, which reads x element for element."""
    sums = ops.sum(x, (0,))
    means = ops.multiply(sums, ops.full_like(sums, 1 / x.shape[0]))
    return ops.subtract(x, ops.broadcast(means, x.shape))


def test_a_chain_lies_in_one_place() -> None:
    x, w = ops.input((64, 48), F32), ops.input((48, 48), F32)
    value = ops.matmul(x, w)
    for _ in range(4):
        value = centred(value)
    memory = check([ops.matmul(value, w)], [x, w])
    assert memory < 2 * 64 * 48 * 4


def test_what_is_needed_later_is_not_overwritten() -> None:
    x, w = ops.input((40, 24), F32), ops.input((24, 24), F32)
    first = ops.matmul(x, w)
    second = centred(first)
    third = ops.matmul(second, w)
    check([ops.matmul(ops.add(third, first), w), ops.matmul(second, w), second], [x, w])


def test_other_readings_keep_their_memory() -> None:
    """A value that is also read transposed, or as an operand, is no heir's."""
    x, w = ops.input((24, 24), F32), ops.input((24, 24), F32)
    product = ops.matmul(x, w)
    turned = ops.add(product, ops.transpose(product, (1, 0)))
    squared = ops.add(ops.matmul(turned, turned), turned)
    check([ops.matmul(squared, w)], [x, w])
    for kernel in fuse([ops.matmul(squared, w)]):
        taken = heirs(kernel, kernel.outputs, kernel.inputs)
        assert turned not in taken.values()
        assert product not in taken.values()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3), st.booleans())
def test_epilogues(rows: int, columns: int, steps: int, masked: bool) -> None:
    """Products that end in what they read element for element: residuals and masks."""
    x, w = ops.input((rows, columns), F32), ops.input((columns, columns), F32)
    value = centred(ops.matmul(x, w))
    for _ in range(steps):
        product = ops.matmul(centred(value), w)
        zero = ops.full_like(product, 0.0)
        if masked:
            value = ops.where(ops.less(zero, value), product, zero)
        else:
            value = ops.add(product, value)
    check([ops.matmul(value, w)], [x, w])
