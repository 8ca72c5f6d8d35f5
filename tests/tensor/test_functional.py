"""Functional derivatives in loops: no endless graph."""

from __future__ import annotations

import numpy as np
import pytest

import glubina as gl
from glubina.graph.node import topological


def test_a_loop_that_never_asks_for_a_value_makes_no_endless_graph() -> None:
    def loss(w: gl.Tensor) -> gl.Tensor:
        return ((w - 3) ** 2).sum()

    w = gl.tensor(np.zeros(2))
    longest = 0
    for _ in range(200):
        w = w - 0.1 * gl.grad(loss)(w)
        longest = max(longest, len(topological([w._cell.node])))
    assert longest < 400
    np.testing.assert_allclose(w.numpy(), 3 * (1 - 0.8**200) * np.ones(2), rtol=1e-12)


@pytest.mark.parametrize("asked", [False, True])
def test_nor_do_lists_and_dicts_or_looks_at_the_loss(asked: bool) -> None:
    def loss(w: dict[str, list[gl.Tensor]]) -> gl.Tensor:
        return ((w["a"][0] - 3) ** 2).sum()

    w = {"a": [gl.tensor(np.zeros(2))]}
    longest = 0
    for _ in range(60):
        value, gradient = gl.value_and_grad(loss)(w)
        w = {"a": [w["a"][0] - 0.1 * gradient["a"][0]]}
        longest = max(longest, len(topological([w["a"][0]._cell.node])))
        if asked:
            value.item()
    assert longest < (40 if asked else 400)
    np.testing.assert_allclose(w["a"][0].numpy(), 3 * (1 - 0.8**60) * np.ones(2), rtol=1e-12)
