"""Compiled functions: recorded once, replayed on the current values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.tensor import programs, trace
from glubina.tensor.errors import TraceError

NATIVE = programs.backend() == "native"


def make(seed: int) -> tuple[Any, Any, Any, list[int]]:
    """A training step with momentum and a random mask; parameters, velocity, recordings."""
    gl.manual_seed(seed)
    w = gl.randn(3, 2, requires_grad=True)
    v = gl.zeros(3, 2).realise()
    count: list[int] = []

    def step(x: Any) -> Any:
        count.append(1)
        w.grad = None
        loss = ((x @ w).tanh() * gl.rand(4, 2) + gl.randn(4, 2)).sum()
        loss.backward()
        with gl.no_grad():
            v.mul_(0.9).add_(w.grad)
            w.sub_(v * 0.1)
        return loss

    return step, w, v, count


def test_a_compiled_step_equals_the_loop() -> None:
    x = gl.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))
    step, w, _, count = make(3)
    expected = [step(x).item() for _ in range(5)]
    final = w.numpy()
    step, w2, _, count = make(3)
    compiled = gl.compile(step)
    found = [compiled(x).item() for _ in range(5)]
    assert len(count) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(w2.numpy(), final, rtol=1e-5)
    assert w2.is_leaf
    assert w2.requires_grad
    assert w2.grad is None
    # the draws go on where the compiled function left off
    state = gl.default_generator.get_state()
    assert state[1] == 2 + 5 * 3


def test_recorded_anew_for_other_shapes_and_numbers_only() -> None:
    count = []

    @gl.compile
    def scaled(x: Any, factor: float = 1.0, *, shift: Any = None) -> Any:
        count.append(1)
        return x * factor if shift is None else x * factor + shift["by"]

    for n in (3, 4, 3, 4):
        assert scaled(gl.ones(n), 2.0).tolist() == [2.0] * n
    assert len(count) == 2
    assert scaled(np.ones(3, np.float32), 2.0).tolist() == [2, 2, 2]
    assert len(count) == 2
    assert scaled(gl.ones(3), 3.0).tolist() == [3, 3, 3]
    assert scaled(gl.ones(3), 1.0, shift={"by": gl.ones(3)}).tolist() == [2, 2, 2]
    assert scaled(gl.ones(3), 1.0, shift={"by": gl.full(3, 4.0)}).tolist() == [5, 5, 5]
    assert len(count) == 4
    assert scaled.__name__ == "scaled"


def test_results_have_the_form_that_was_returned() -> None:
    @gl.compile
    def function(x: Any) -> Any:
        return {"a": [x + 1, (x * 2, 7)], "b": None}

    found = function(gl.tensor(1.0))
    assert found["a"][0].item() == 2
    assert found["a"][1][0].item() == 2
    assert found["a"][1][1] == 7
    assert found["b"] is None


def test_current_values_are_read_and_written() -> None:
    state = gl.zeros(2)

    @gl.compile
    def add(x: Any) -> Any:
        state.add_(x)
        return state * 1

    held = add(gl.ones(2))
    assert held.tolist() == [1, 1]
    state.fill_(10)
    assert add(gl.ones(2)).tolist() == [11, 11]
    state.data = gl.tensor([1.0, 2.0])
    view = state.numpy(copy=False)
    assert add(gl.ones(2)).tolist() == [2, 3]
    assert view.tolist() == [1, 2]
    assert held.tolist() == [1, 1]
    address = state._cell.value().buffer.address
    add(gl.ones(2))
    assert (state._cell.value().buffer.address == address) == NATIVE
    state.sub_(1)
    pending = state * 5
    add(gl.ones(2))
    assert pending.tolist() == [10, 15]
    assert state.tolist() == [3, 4]


def test_arguments_can_be_changed() -> None:
    @gl.compile
    def double(x: Any) -> None:
        x.mul_(2)

    x = gl.ones(3)
    double(x)
    double(x)
    assert x.tolist() == [4, 4, 4]


def test_gradients_of_a_function_that_only_accumulates() -> None:
    w = gl.tensor([1.0, 2.0], requires_grad=True)

    @gl.compile
    def accumulate(x: Any) -> Any:
        loss = (w * x).sum()
        loss.backward()
        return loss

    for n in range(1, 5):
        accumulate(gl.tensor([1.0, 10.0]))
        assert w.grad.tolist() == [n, 10 * n]
    w.grad = None
    accumulate(gl.tensor([1.0, 10.0]))
    assert w.grad.tolist() == [1, 10]


def test_gradients_are_kept_on_request() -> None:
    w = gl.tensor([1.0, 2.0], requires_grad=True)

    def step(x: Any) -> None:
        w.grad = None
        (w * x).sum().backward()
        with gl.no_grad():
            w.sub_(w.grad)

    kept = gl.compile(step, keep_gradients=True)
    kept(gl.tensor([0.5, 0.25]))
    kept(gl.tensor([0.25, 0.25]))
    assert w.tolist() == [0.25, 1.5]
    assert w.grad.tolist() == [0.25, 0.25]


def test_two_updates_in_one_function() -> None:
    start = np.array([1.0, -2.0])
    w = gl.tensor(start, requires_grad=True)

    @gl.compile
    def twice() -> None:
        for _ in range(2):
            w.grad = None
            (w**2 * gl.tensor([1.0, 0.5], "float64")).sum().backward()
            with gl.no_grad():
                w.sub_(0.1 * w.grad)

    twice()
    np.testing.assert_allclose(w.numpy(), start * [0.8**2, 0.9**2])


def test_run_many() -> None:
    def make_counter() -> tuple[Any, Any]:
        gl.manual_seed(1)
        state, noise = gl.zeros(3).realise(), gl.zeros(3).realise()
        last = gl.zeros(3)  # written in each step and never read

        @gl.compile
        def step() -> Any:
            state.add_(1)
            noise.add_(gl.rand(3))
            last.copy_(noise * 2)
            return state * 10

        return step, noise

    step, noise = make_counter()
    assert step.run_many(1000).tolist() == [10000] * 3
    total = noise.numpy()
    step, noise = make_counter()
    for _ in range(1000):
        step()
    np.testing.assert_array_equal(noise.numpy(), total)
    assert gl.default_generator.get_state()[1] == 1000
    with pytest.raises(ValueError, match="at least 1"):
        step.run_many(0)


def test_guards_and_callbacks() -> None:
    settings = {"training": True, "rate": 0.5}
    rate = gl.tensor(0.5)
    count = []

    def refresh() -> None:
        rate.fill_(settings["rate"]).realise()

    @gl.compile
    def function(x: Any) -> Any:
        count.append(1)
        trace.guard(lambda: settings["training"])
        trace.on_replay(refresh)
        return x * rate if settings["training"] else x

    x = gl.ones(2)
    assert function(x).tolist() == [0.5, 0.5]
    settings["rate"] = 0.25
    assert function(x).tolist() == [0.25, 0.25]
    assert len(count) == 1
    settings["training"] = False
    assert function(x).tolist() == [1, 1]
    settings["training"] = True
    assert function(x).tolist() == [0.25, 0.25]
    assert len(count) == 2


def test_what_is_made_outside_is_made_once() -> None:
    made: list[Any] = []

    @gl.compile
    def function(x: Any) -> Any:
        if not made:
            with trace.outside():
                assert not trace.is_recording()
                made.append(gl.randn(2, requires_grad=True))
        assert trace.is_recording()
        return x * made[0]

    first = function(gl.ones(2)).tolist()
    assert made[0].tolist() == first
    assert function(gl.ones(2)).tolist() == first


def test_values_cannot_be_asked_for_while_recording() -> None:
    outside = gl.tensor([1.0, 2.0])

    def read_argument(x: Any) -> Any:
        return x * x.item()

    def decide(x: Any) -> Any:
        return x if (x > 0).all() else -x

    def read_state(x: Any) -> Any:
        return x * float((outside * x).sum())

    def read_constant(x: Any) -> Any:
        return x * outside[1].item()

    for function in (read_argument, decide, read_state, read_constant):
        with pytest.raises(TraceError, match="where"):
            gl.compile(function)(gl.ones(1))
    assert "shape=(1,)" in repr_while_recording()
    own = gl.compile(lambda x: x * gl.tensor([2.0, 3.0])[0].item() + gl.ones(2).sum().item())
    assert own(gl.ones(1)).tolist() == [4]
    with pytest.raises(TraceError, match="bytearray"):
        gl.compile(lambda x: x)(bytearray(3))


def repr_while_recording() -> str:
    texts = []
    gl.compile(lambda x: texts.append(repr(x)))(gl.ones(1))
    return texts[0]


def test_derivatives_by_arguments() -> None:
    both = gl.compile(gl.value_and_grad(lambda x: (x**2).sum()))
    value, slope = both(gl.tensor([1.0, 3.0]))
    assert (value.item(), slope.tolist()) == (10, [2, 6])
    x = gl.tensor([1.0], requires_grad=True)
    with pytest.raises(TraceError, match="value_and_grad"):
        gl.compile(lambda x: (x**2).sum().backward())(x)


def test_an_error_while_recording_changes_nothing() -> None:
    w = gl.tensor([1.0], requires_grad=True)

    @gl.compile
    def broken() -> None:
        (w * 2).sum().backward()
        with gl.no_grad():
            w.add_(1)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        broken()
    assert w.tolist() == [1]
    assert w.grad is None
    assert not trace.is_recording()


def test_a_compiled_function_inside_another_and_as_a_method() -> None:
    class Model:
        def __init__(self) -> None:
            self.w = gl.tensor(3.0)

        @gl.compile
        def forward(self, x: Any) -> Any:
            return x * self.w

    model = Model()
    outer = gl.compile(lambda x: model.forward(x) + 1)
    assert outer(gl.tensor(2.0)).item() == 7
    assert model.forward(gl.tensor(2.0)).item() == 6
    model.w.fill_(4)
    assert outer(gl.tensor(2.0)).item() == 9


def test_functions_that_are_recorded_again_and_again_are_warned_about() -> None:
    function = gl.compile(lambda x, n: x * n)
    for n in range(7):
        function(gl.ones(1), float(n + 3))
    with pytest.warns(RuntimeWarning, match="recorded 8 times"):
        function(gl.ones(1), 2.5)


def test_an_index_error_in_a_compiled_function_keeps_the_state() -> None:
    table = gl.tensor(np.ones((10, 4), np.float32))

    @gl.compile
    def update(rows: Any) -> None:
        table.add_(gl.take(table, rows, 0).sum())

    with pytest.raises(gl.errors.IndexRangeError, match="12"):
        update(gl.tensor([1, 12]))
    np.testing.assert_array_equal(table.numpy(), np.ones((10, 4)))
    update(gl.tensor([1, 2]))
    np.testing.assert_array_equal(table.numpy(), np.full((10, 4), 9))


def test_one_tensor_as_two_arguments_is_one_inside() -> None:
    def both(a: gl.Tensor, b: gl.Tensor) -> gl.Tensor:
        a.add_(1.0)
        return a * b

    compiled = gl.compile(both)
    x, y = gl.ones(20_000), gl.ones(20_000)
    assert compiled(x, y).numpy()[0] == 2.0
    assert compiled(x, x).numpy()[0] == 9.0
    assert x.numpy()[0] == 3.0
    assert compiled(x, y).numpy()[0] == 4.0


def test_an_argument_that_is_known_from_outside_and_changed_is_refused() -> None:
    state = gl.ones(20_000)

    @gl.compile
    def step(x: gl.Tensor) -> gl.Tensor:
        state.add_(1.0)
        return x + state

    assert step(gl.ones(20_000)).numpy()[0] == 3.0
    with pytest.raises(TraceError, match="also knows from outside"):
        step(state)
    assert state.numpy()[0] == 2.0


def test_a_copy_is_another_tensor_than_its_source() -> None:
    """Also for a function that was recorded while both had one value."""
    w = gl.tensor([1.0, 2.0], requires_grad=True)
    for source in (gl.tensor([1.0, 2.0]), w):
        copy = gl.zeros(2)
        with gl.no_grad():
            copy.copy_(source)
            copies = [copy, source.clone(), source.reshape((2,)), source.detach().clone()]
        both = gl.compile(lambda s=source, c=copies: (s * 2.0, *[copy * 3.0 for copy in c]))
        both()
        with gl.no_grad():
            source.fill_(5.0)
        doubled, *tripled = both()
        np.testing.assert_array_equal(doubled.numpy(), [10, 10])
        for value in tripled:
            np.testing.assert_array_equal(value.numpy(), [3, 6])


def test_what_a_recording_left_behind_disturbs_nobody() -> None:
    """It has no value and never will; what others ask for later is worked out without it."""
    left: list[Any] = []

    @gl.compile
    def leaves(x: Any) -> Any:
        left.append(x * 2)
        return x + 1

    x = gl.ones((300, 300))
    assert leaves(x).numpy()[0, 0] == 2
    assert gl.compile(lambda x: x * 3)(x).numpy()[0, 0] == 3
    assert (x + 4).numpy()[0, 0] == 5
    with pytest.raises(TraceError, match="there is none"):
        left[0].numpy()


def test_a_recording_holds_no_old_values() -> None:
    """What is updated is overwritten from the first run on, and nothing keeps the first values."""
    from glubina.runtime.buffer import Buffer

    weight = gl.tensor(np.ones((300, 300), np.float32))

    @gl.compile
    def step() -> None:
        weight.copy_(weight * 1.5 + 1)

    leaf = weight._cell.value()
    assert leaf is not None
    assert isinstance(leaf.buffer, Buffer)
    address = leaf.buffer.address
    del leaf
    step()
    assert weight._cell.value().buffer.address == address  # type: ignore[union-attr]
    assert (weight.numpy() == 2.5).all()
