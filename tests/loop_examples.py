"""Loops for tests: recurrences of several kinds, with values for their sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glubina.graph import Node, ops

Example = tuple[list[Node], list[Node], dict[Node, Any]]


def recurrent(
    steps: int, batch: int, features: int, hidden: int, reverse: bool, dtype: str = "float32"
) -> Example:
    """h' = tanh(W x + b + U h): its final state, its outputs; x, W, U, b and h₀ are the inputs."""
    kind = np.dtype(dtype)
    shapes = [(steps, batch, features), (hidden, features), (hidden, hidden), (hidden,)]
    x, w, u, b, h0 = (ops.input(shape, kind) for shape in (*shapes, (batch, hidden)))

    def body(
        states: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[list[Node], list[Node]]:
        (h,), (x,), (w, u, b) = states, slices, fixed
        z = ops.add(ops.matmul(x, ops.swap_last(w)), ops.broadcast(b, h.shape))
        h = ops.tanh(ops.add(z, ops.matmul(h, ops.swap_last(u))))
        return [h], [h]

    finals, outputs = ops.scan(body, [h0], [x], [w, u, b], reverse=reverse)
    inputs = [x, w, u, b, h0]
    return [*finals, *outputs], inputs, values(inputs)


def two_states(
    steps: int, batch: int, width: int, reverse: bool, dtype: str = "float32"
) -> Example:
    """A state that is only carried, one that is stacked too, sums, and an output beside them."""
    kind = np.dtype(dtype)
    x = ops.input((steps, batch, width), kind)
    a, b = ops.input((batch, width), kind), ops.input((width,), kind)
    v = ops.input((width, 2), kind)

    def body(
        states: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[list[Node], list[Node]]:
        (a, b), (x,), (v,) = states, slices, fixed
        y = ops.add(ops.multiply(a, x), ops.broadcast(b, a.shape))
        following = ops.add(ops.sigmoid(y), ops.full_like(y, -0.5))
        sums = ops.multiply(ops.sum(y, (0,)), ops.full_like(b, 0.25))
        return [following, sums], [ops.matmul(y, v), y, sums]

    finals, outputs = ops.scan(body, [a, b], [x], [v], reverse=reverse)
    inputs = [x, a, b, v]
    return [*finals, *outputs], inputs, values(inputs)


def nested(steps: int, inner: int, width: int, dtype: str = "float32") -> Example:
    """A loop in a loop: the inner one runs anew at each outer step."""
    kind = np.dtype(dtype)
    x, h0 = ops.input((steps, inner, width), kind), ops.input((width,), kind)

    def step(
        states: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[list[Node], list[Node]]:
        h = ops.tanh(ops.add(ops.multiply(states[0], fixed[0]), slices[0]))
        return [h], [h]

    def body(
        states: Sequence[Node], slices: Sequence[Node], fixed: Sequence[Node]
    ) -> tuple[list[Node], list[Node]]:
        (last,), (all_,) = ops.scan(step, [states[0]], [slices[0]], [states[0]])
        return [last], [ops.sum(all_, (0,))]

    finals, outputs = ops.scan(body, [h0], [x])
    inputs = [x, h0]
    return [*finals, *outputs], inputs, values(inputs)


def values(inputs: Sequence[Node], seed: int = 0) -> dict[Node, Any]:
    """Random numbers for inputs."""
    rng = np.random.default_rng(seed)
    return {n: (0.5 * rng.normal(size=n.shape)).astype(n.dtype) for n in inputs}


def loss_of(results: Sequence[Node]) -> Node:
    """A scalar that depends on every element of every result in its own way."""
    terms = [
        ops.sum(ops.multiply(ops.multiply(r, r), ops.sin(r)), tuple(range(len(r.shape))))
        for r in results
    ]
    total = terms[0]
    for term in terms[1:]:
        total = ops.add(total, term)
    return total


EXAMPLES: dict[str, Callable[[str], Example]] = {
    "recurrent": lambda dtype: recurrent(4, 3, 2, 5, False, dtype),
    "recurrent in reverse": lambda dtype: recurrent(3, 2, 3, 4, True, dtype),
    "two states": lambda dtype: two_states(4, 3, 5, False, dtype),
    "two states in reverse": lambda dtype: two_states(3, 2, 4, True, dtype),
    "nested": lambda dtype: nested(3, 2, 4, dtype),
    "one step": lambda dtype: recurrent(1, 2, 3, 4, False, dtype),
}
