"""The lectures' examples, to the last number: values, local and accumulated derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.explain import Explanation
from glubina.nn import functional as F


def scalar(value: float) -> gl.Tensor:
    """A parameter of one number, in double precision."""
    return gl.tensor(np.float64(value), requires_grad=True)


def derivatives(explanation: Explanation) -> dict[str, float]:
    """The accumulated derivative of each vertex of scalars."""
    found = {}
    for vertex in explanation.nodes:
        assert vertex.derivative is not None
        found[vertex.name] = vertex.derivative.item()
    return found


def edge(explanation: Explanation, source: str, target: str) -> float:
    """The local derivative along an edge between scalars."""
    (found,) = [e for e in explanation.edges if (e.source.name, e.target.name) == (source, target)]
    assert found.local is not None
    return float(found.local.item())


def test_product_of_squares() -> None:
    w1, w2 = scalar(2), scalar(3)
    Q = w1**2 * w2**2
    e = gl.explain(Q)
    assert [v.formula for v in e.nodes] == ["w1", "w1²", "w2", "w2²", "v1·v2"]
    assert {v.name: v.value.item() for v in e.nodes} == {
        "w1": 2, "v1": 4, "w2": 3, "v2": 9, "Q": 36,
    }  # fmt: skip
    assert derivatives(e) == {"w1": 36, "v1": 9, "w2": 24, "v2": 4, "Q": 1}
    assert edge(e, "w1", "v1") == 4
    assert edge(e, "w2", "v2") == 6
    assert edge(e, "v1", "Q") == 9
    assert edge(e, "v2", "Q") == 4
    assert e.output.name == "Q"
    assert [v.kind for v in e.nodes] == ["parameter", "operation"] * 2 + ["operation"]


def test_exponential_of_a_neuron() -> None:
    w1, w0 = scalar(2.0), scalar(0.5)
    x = gl.tensor(np.float64(1.5))
    f = 1 + gl.exp(w1 * x + w0)
    e = gl.explain(f)
    y = np.exp(3.5)
    assert e.output.value == 1 + y
    assert e["w1"].derivative == y * 1.5
    assert e["w0"].derivative == y
    assert e["x"].derivative == y * 2
    assert e["x"].kind == "input"
    assert e.output.formula == "1 + v3"
    assert e["v3"].formula == "e^v2"
    assert e["v3"].latex == "e^{v_{2}}"
    assert edge(e, "v2", "v3") == y


def test_half_the_squared_norm() -> None:
    rng = np.random.default_rng(0)
    X, W = (rng.standard_normal(s) for s in ((4, 3), (3, 2)))
    x, w = gl.tensor(X), gl.tensor(W, requires_grad=True)
    f = 0.5 * ((x @ w) ** 2).sum()
    e = gl.explain(f)
    np.testing.assert_allclose(e.output.value, 0.5 * np.sum((X @ W) ** 2), rtol=1e-14)
    np.testing.assert_allclose(e["w"].derivative, X.T @ X @ W, rtol=1e-13)
    assert e["v1"].formula == "x w"
    (to_weight,) = e["w"].outgoing
    assert to_weight.formula == "xᵀ δ"
    assert to_weight.local is None
    jacobian = to_weight.jacobian()
    assert jacobian.shape == (4, 2, 3, 2)
    np.testing.assert_array_equal(jacobian[1, 0, :, 0], X[1])
    np.testing.assert_array_equal(jacobian[1, 0, :, 1], 0)


@pytest.mark.parametrize("operations", [False, True])
def test_softmax_with_cross_entropy(operations: bool) -> None:
    logits = np.array([1.0, 2.0, 3.0])
    z, target = gl.tensor(logits, requires_grad=True), gl.tensor(np.array([0.0, 1.0, 0.0]))
    q = -(target * gl.log(F.softmax(z, 0))).sum()
    e = gl.explain(q, operations=operations)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(e["z"].derivative, probabilities - [0, 1, 0], rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(e.output.value, -np.log(probabilities[1]), rtol=1e-14)
    assert ("softmax" in {v.operation for v in e.nodes}) is not operations


def test_loss_of_a_three_layer_network() -> None:
    network = nn.Sequential(
        nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Sigmoid(), nn.Linear(4, 2)
    ).double()
    loss_function = nn.CrossEntropyLoss()
    x = gl.tensor(np.random.default_rng(1).standard_normal((6, 3)))
    labels = gl.tensor(np.array([0, 1, 1, 0, 1, 0]))

    def loss(x: gl.Tensor) -> gl.Tensor:
        logits = network(x)
        return loss_function(logits, labels)

    e = gl.explain(loss, x)
    assert e["logits"].module == "4"
    assert [v.formula for v in e.nodes if v.module in ("0", "1")] == [
        "x 0.weightᵀ + 0.bias",
        "tanh(v1)",
    ]
    logits = e["logits"].value
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        e["logits"].derivative, (p - np.eye(2)[labels.numpy()]) / 6, rtol=1e-12, atol=1e-15
    )
    loss(x).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(
            e[name].derivative, parameter.grad.numpy(), rtol=1e-10, atol=1e-14
        )


def test_residual_block() -> None:
    w, x = scalar(0.5), scalar(2.0)
    inner = gl.relu(w * x)
    y = x + inner
    e = gl.explain(y)
    influence = e.paths(x)
    assert {str(path) for path in influence.paths} == {"x → y", "x → v1 → inner → y"}
    assert sorted(path.product.item() for path in influence.paths) == [0.5, 1.0]
    assert influence.total == 1.5 == e["x"].derivative
    contributions = {e.target.name: e.contribution.item() for e in e["x"].outgoing}  # type: ignore[union-attr]
    assert contributions == {"v1": 0.5, "y": 1.0}
