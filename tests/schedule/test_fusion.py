"""What runs together: the kernels of well-known pieces of a network; groups never block."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from emulator import emulate, inside
from hypothesis import given
from hypothesis import strategies as st
from networks import Network, adam, cross_entropy
from strategies import F32, F64, I64, steady

from glubina.graph import GraphError, Node, expand, interpret, ops, simplify, topological
from glubina.schedule.fuse import MOST_OUTPUTS, MOST_SUMS, sorted_kernels
from glubina.schedule.kernel import Kernel
from glubina.schedule.plan import Schedule, labels, schedule
from glubina.schedule.units import Units


def plan_of(*outputs: Node) -> Schedule:
    """The schedule of simplified outputs, checked by emulation on random numbers."""
    graph = simplify(expand(list(outputs)))
    inputs = [n for n in topological(graph) if n.op.name == "input"]
    random = np.random.default_rng(1)
    bindings = {n: random.random(n.shape).astype(n.dtype) for n in inputs}
    plan = schedule(graph, inputs, [-1] * len(graph))
    for found, want in zip(emulate(plan, bindings), interpret(graph, bindings), strict=True):
        np.testing.assert_array_equal(found.reshape(want.shape), want)
    return plan


def kinds(plan: Schedule) -> list[str]:
    return [kernel.kind for kernel in plan.kernels]


def leaf(*shape: int, dtype: np.dtype = F64) -> Node:
    return ops.input(shape, dtype)


X, W, B = leaf(6, 5), leaf(4, 5), leaf(4)


def linear(x: Node) -> Node:
    y = ops.matmul(x, ops.swap_last(W))
    return ops.add(y, ops.broadcast(B, y.shape))


def test_an_element_wise_chain_is_one_kernel() -> None:
    plan = plan_of(ops.tanh(ops.multiply(ops.add(X, X), ops.exp(X))))
    assert kinds(plan) == ["map"]
    assert plan.kernels[0].inputs == (X,)


def test_several_element_wise_outputs_over_the_same_data_are_one_kernel() -> None:
    plan = plan_of(ops.exp(X), ops.tanh(X), ops.negative(ops.exp(X)))
    assert [len(k.outputs) for k in plan.kernels] == [3]


def test_unrelated_element_wise_outputs_stay_apart() -> None:
    assert len(plan_of(ops.exp(leaf(6, 5)), ops.exp(leaf(6, 5))).kernels) == 2


def test_one_kernel_does_not_write_too_many_arrays() -> None:
    scaled = [ops.multiply(X, ops.full_like(X, i)) for i in range(2, 2 + 2 * MOST_OUTPUTS)]
    plan = plan_of(*scaled)
    assert max(len(k.outputs) for k in plan.kernels) <= MOST_OUTPUTS
    assert len(plan.kernels) == 2


def test_movement_costs_no_kernel_of_its_own() -> None:
    moved = ops.flip(ops.transpose(ops.pad(X, (1, 0), (0, 2)), (1, 0)), (0,))
    assert kinds(plan_of(ops.exp(ops.concat([moved, moved], 1)))) == ["map"]


def test_bias_and_activation_run_at_the_end_of_the_product() -> None:
    plan = plan_of(ops.relu(linear(X)))
    assert kinds(plan) == ["matmul"]
    assert plan.kernels[0].outputs[0].op.name == "relu"


def test_the_first_factor_is_not_copied_to_be_turned() -> None:
    plan = plan_of(ops.matmul(ops.swap_last(X), ops.reshape(X, (6, 5))))
    assert kinds(plan) == ["matmul"]
    assert plan.kernels[0].inputs == (X,)


def test_a_factor_that_is_worked_out_is_stored_first() -> None:
    assert kinds(plan_of(ops.matmul(ops.tanh(X), ops.swap_last(W)))) == ["map", "matmul"]


def test_two_layers_are_two_kernels() -> None:
    second = leaf(3, 4)
    hidden = ops.relu(linear(X))
    assert kinds(plan_of(ops.tanh(ops.matmul(hidden, ops.swap_last(second))))) == ["matmul"] * 2


def test_an_update_runs_at_the_end_of_its_gradient() -> None:
    loss = ops.sum(ops.tanh(linear(X)), (0, 1))
    slope = ops.gradient(loss, W)
    plan = plan_of(ops.subtract(W, ops.multiply(slope, ops.full_like(W, 0.1))))
    assert plan.kernels[-1].kind == "matmul"
    assert plan.kernels[-1].outputs == plan.results


def test_reductions_over_the_same_data_share_a_kernel() -> None:
    y = ops.exp(X)
    plan = plan_of(ops.sum(y, (0,)), ops.sum(ops.multiply(y, y), (0,)), ops.max(X, (0,)))
    assert kinds(plan) == ["reduce"]
    assert len(plan.kernels[0].anchors) == 3


def test_one_kernel_does_not_make_too_many_sums() -> None:
    chain = [leaf(6, 5) for _ in range(5)]
    products = [ops.multiply(a, b) for a, b in itertools.pairwise(chain)]
    sums = [ops.sum(x, (0,)) for x in [*chain, *products]]
    plan = plan_of(*sums)
    assert sum(len(kernel.anchors) for kernel in plan.kernels) == len(sums)
    assert max(len(kernel.anchors) for kernel in plan.kernels) == MOST_SUMS


def test_reductions_that_need_each_other_do_not_share() -> None:
    mean = ops.sum(X, (0,))
    spread = ops.subtract(X, ops.restored(mean, (0,), X.shape))
    assert kinds(plan_of(ops.sum(ops.multiply(spread, spread), (0,)))) == ["reduce", "reduce"]


def test_softmax_is_three_kernels() -> None:
    largest = ops.restored(ops.max(X, (1,)), (1,), X.shape)
    powers = ops.exp(ops.subtract(X, largest))
    total = ops.restored(ops.sum(powers, (1,)), (1,), X.shape)
    assert len(plan_of(ops.divide(powers, total)).kernels) <= 4


def test_a_convolution_takes_its_bias_and_activation_and_pooling_its_index() -> None:
    image, w, bias = leaf(2, 6, 6, 3), leaf(3, 3, 3, 4), leaf(4)
    geometry = ops.ConvAttributes((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    y = ops.conv(image, w, geometry)
    y = ops.relu(ops.add(y, ops.broadcast(bias, y.shape)))
    pool = ops.WindowAttributes((2, 2), (2, 2), ((0, 0), (0, 0)))
    plan = plan_of(ops.pool_max(y, pool), ops.pool_index(y, pool))
    assert kinds(plan) == ["conv", "window"]
    assert len(plan.kernels[1].anchors) == 2


def test_what_branches_after_a_product_and_meets_again_is_stored_once_finished() -> None:
    x, w, y = leaf(8, 4), leaf(4, 6), leaf(8, 6)
    product = ops.matmul(x, w)
    zero, six = ops.full_like(y, 0), ops.full_like(y, 6)
    below, above = ops.less(y, six), ops.less(zero, y)
    g = ops.add(ops.where(below, product, zero), ops.where(above, ops.multiply(product, y), zero))
    sums = [ops.sum(g, (0,)), ops.sum(ops.multiply(g, y), (0,))]
    plan = plan_of(*sums)
    assert kinds(plan) == ["matmul", "reduce"]
    assert plan.kernels[0].outputs == (sums[0].sources[0],)


def test_random_numbers_are_drawn_once_for_a_product() -> None:
    """A contraction does not draw them between its products; what is kept is the small mask."""
    net = Undrawn(F64)
    plan = plan_of(ops.matmul(net.dropout(X, 0.5), ops.swap_last(W)))
    assert [k.kind for k in drawing(plan)] == ["map"]
    plan = plan_of(net.dropout(ops.relu(linear(X)), 0.5))
    assert [o.dtype.name for k in drawing(plan) for o in k.outputs] == ["bool"]


def drawing(plan: Schedule) -> list[Kernel]:
    """The kernels that work out random numbers."""
    return [k for k in plan.kernels if any(n.op.family == "random" for n in inside(k))]


def shifted(x: Node, by: int) -> Node:
    """The elements moved along by so many places, zeros from the left."""
    zeros = ops.full_like(ops.slice(x, (0,), (by,), (1,)), 0)
    return ops.concat([zeros, ops.slice(x, (0,), (x.size - by,), (1,))], 0)


@pytest.mark.parametrize("step", [lambda k: 1 << k, lambda k: 1])
def test_chains_of_shifts_are_stored_now_and_then(step: Callable[[int], int]) -> None:
    """Every x + shifted x doubles what an element needs; the code must not grow with it."""
    x = leaf(512)
    for k in range(9):
        x = ops.add(x, shifted(x, step(k)))
    plan = plan_of(x)
    assert 2 <= len(plan.kernels) <= 9
    assert all(len(inside(k)) < 40 for k in plan.kernels)


def test_groups_that_depend_on_each_other_through_a_shared_kernel_stay_apart() -> None:
    """The two sums share a kernel; `quotient` needs one of them and the other needs `largest`."""
    x = leaf(2, 4)
    powers = ops.exp(x)
    largest = ops.equal(x, ops.full_like(x, 0.5))
    total, count = ops.sum(powers, (1,)), ops.sum(ops.cast(largest, F64), (1,))
    quotient = ops.divide(powers, ops.restored(total, (1,), x.shape))
    plan_of(quotient, largest, count)
    plan_of(largest, quotient, count, ops.add(total, count))


def test_kernels_in_a_circle_are_an_error_not_an_endless_loop() -> None:
    a, b = ops.exp(X), ops.tanh(X)
    circle = [Kernel("map", (), (b,), (a,), X.shape), Kernel("map", (), (a,), (b,), X.shape)]
    with pytest.raises(GraphError, match="need each other"):
        sorted_kernels(circle)


def test_labels_name_anchors_then_what_follows() -> None:
    plan = plan_of(ops.relu(linear(X)), ops.sum(X, (0, 1)), X)
    assert labels(plan.kernels) == ["matmul+add+relu 6x4", "sum scalar", "copy 6x5"]


class Undrawn(Network):
    """A network whose inputs have no arrays: enough to look at its kernels."""

    def __init__(self, dtype: np.dtype) -> None:
        super().__init__(lambda strategy: np.zeros(2), dtype)

    def parameter(self, *shape: int) -> Node:
        self.parameters.append(ops.input(shape, self.dtype))
        return self.parameters[-1]

    def state(self, shape: tuple[int, ...], low: float = 0, high: float = 0) -> Node:
        return ops.input(shape, self.dtype)


def deep_network(layers: int) -> list[Node]:
    """A step of a perceptron with many layers and Adam: the loss and all updates."""
    net = Undrawn(F32)
    x = ops.input((8, 16), F32)
    for _ in range(layers):
        x = ops.relu(net.linear(x, 16))
    loss = cross_entropy(net, x, ops.input((8,), I64))
    return [loss, *[new for w in net.parameters for new, _ in adam(net, w, ops.gradient(loss, w))]]


def test_a_deep_network_has_a_few_kernels_per_layer() -> None:
    graph = simplify(expand(deep_network(60)))
    inputs = [n for n in topological(graph) if n.op.name == "input"]
    plan = schedule(graph, inputs, [-1] * len(graph))
    assert len(plan.results) == 1 + 3 * 2 * 60
    assert len(plan.kernels) <= 4 * 60 + 8


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=3, max_size=25),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=15),
)
@steady(60)
def test_units_stay_free_of_circles(
    edges: list[tuple[int, int]], joins: list[tuple[int, int]]
) -> None:
    """After joins that `may_join` allows, the units can still be put in an order."""
    nodes = [leaf(2), leaf(2)]
    for i, j in edges:
        nodes.append(ops.add(nodes[i % len(nodes)], nodes[j % len(nodes)]))
    order = topological(nodes)
    units = Units(order)
    for i, j in joins:
        a, b = order[i % len(order)], order[j % len(order)]
        if units.of(a) != units.of(b) and units.may_join(units.of(a), b):
            units.join(units.of(a), units.of(b))
    closure: dict[int, set[int]] = {units.of(node): set() for node in order}
    for node in order:
        own = units.of(node)
        closure[own] |= {units.of(s) for s in node.sources} - {own}
    for middle in closure:
        for direct in closure.values():
            if middle in direct:
                direct |= closure[middle]
    assert all(own not in reach for own, reach in closure.items()), "a circle"
    for a in closure:
        for b in closure:
            assert a == b or units.needs(a, b) == (b in closure[a])
