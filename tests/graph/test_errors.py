"""What a person reads when a node cannot exist: the operation, what came, what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from strategies import BOOL, F32, F64, I32, I64, U64

from glubina.graph import (
    DTypeError,
    GraphError,
    IndexRangeError,
    Node,
    ShapeError,
    gradients,
    interpret,
    ops,
)


def given_input(*shape: int, dtype: np.dtype = F32) -> Node:
    return ops.input(shape, dtype)


X = given_input(2, 3)
IMAGE = given_input(1, 4, 4, 2)
PLAIN = ops.ConvAttributes((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), 1)
POOL = ops.WindowAttributes((2, 2), (2, 2), ((0, 0), (0, 0)))

SHAPES: list[tuple[Callable[[], Node], str]] = [
    (lambda: ops.add(X, given_input(3, 2)), "add: shapes (2, 3) and (3, 2) differ"),
    (
        lambda: ops.where(given_input(2, dtype=BOOL), X, X),
        "where: shapes (2,) and (2, 3) differ",
    ),
    (
        lambda: ops.where(given_input(2, 3, dtype=BOOL), X, given_input(3)),
        "where: shapes (2, 3) and (3,) differ",
    ),
    (lambda: ops.reshape(X, (4, 2)), "reshape: (2, 3) has 6 elements, (4, 2) another number"),
    (lambda: ops.reshape(X, (-2, -3)), "reshape: a negative extent in (-2, -3)"),
    (lambda: ops.transpose(X, (0, 0)), "transpose: (0, 0) does not permute the axes of (2, 3)"),
    (lambda: ops.broadcast(X, (2, 4)), "broadcast: (2, 3) does not stretch to (2, 4)"),
    (lambda: ops.broadcast(X, (3,)), "broadcast: (2, 3) does not stretch to (3,)"),
    (lambda: ops.broadcast(given_input(1), (-1,)), "broadcast: a negative extent in (-1,)"),
    (lambda: ops.sum(X, (2,)), "sum: axes (2,) are not ascending axes of shape (2, 3)"),
    (lambda: ops.sum(X, (1, 0)), "sum: axes (1, 0) are not ascending axes of shape (2, 3)"),
    (lambda: ops.max(X, (-1,)), "max: axes (-1,) are not ascending axes of shape (2, 3)"),
    (lambda: ops.prod(X, (0, 0)), "prod: axes (0, 0) are not ascending axes of shape (2, 3)"),
    (lambda: ops.max(given_input(2, 0), (1,)), "max: the reduced axes of shape (2, 0) are empty"),
    (lambda: ops.argmax(X, 2), "argmax: axes (2,) are not ascending axes of shape (2, 3)"),
    (lambda: ops.argmax(given_input(2, 0), 1), "argmax: axis 1 of shape (2, 0) is empty"),
    (
        lambda: ops.slice(X, (0,), (1,), (1,)),
        "slice: 1 ranges for an array of shape (2, 3)",
    ),
    (lambda: ops.slice(X, (0, 1), (2, 3), (1, 1)), "slice: 1:3:1 leaves an axis of 3"),
    (lambda: ops.slice(X, (0, 1), (2, 3), (1, -1)), "slice: 1:-1:-1 leaves an axis of 3"),
    (lambda: ops.slice(X, (0, 0), (2, 2), (1, 0)), "slice: 0:0:0 leaves an axis of 3"),
    (lambda: ops.slice(X, (0, 2), (2, -1), (1, 1)), "slice: a negative length -1"),
    (lambda: ops.pad(X, (1,), (1,)), "pad: 1 widths for an array of shape (2, 3)"),
    (lambda: ops.pad(X, (-1, 0), (0, 0)), "pad: negative widths ((-1, 0), (0, 0), (0, 0))"),
    (lambda: ops.concat([X, X], 2), "concat: axis 2 is not an axis of shape (2, 3)"),
    (
        lambda: ops.concat([X, given_input(2, 4)], 0),
        "concat along axis 0: (2, 3) and (2, 4) differ",
    ),
    (lambda: ops.iota((2,), 1, I64), "iota: axis 1 is not an axis of shape (2,)"),
    (lambda: ops.input((2, -1), F32), "input: a negative extent in (2, -1)"),
    (lambda: ops.constant(np.zeros(2), F32), "constant: a scalar is needed, got shape (2,)"),
    (lambda: ops.matmul(X, X), "matmul: (2, 3) @ (2, 3) do not fit"),
    (lambda: ops.matmul(X, given_input(3)), "matmul: (2, 3) @ (3,) do not fit"),
    (
        lambda: ops.matmul(given_input(2, 1, 3), given_input(3, 3, 1)),
        "matmul: (2, 1, 3) @ (3, 3, 1) do not fit",
    ),
    (
        lambda: ops.conv(X, given_input(3, 1), PLAIN),
        "conv: stride, padding and dilation for 0 spatial axes, got",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(2, 2, 2, 1), PLAIN._replace(stride=(0, 1))),
        "conv: stride, dilation and groups must be at least 1, got",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(2, 2, 1), PLAIN),
        "conv: input (1, 4, 4, 2) and filter (2, 2, 1) differ in rank",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(2, 2, 3, 1), PLAIN),
        "conv: input with 2 channels, filter (2, 2, 3, 1) and 1 groups do not fit",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(2, 2, 1, 3), PLAIN._replace(groups=2)),
        "conv: input with 2 channels, filter (2, 2, 1, 3) and 2 groups do not fit",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(5, 2, 2, 1), PLAIN),
        "conv: the window (5, 2) is larger than the padded input (4, 4)",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(0, 2, 2, 1), PLAIN),
        "conv: the window (0, 2) over an input (4, 4)",
    ),
    (
        lambda: ops.conv_filter(IMAGE, given_input(1, 2, 3, 1), PLAIN, (2, 2)),
        "conv_filter: input (1, 4, 4, 2) and gradient (1, 2, 3, 1) do not fit",
    ),
    (
        lambda: ops.conv_filter(
            given_input(1, 4, 4, 3), given_input(1, 3, 3, 2), PLAIN._replace(groups=2), (2, 2)
        ),
        "conv_filter: 3 and 2 channels do not split into 2 groups",
    ),
    (lambda: ops.pool_max(X, POOL), "pool_max: needs [N, *spatial, C], got (2, 3)"),
    (
        lambda: ops.pool_sum(given_input(1, 4, 2), POOL),
        "pool_sum: a window of 2 axes over 1",
    ),
    (
        lambda: ops.pool_max(IMAGE, POOL._replace(stride=(0, 1))),
        "pool_max: window (2, 2) and stride (0, 1) must be at least 1",
    ),
    (
        lambda: ops.pool_index(IMAGE, POOL._replace(padding=((2, 0), (0, 0)))),
        "pool_index: padding (2, 0) must be below the window 2",
    ),
    (
        lambda: ops.pool_max(IMAGE, POOL._replace(window=(5, 2))),
        "pool_max: the window (5, 2) is larger than the input (4, 4)",
    ),
    (
        lambda: ops.pool_max(given_input(1, 0, 4, 2), POOL),
        "pool_max: nothing lies under the windows of an input (0, 4)",
    ),
    (
        lambda: ops.pool_gather(IMAGE, given_input(1, 2, 1, 2, dtype=I32), POOL),
        "pool_gather: index (1, 2, 1, 2) for windows (1, 2, 2, 2)",
    ),
    (
        lambda: ops.pool_scatter(
            given_input(1, 2, 2, 2), given_input(1, 2, 2, 2, dtype=I32), POOL, (6, 4)
        ),
        "pool_scatter: (1, 2, 2, 2) are not the windows over (6, 4)",
    ),
    (lambda: ops.take(X, given_input(2, dtype=I64), 2), "take: axis 2 is not an axis of shape"),
    (
        lambda: ops.scatter_add(given_input(2, dtype=I64), X, (4, 2), 0),
        "scatter_add: updates (2, 3), expected (2, 2)",
    ),
    (
        lambda: ops.scatter_add(given_input(2, dtype=I64), X, (4, 3), 2),
        "scatter_add: axis 2 is not an axis of shape (4, 3)",
    ),
    (lambda: ops.gradient(X, X), "gradient: of a scalar only, got shape (2, 3)"),
]


@pytest.mark.parametrize(("make", "text"), SHAPES, ids=[text[:40] for _, text in SHAPES])
def test_shapes_that_do_not_fit(make: Callable[[], Node], text: str) -> None:
    with pytest.raises(ShapeError, match=re.escape(text)):
        make()


WHOLE, TRUTH = given_input(2, 3, dtype=I64), given_input(2, 3, dtype=BOOL)

DTYPES: list[tuple[Callable[[], Node], str]] = [
    (lambda: ops.add(X, given_input(2, 3, dtype=F64)), "add: dtypes float32 and float64 differ"),
    (lambda: ops.exp(WHOLE), "exp: needs floating numbers, got int64"),
    (lambda: ops.add(TRUTH, TRUTH), "add: needs floating or integer or unsigned numbers, got bool"),
    (lambda: ops.logical_not(X), "logical_not: needs boolean numbers, got float32"),
    (lambda: ops.bitwise_and(X, X), "bitwise_and: needs integer or unsigned numbers, got float32"),
    (lambda: ops.divide(WHOLE, WHOLE), "divide: needs floating numbers, got int64"),
    (lambda: ops.where(X, X, X), "where's condition: needs boolean numbers, got float32"),
    (lambda: ops.where(TRUTH, X, WHOLE), "where: dtypes float32 and int64 differ"),
    (lambda: ops.cast(X, np.dtype(np.complex64)), "cast: complex64 is neither floating nor"),
    (lambda: ops.sum(TRUTH, (0,)), "sum: booleans are cast to integers first"),
    (
        lambda: ops.concat([X, WHOLE], 0),
        "concat: dtypes float32 and int64 differ",
    ),
    (
        lambda: ops.random_bits(given_input(2, dtype=I64), 0, (3,)),
        "random_bits: the key is uint64 of shape (2,), got <input int64 2>",
    ),
    (
        lambda: ops.random_bits(given_input(3, dtype=U64), 0, (3,)),
        "random_bits: the key is uint64 of shape (2,), got <input uint64 3>",
    ),
    (
        lambda: ops.matmul(WHOLE, given_input(3, 2, dtype=I64)),
        "matmul: needs one floating dtype, got int64 and int64",
    ),
    (
        lambda: ops.conv(IMAGE, given_input(2, 2, 2, 1, dtype=F64), PLAIN),
        "conv: needs one floating dtype, got float32 and float64",
    ),
    (
        lambda: ops.pool_max(given_input(1, 4, 4, 2, dtype=BOOL), POOL),
        "pool_max: booleans are cast to numbers first",
    ),
    (
        lambda: ops.pool_gather(IMAGE, given_input(1, 2, 2, 2, dtype=I64), POOL),
        "pool_gather: the index is int32, got int64",
    ),
    (lambda: ops.take(X, given_input(2), 0), "take: indices must be integers, got float32"),
    (
        lambda: ops.scatter_add(given_input(2), X, (4, 3), 0),
        "scatter_add: indices must be integers, got float32",
    ),
    (
        lambda: ops.scatter_add(given_input(2, dtype=I64), TRUTH, (4, 3), 0),
        "scatter_add: booleans are cast to numbers first",
    ),
    (
        lambda: ops.gradient(given_input(), WHOLE),
        "gradient: needs floating dtypes, got float32 and int64",
    ),
]


@pytest.mark.parametrize(("make", "text"), DTYPES, ids=[text[:40] for _, text in DTYPES])
def test_dtypes_that_do_not_fit(make: Callable[[], Node], text: str) -> None:
    with pytest.raises(DTypeError, match=re.escape(text)):
        make()


@pytest.mark.parametrize("wrong", [-1, 3, 100])
def test_indices_out_of_range(wrong: int) -> None:
    x, indices = given_input(3, 2), given_input(2, dtype=I64)
    bindings = {x: np.zeros((3, 2), np.float32), indices: np.array([0, wrong])}
    with pytest.raises(
        IndexRangeError, match=f"take: index {wrong} at position 1 is out of range for an axis of 3"
    ):
        interpret([ops.take(x, indices, 0)], bindings)
    updates = given_input(2, 2)
    bindings[updates] = np.zeros((2, 2), np.float32)
    with pytest.raises(
        IndexRangeError, match=f"scatter_add: index {wrong} at position 1 is out of range"
    ):
        interpret([ops.scatter_add(indices, updates, (3, 2), 0)], bindings)


def test_errors_are_also_of_the_builtin_kinds() -> None:
    assert issubclass(ShapeError, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert issubclass(IndexRangeError, IndexError)
    assert all(issubclass(e, GraphError) for e in (ShapeError, DTypeError, IndexRangeError))


def test_a_wrong_node_leaves_nothing_behind() -> None:
    for _ in range(2):
        with pytest.raises(ShapeError):
            ops.matmul(X, X)


def test_binding_a_wrong_value() -> None:
    x = given_input(2)
    with pytest.raises(GraphError, match=re.escape("no value is bound to <input float32 2>")):
        interpret([x], {})
    with pytest.raises(GraphError, match=re.escape("was bound to float64 (2,)")):
        interpret([x], {x: np.zeros(2)})
    with pytest.raises(GraphError, match=re.escape("was bound to float32 (3,)")):
        interpret([x], {x: np.zeros(3, np.float32)})


def test_a_placeholder_has_no_value_and_no_derivative_until_it_is_expanded() -> None:
    x = given_input()
    slope = ops.gradient(ops.exp(x), x)
    with pytest.raises(ValueError, match="expanded"):
        interpret([slope], {x: np.zeros((), np.float32)})
    with pytest.raises(GraphError, match="gradient has no derivative"):
        gradients(ops.multiply(slope, x), [x])
