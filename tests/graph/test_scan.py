"""The loop: its meaning, its errors, its derivatives, and what leaves it."""

from __future__ import annotations

import numpy as np
import pytest
from loop_examples import EXAMPLES, loss_of, recurrent, two_states

from glubina.graph import (
    DTypeError,
    GraphError,
    Node,
    ShapeError,
    gradients,
    interpret,
    ops,
    simplify,
    verify,
)
from glubina.graph.loops import lifted
from glubina.graph.node import topological
from glubina.graph.ops.scan import Loop, body_of, parameter, result

float32, float64 = np.dtype(np.float32), np.dtype(np.float64)


def slope(output: Node, inputs: list[Node], given: dict, seed: int) -> tuple[float, float]:
    """The derivative along a random direction: by differences, and by the gradients."""
    rng = np.random.default_rng(seed)
    way = {n: rng.normal(size=n.shape) for n in inputs}
    e = 1e-5
    ends = [
        interpret([output], {**given, **{n: given[n] + s * e * way[n] for n in inputs}})[0].item()
        for s in (1, -1)
    ]
    found = interpret(gradients(output, inputs), given)
    return (ends[0] - ends[1]) / (2 * e), sum(
        float((g * way[n]).sum()) for n, g in zip(inputs, found, strict=True)
    )


def test_a_loop_carries_its_state():
    results, (x, w, u, b, h0), given = recurrent(3, 2, 4, 5, False, "float64")
    h, rows = given[h0], []
    for t in range(3):
        h = np.tanh(given[x][t] @ given[w].T + given[b] + h @ given[u].T)
        rows.append(h)
    last, all_ = interpret(results, given)
    np.testing.assert_allclose(last, h, rtol=1e-12)
    np.testing.assert_allclose(all_, np.stack(rows), rtol=1e-12)


def test_in_reverse_it_begins_with_the_last_step():
    forward, inputs, given = two_states(4, 2, 3, False, "float64")
    backward, others, _ = two_states(4, 2, 3, True, "float64")
    flipped = {o: given[n] for n, o in zip(inputs, others, strict=True)}
    flipped[others[0]] = given[inputs[0]][::-1].copy()
    for a, b in zip(interpret(forward, given)[2:], interpret(backward, flipped)[2:], strict=True):
        np.testing.assert_array_equal(a, b[::-1])


@pytest.mark.parametrize("name", EXAMPLES)
def test_derivatives_to_second_order(name):
    results, inputs, given = EXAMPLES[name]("float64")
    loss = loss_of(results)
    wanted, found = slope(loss, inputs, given, 1)
    assert found == pytest.approx(wanted, rel=1e-6)
    squares = [
        ops.sum(ops.multiply(g, g), tuple(range(len(g.shape)))) for g in gradients(loss, inputs)
    ]
    total = squares[0]
    for square in squares[1:]:
        total = ops.add(total, square)
    wanted, found = slope(total, inputs, given, 2)
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_leaves_a_loop_changes_nothing(name):
    results, inputs, given = EXAMPLES[name]("float64")
    outputs = [*results, *gradients(loss_of(results), inputs)]
    fewer = simplify(lifted(simplify(outputs), simplify))
    verify(fewer)
    for a, b in zip(interpret(outputs, given), interpret(fewer, given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_products_of_a_training_step_are_outside_but_for_the_recurrent_ones():
    results, inputs, _ = recurrent(6, 4, 3, 5, False)
    outputs = [loss_of(results), *gradients(loss_of(results), inputs)]
    order = topological(simplify(lifted(simplify(outputs), simplify)))
    loops = {(n.sources, n.attributes.loop): n for n in order if n.op.name == "scan"}
    assert len(loops) == 2  # the forward and the reverse
    inside = [
        n.shape
        for member in loops.values()
        for n in topological(body_of(member))
        if n.op.name == "matmul"
    ]
    assert inside == [(4, 5), (4, 5)]
    products = sorted(n.shape for n in order if n.op.name == "matmul")
    assert products == sorted([(24, 5), (24, 3), (5, 3), (5, 5)])


def test_results_of_one_loop_have_one_reverse():
    results, inputs, _ = recurrent(5, 2, 3, 4, False)
    found = gradients(loss_of(results), inputs)
    reverse = {n.sources for n in topological(found) if n.op.name == "scan"} - {results[0].sources}
    assert len(reverse) == 1


def test_equal_bodies_are_one_loop():
    x, h = ops.input((3, 2), float32), ops.input((2,), float32)

    def body(states, slices, fixed):
        return [ops.add(states[0], slices[0])], []

    (one,), _ = ops.scan(body, [h], [x])
    (two,), _ = ops.scan(lambda s, x, w: ([ops.add(s[0], x[0])], []), [h], [x])
    assert one is two
    assert repr(one.attributes) == repr(two.attributes)


def test_a_loop_without_steps_leaves_its_state():
    x, h = ops.input((0, 2), float32), ops.input((2,), float32)
    (last,), (all_,) = ops.scan(lambda s, x, w: ([ops.exp(s[0])], [s[0]]), [h], [x])
    assert simplify([last]) == [h]
    assert all_.shape == (0, 2)
    start = np.ones(2, np.float32)
    found = interpret([last, all_], {x: np.zeros((0, 2), np.float32), h: start})
    np.testing.assert_array_equal(found[0], start)


def test_a_loop_of_whole_numbers_counts():
    h = ops.input((), np.dtype(np.int64))
    (last,), (all_,) = ops.scan(lambda s, x, w: ([ops.add(s[0], s[0])], [s[0]]), [h], steps=5)
    found = interpret([last, all_], {h: np.array(3)})
    assert found[0] == 96
    assert found[1].tolist() == [3, 6, 12, 24, 48]


def test_errors_say_what_does_not_fit():
    x, h = ops.input((3, 2), float32), ops.input((2,), float32)
    with pytest.raises(
        ShapeError, match=r"state 0 begins with shape \(2,\), but has shape \(1, 2\)"
    ):
        ops.scan(lambda s, x, w: ([ops.reshape(s[0], (1, 2))], []), [h], [x])
    with pytest.raises(DTypeError, match="state 0 begins as float32, but is float64"):
        ops.scan(lambda s, x, w: ([ops.cast(s[0], float64)], []), [h], [x])
    with pytest.raises(ShapeError, match=r"sequence 1 of shape \(4, 2\) for 3 steps"):
        ops.scan(lambda s, x, w: ([s[0]], []), [h], [x, ops.input((4, 2), float32)])
    with pytest.raises(ShapeError, match="gives 0 states for 1"):
        ops.scan(lambda s, x, w: ([], []), [h], [x])
    with pytest.raises(GraphError, match="never an input from outside"):
        ops.scan(lambda s, x, w: ([ops.add(s[0], h)], []), [h], [x])
    with pytest.raises(ShapeError, match="number of steps must be given"):
        ops.scan(lambda s, x, w: ([s[0]], []), [h])
    following = ops.add(parameter(0, (3,), float32), parameter(1, (3,), float32))
    sources = [ops.input((4,), float32), ops.input((3,), float32)]
    with pytest.raises(ShapeError, match=r"reads source 0 as float32 \(3,\), it is float32 \(4,\)"):
        result(Loop((following,), 1, 2, False), sources, 0)
