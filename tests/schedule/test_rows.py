"""Which reductions share a kernel over rows, and which must not."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import Compiled, assert_close
from emulator import emulate, inside
from hypothesis import given
from hypothesis import strategies as st
from row_graphs import row_programs
from strategies import Array, steady

from glubina.graph import Node, expand, interpret, ops, simplify
from glubina.schedule import rows
from glubina.schedule.fuse import fuse
from glubina.schedule.plan import schedule

F32 = np.dtype(np.float32)


def kinds(*outputs: Node) -> list[str]:
    return [kernel.kind for kernel in fuse(simplify(expand(list(outputs))))]


def spread(number: Node, axes: tuple[int, ...], x: Node) -> Node:
    return ops.restored(number, axes, x.shape)


def test_a_single_reduction_stays_one() -> None:
    x = ops.input((100, 400), F32)
    assert kinds(ops.sqrt(ops.sum(x, (1,)))) == ["reduce"]
    short = ops.input((100, 7), F32)
    assert kinds(ops.sqrt(ops.sum(short, (1,)))) == ["rows"]  # many of them at once


def test_columns_do_not_join_rows() -> None:
    x = ops.input((100, 40), F32)
    row = ops.divide(x, spread(ops.sum(x, (1,)), (1,), x))
    assert sorted(kinds(ops.sum(row, (0,)), row)) == ["reduce", "rows"]


def test_another_row_is_out_of_reach() -> None:
    """What needs the last row's sum in the first row waits for a kernel of its own."""
    x = ops.input((100, 40), F32)
    total = spread(ops.flip(ops.sum(x, (1,)), (0,)), (1,), x)
    again = ops.max(ops.multiply(x, total), (1,))
    assert kinds(again) == ["rows", "rows"]


def test_a_product_between_parts_them() -> None:
    x, w = ops.input((100, 40), F32), ops.input((40, 40), F32)
    scaled = ops.divide(x, spread(ops.sum(x, (1,)), (1,), x))
    product = ops.matmul(scaled, w)
    result = ops.divide(product, spread(ops.max(product, (1,)), (1,), product))
    assert kinds(result) == ["rows", "matmul", "rows"]


def test_units_that_meet_in_a_result_are_one() -> None:
    x, y = ops.input((100, 40), F32), ops.input((100, 40), F32)
    both = ops.add(spread(ops.sum(x, (1,)), (1,), x), spread(ops.max(y, (1,)), (1,), y))
    assert kinds(both) == ["rows"]


def test_few_or_endless_rows_are_cut_into_blocks() -> None:
    for shape in ((4, 4096), (32, 100_000)):
        x = ops.input(shape, F32)
        assert "rows" not in kinds(ops.divide(x, spread(ops.sum(x, (1,)), (1,), x)))


@pytest.mark.parametrize(
    ("shape", "axes", "wanted"),
    [
        ((32, 8), (1,), (32, 8)), ((32, 8), (0,), None), ((4, 8, 2, 3), (2, 3), (32, 6)),
        ((32, 1, 8, 1), (2,), (32, 8)), ((32, 8, 1), (1, 2), (32, 8)), ((32, 1), (1,), None),
        ((4, 8, 3), (0, 2), None), ((2, 8), (1,), None), ((32, 8), (0, 1), None),
    ],
)  # fmt: skip
def test_extent(shape: tuple[int, ...], axes: tuple[int, ...], wanted: object) -> None:
    assert rows.row_extent(ops.sum(ops.input(shape, F32), axes)) == wanted


@given(row_programs(), st.booleans())
@steady(400)
def test_random_rows_emulated(program: tuple[list[Node], dict[Node, Array]], plain: bool) -> None:
    """Kernel by kernel as the interpreter has it: what each reads is there, to the last bit."""
    outputs, bindings = program
    outputs = expand(outputs) if plain else simplify(expand(outputs))
    plan = schedule(outputs, list(bindings), [-1] * len(outputs))
    expected = interpret(outputs, bindings)
    for value, want, node in zip(emulate(plan, bindings), expected, outputs, strict=True):
        np.testing.assert_array_equal(value.reshape(node.shape), want)


@given(row_programs())
@steady(25)
def test_random_rows_compiled(program: tuple[list[Node], dict[Node, Array]]) -> None:
    outputs, bindings = program
    outputs = simplify(expand(outputs))
    found = Compiled(outputs, list(bindings)).run_alike(bindings)
    for got, want in zip(found, interpret(outputs, bindings), strict=True):
        assert_close(got, want, 10)


def test_what_only_others_need_is_not_read() -> None:
    """A value that followed a reduction, but is worked out again elsewhere, brings no input."""
    for number in range(40):
        chance = np.random.default_rng(number)
        x, y, w = (ops.input((32, 200), F32) for _ in range(3))
        total = ops.sum(x, (1,))
        near = ops.subtract(y, spread(total, (1,), y))
        far = ops.multiply(near, ops.flip(near, (int(chance.integers(0, 2)),)))
        ends = [ops.sum(near, (1,)), ops.sum(ops.multiply(far, w), (0,)), ops.multiply(far, x)]
        for kernel in fuse(ends[: 1 + number % 3]):
            inner = inside(kernel)
            read = {s for node in inner for s in node.sources}
            assert set(kernel.inputs) <= read
