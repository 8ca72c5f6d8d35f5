"""What an explanation finds: names, kinds, layers, lines; and what it refuses."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glubina as gl
from glubina import explain, nn
from glubina.explain import ExplainError
from glubina.explain.expressions import evaluate


class Twice(nn.Module):
    """Calls one layer twice."""

    def __init__(self) -> None:
        self.layer = nn.Linear(3, 3)

    def forward(self, x: gl.Tensor) -> gl.Tensor:
        """The layer on its own result."""
        h = self.layer(x)
        return self.layer(h)


def test_contributions_add_up_to_the_derivative() -> None:
    x = gl.tensor(np.array([0.3, -1.2, 2.0]), requires_grad=True)
    y = (gl.tanh(x) * x + gl.exp(-x) / (1 + x * x)).sum()
    for vertex in gl.explain(y).nodes:
        if vertex.outgoing:
            parts = [edge.contribution for edge in vertex.outgoing]
            assert vertex.derivative is not None
            np.testing.assert_allclose(sum(parts), vertex.derivative, rtol=1e-12)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(["+", "*", "tanh", "square", "exp"]), min_size=1, max_size=8))
def test_random_expressions_agree_with_backward(operations: list[str]) -> None:
    a = gl.tensor(np.float64(0.4), requires_grad=True)
    b = gl.tensor(np.float64(-0.3), requires_grad=True)
    y = a
    for operation in operations:
        if operation == "+":
            y = y + b
        elif operation == "*":
            y = y * b
        elif operation == "square":
            y = y * y
        else:
            y = getattr(gl, operation)(y)
    e = gl.explain(y)
    y.backward()
    assert a.grad is not None
    np.testing.assert_allclose(e[a].derivative, a.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(e.paths(a).total, a.grad.numpy(), rtol=1e-12)


def test_lines_and_layers_are_known_of_functions() -> None:
    network = Twice()
    e = explain.explain(network, gl.tensor(np.ones((2, 3), np.float32)))
    calls = [v for v in e.nodes if v.module == "layer"]
    assert len(calls) == 2
    assert calls[0].name == "h"
    origin = calls[0].origin
    assert origin is not None
    assert origin.user is not None
    assert origin.user.file == __file__
    assert origin.user.function == "Twice.forward"
    assert origin.library is not None
    assert origin.library.file.endswith("linear.py")
    assert "layer.weight" in {v.name for v in e.nodes if v.kind == "parameter"}


def test_depth_collapses_layers_and_keeps_two_calls_apart() -> None:
    from glubina.explain.view import view

    e = gl.explain(Twice(), gl.tensor(np.ones((2, 3), np.float32)))
    titles = [box.title for box in view(e, 1).boxes]
    assert titles.count("layer Linear") == 2
    assert len(view(e).boxes) == len(e.nodes)


def test_names_are_taken_from_what_the_caller_sees_and_can_be_given() -> None:
    a, b = (gl.tensor(np.float64(v), requires_grad=True) for v in (2, 3))
    product = a * b
    assert [v.name for v in gl.explain(product).nodes] == ["a", "b", "product"]
    e = gl.explain(product, names={"alpha": a, "area": product})
    assert [v.name for v in e.nodes] == ["alpha", "b", "area"]


def test_vertices_are_found_by_name_number_and_tensor() -> None:
    a = gl.tensor(np.float64(2), requires_grad=True)
    square = a * a
    e = gl.explain(square)
    assert e["a"] is e[1] is e[a]
    assert e[square] is e.output
    with pytest.raises(ExplainError, match="'b' is no part of this computation; there are a"):
        e["b"]


def test_vertices_stand_for_themselves_in_their_own_computation() -> None:
    w = gl.tensor(2.0, requires_grad=True)
    found, other = gl.explain(w * w + 3 * w), gl.explain(w * w)
    assert found.derivation(found.nodes[0]).value == 7
    assert found[found.output] is found.output
    for ask in (found.derivation, found.paths):
        with pytest.raises(ExplainError, match="is no part of this computation"):
            ask(other.output)


def test_whole_numbers_have_no_derivative() -> None:
    table = gl.tensor(np.ones((4, 2), np.float32), requires_grad=True)
    rows = gl.tensor(np.array([1, 3]))
    y = gl.take(table, rows, axis=0).sum()
    e = gl.explain(y)
    assert e["rows"].derivative is None
    assert e["rows"].outgoing[0].formula == ""
    with pytest.raises(ExplainError, match="rows is int64: there is no derivative by it"):
        e.derivation("rows")


def test_paths_between_single_elements() -> None:
    w = gl.tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    x = gl.tensor(np.array([[5.0, 6.0]]))
    v = x @ w
    influences = explain.paths(w, v, source_index=(1, 0), target_index=(0, 0))
    assert influences.total == 6
    assert influences
    none = explain.paths(w, v, source_index=(1, 1), target_index=(0, 0))
    assert none.total == 0
    assert not none
    with pytest.raises(ExplainError, match=r"w has the shape \(2, 2\): no element \(2, 0\)"):
        explain.paths(w, v, source_index=(2, 0))


def test_no_path_is_said_in_words() -> None:
    a, b = (gl.tensor(np.float64(v), requires_grad=True) for v in (2, 3))
    left = a * 2
    both = left * b
    e = gl.explain(both)
    assert str(e.paths(b, left)) == "b does not influence left: there is no path"
    assert not e.paths(b, left)


def test_too_many_paths_are_counted_not_listed() -> None:
    x = gl.tensor(np.float64(1.001), requires_grad=True)
    y = x
    for _ in range(12):
        y = gl.sin(y) + gl.cos(y)
    with pytest.raises(ExplainError, match="there are 4,096 paths from x to y"):
        gl.explain(y).paths(x)


def test_what_cannot_be_explained_is_refused() -> None:
    with pytest.raises(ExplainError, match="this tensor is a mere value"):
        gl.explain(gl.tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="explain takes a tensor, a function or a network, not 3"):
        gl.explain(3)  # type: ignore[arg-type]
    with pytest.raises(ExplainError, match="the function gave int; it should give a tensor"):
        gl.explain(lambda: 3)
    with pytest.raises(TypeError, match="only a function or a network takes further arguments"):
        gl.explain(gl.tensor(1.0) * 2, 3)


def test_derivation_writes_the_chain_rule_and_checks_it() -> None:
    w1, w2 = (gl.tensor(np.float32(v), requires_grad=True) for v in (2, 3))
    Q = w1**2 * w2**2
    found = gl.explain(Q).derivation(w1)
    assert found.lines == (
        "∂Q/∂w1 = ∂Q/∂v1 · ∂v1/∂w1",
        "  = v2 · 2·w1",
        "  = 9 · 4",
        "  = 36",
    )
    assert r"\frac{\partial Q}{\partial v_{1}} \cdot \frac{\partial v_{1}}{\partial w_{1}}" in (
        found.latex
    )
    assert abs(found.difference - 36) < 1e-6
    assert "check: 36 by the chain rule, 36 by a difference" in str(found)


def test_derivation_of_a_weight_matrix_goes_back_layer_by_layer() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = gl.tensor(np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))
    loss = (network(x) ** 2).mean()
    found = gl.explain(loss).derivation("0.weight")
    assert found.lines[0] == "δ(loss) = ∂loss/∂loss = 1"
    assert any("[0 < v2]·δ(v2)" in line for line in found.lines)
    assert found.lines[-1].startswith("∂loss/∂0.weight = δ(v1)ᵀ x")
    assert abs(found.difference - found.value[found.index]) < 1e-5 * abs(found.difference) + 1e-7
    with pytest.raises(ValueError, match="read-only"):
        found.value[found.index] = 0  # a picture cannot change the numbers


def test_large_computations_run_as_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from glubina.explain import computation

    x = gl.tensor(np.random.default_rng(0).standard_normal((8, 8)), requires_grad=True)
    y = (gl.tanh(x @ x) ** 2).sum()
    plain = gl.explain(y)
    expected = plain.values, plain.derivatives
    monkeypatch.setattr(computation, "_MUCH", 0)
    native = gl.explain(y)
    for found, known in zip((native.values, native.derivatives), expected, strict=True):
        for node, value in known.items():
            np.testing.assert_allclose(found[node], value, rtol=1e-12)


def test_second_derivatives_are_explained() -> None:
    x = gl.tensor(np.float64(1.5), requires_grad=True)
    (x**3).backward(create_graph=True)
    assert x.grad is not None
    e = gl.explain(x.grad)
    np.testing.assert_allclose(e.output.value, 3 * 1.5**2)
    np.testing.assert_allclose(e[x].derivative, 6 * 1.5)


class Square(gl.Function):
    """x² with a hand-written derivative."""

    @staticmethod
    def forward(ctx: Any, x: gl.Tensor) -> gl.Tensor:
        """The value."""
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, grad: gl.Tensor) -> gl.Tensor:
        """2 x δ"""
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Dense(nn.Manual):
    """A layer by hand, with tensors or with NumPy."""

    def __init__(self) -> None:
        self.w = nn.Parameter(np.arange(6, dtype=np.float32).reshape(3, 2))

    def forward(self, x: Any) -> Any:
        """x w"""
        self.x = x
        return x @ self.w

    def backward(self, grad: Any) -> Any:
        """δ wᵀ, and xᵀ δ for the weight."""
        self.w.grad += self.x.T @ grad
        return grad @ self.w.T


class DenseInNumPy(Dense):
    """The same on arrays."""

    numpy = True


def test_a_hand_written_function_is_one_vertex_with_its_own_derivative() -> None:
    w = gl.tensor(np.array([1.0, -2.0]), requires_grad=True)
    e = gl.explain(Square.apply(w).sum())
    assert e["v1"].formula == "Square(w)"
    (edge,) = e["w"].outgoing
    np.testing.assert_array_equal(edge.contribution, [2, -4])
    np.testing.assert_array_equal(e["w"].derivative, [2, -4])
    assert "by a difference" in str(e.derivation(w))
    assert "Square" in e.svg()


@pytest.mark.parametrize("kind", [Dense, DenseInNumPy])
def test_hand_written_layers_are_explained(kind: type[Dense]) -> None:
    x = gl.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), requires_grad=True)
    layer = kind()
    e = gl.explain(layer(2 * x).sum())
    assert [v.operation for v in e.nodes if v.kind == "operation"][1] == kind.__name__
    for vertex in (e[x], e[layer.w]):
        parts = [edge.contribution for edge in vertex.outgoing]
        np.testing.assert_allclose(sum(parts), vertex.derivative)  # type: ignore[arg-type]
    assert e[x].derivative is not None
    np.testing.assert_allclose(e[x].derivative, 2 * np.ones((2, 2)) @ layer.w.numpy().T)
    check = str(e.derivation(x)).splitlines()[-1]
    assert check.startswith("not checked" if kind is DenseInNumPy else "check")


def test_a_vertex_is_found_by_itself() -> None:
    w = gl.tensor(2.0, requires_grad=True)
    e = gl.explain(w**2)
    assert e[e.nodes[0]] is e.nodes[0]
    assert str(e.derivation(e.nodes[0])) == str(e.derivation("w"))
    with pytest.raises(ExplainError, match="no part of this computation"):
        e[gl.explain(w**2).nodes[0]]


def test_gradients_and_compiled_functions_are_explained() -> None:
    w = gl.tensor(2.0, requires_grad=True)
    (w**3).backward()
    assert w.grad is not None
    assert gl.explain(w.grad).output.value == 12

    @gl.compile
    def cube(x: gl.Tensor) -> gl.Tensor:
        return x**3

    assert gl.explain(cube, w)[w].derivative == 12


def test_looking_leaves_statistics_and_chance_alone() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    x = gl.tensor(np.arange(12, dtype=np.float32).reshape(4, 3))
    before = [b.numpy() for b in network.buffers()]
    gl.manual_seed(3)
    expected = gl.randn(3).numpy()
    gl.manual_seed(3)
    gl.explain(network, x).svg()
    gl.explain(lambda x: network(x).sum(), x).svg()
    for old, now in zip(before, network.buffers(), strict=True):
        np.testing.assert_array_equal(old, now.numpy())
    np.testing.assert_array_equal(gl.randn(3).numpy(), expected)


def test_leaves_whose_values_are_still_pending() -> None:
    held = gl.ones(3, requires_grad=True)
    with gl.no_grad():
        held.add_(1)
    found = gl.explain((held * held).sum())
    assert found["held"].value.tolist() == [2, 2, 2]
    assert found["held"].derivative.tolist() == [4, 4, 4]  # type: ignore[union-attr]
    dropped = gl.explain(gl.zeros((2, 3), requires_grad=True).sum())
    assert dropped.output.value == 0
    assert "check" in str(found.derivation("held"))
    with pytest.raises(ExplainError, match=r"has the shape \(0, 3\): no element"):
        gl.explain(gl.zeros((0, 3), requires_grad=True).sum()).derivation(1)


@pytest.mark.parametrize("formula", ["x * 9**9**9", "x + 1/0", "x + (-1)**0.5"])
def test_numbers_that_cannot_be_worked_out_are_an_error_at_once(formula: str) -> None:
    with pytest.raises(ExplainError, match="cannot be worked out"):
        evaluate(formula, {"x": "2"})
    assert evaluate("x * 3**2", {"x": "2"})[0].item() == 18


def test_ladder_refuses_what_it_cannot_run() -> None:
    with pytest.raises(TypeError, match="takes a function of tensors, not 3"):
        explain.ladder(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="repeats must be a whole number of at least 1, got 0"):
        explain.ladder(lambda x: x, gl.ones(2), repeats=0)


def test_what_is_made_of_inputs_alone_has_its_derivative_too() -> None:
    x = gl.tensor(np.array([1.0, 2.0]))
    w = gl.tensor(np.array([3.0, 4.0]), requires_grad=True)
    doubled = 2 * x
    q = (doubled * w).sum()
    e = gl.explain(q)
    np.testing.assert_array_equal(e["doubled"].derivative, [3.0, 4.0])
    np.testing.assert_array_equal(e["x"].derivative, [6.0, 8.0])
    np.testing.assert_array_equal(e[doubled].derivative, [3.0, 4.0])
    network = nn.GRU(2, 3, batch_first=True)
    sequence = gl.tensor(np.random.default_rng(0).standard_normal((2, 4, 2)).astype(np.float32))
    found = gl.explain((network(sequence)[0] ** 2).sum())["sequence"].derivative
    asked = gl.tensor(sequence.numpy(), requires_grad=True)
    (network(asked)[0] ** 2).sum().backward()
    assert asked.grad is not None
    assert found is not None
    np.testing.assert_allclose(found, asked.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_detach_stops_derivatives_in_a_drawing_too() -> None:
    w = gl.tensor(3.0, requires_grad=True)
    h = w * w
    q = h.detach() * w
    assert gl.explain(q)["w"].derivative == 9


def test_infinities_are_explained_without_a_warning() -> None:
    x = gl.tensor(np.inf, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        derivation = str(gl.explain(x * x).derivation("x"))
    assert derivation.endswith("not checked: the value is not finite")


def test_many_paths_are_listed_quickly_and_add_up() -> None:
    x = gl.tensor(np.array([0.5, 2.0]), requires_grad=True)
    h = x
    for _ in range(9):
        h = h + gl.sin(h)
    found = gl.explain(h).paths(x)
    assert len(found.paths) == 512
    np.testing.assert_allclose(sum(path.product for path in found.paths), found.total, rtol=1e-12)
    assert str(found).count("\n") < 100
    assert "and 472 more" in str(found)
    with pytest.raises(ExplainError, match="there are 2,048 paths"):
        gl.explain(gl.exp(h + gl.sin(h)) * (h + gl.sin(h))).paths(x)
