"""Whether memory may be overwritten: all cells at once agree with each by itself."""

from __future__ import annotations

import numpy as np
import pytest

from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Cell, leaf_of_array
from glubina.tensor.ownership import if_own, is_own


def cells(count: int) -> list[Cell]:
    found = [Cell(leaf_of_array(np.full(3, k, np.float32))) for k in range(count)]
    for cell in found:
        cell.value()
    return found


def inputs_of(held: list[Cell]) -> list[Buffer]:
    return [cell.leaf.buffer for cell in held]


def test_what_nobody_else_holds_is_their_own() -> None:
    held = cells(3)
    inputs = inputs_of(held)
    assert all(is_own(cell, inputs, place) for place, cell in enumerate(held))
    assert if_own(held, inputs, [0, 1, 2]) == inputs
    assert if_own(held[1:], inputs, [1, 2]) == inputs[1:]
    assert if_own([], inputs, []) == []


@pytest.mark.parametrize("kind", ["view", "leaf", "buffer", "borrowed", "other", "pending"])
def test_one_that_somebody_holds_spoils_it(kind: str) -> None:
    held = cells(3)
    keep: object = None
    if kind == "borrowed":
        aligned = Buffer(64).array((3,), np.float32)
        held[1].node = held[1].leaf = leaf_of_array(aligned, copy=False)
        del aligned
    inputs = inputs_of(held)
    if kind == "view":
        keep = inputs[1].array((3,), np.float32)
    elif kind == "leaf":
        keep = held[1].leaf
    elif kind == "buffer":
        keep = inputs[1]
    elif kind == "other":
        inputs[1] = Buffer(12)
    elif kind == "pending":
        held[1].leaf = None
    assert if_own(held, inputs, [0, 1, 2]) is None
    assert not is_own(held[1], inputs, 1)
    assert is_own(held[0], inputs, 0)
    del keep


def test_a_cell_that_keeps_its_node_does_not_make_up_for_a_shared_one() -> None:
    held = cells(2)
    held[0].node = cells(1)[0].node
    keep = held[1].leaf
    inputs = inputs_of(held)
    assert if_own(held, inputs, [0, 1]) is None
    assert not is_own(held[1], inputs, 1)
    del keep
