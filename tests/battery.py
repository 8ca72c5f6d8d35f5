"""What every layer must pass: shapes, dtypes, derivatives, compiled runs, description, state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from gradient_checks import check_gradients

import glubina as gl
from glubina import nn

Array = np.ndarray[Any, Any]


def given(shapes: Any, low: float = -2.0, high: float = 2.0) -> list[Array]:
    """Random inputs of these shapes, no two elements near each other."""
    random = np.random.default_rng(5)
    arrays = []
    for shape in shapes:
        count = int(np.prod(shape))
        spread = np.linspace(low, high, count) + random.uniform(0, 0.2 / count, count)
        arrays.append(random.permutation(spread).reshape(shape))
    return arrays


def run_layer(
    make: Callable[[], nn.Module],
    *shapes: tuple[int, ...],
    output: tuple[int, ...] | None = None,
    bounds: tuple[float, float] = (-2.0, 2.0),
    derivatives: bool = True,
) -> None:
    """Run the battery on the layer that `make` makes, for inputs of these shapes."""
    arrays = given(shapes, *bounds)
    layer = make()
    tensors = [gl.tensor(a.astype(np.float32)) for a in arrays]
    layer.eval()
    found = layer(*tensors)
    assert found.dtype == np.float32
    assert output is None or found.shape == output, found.shape
    # compiled as a whole: the same numbers as operation by operation
    compiled = gl.compile(lambda *t: layer(*t))
    np.testing.assert_allclose(compiled(*tensors).numpy(), found.numpy(), rtol=1e-5, atol=1e-6)
    # described and built again, with the state of the first
    again = nn.build(json.loads(json.dumps(nn.describe(layer))))
    again.load_state_dict({k: v.numpy() for k, v in layer.state_dict().items()})
    again.eval()
    assert repr(again) == repr(layer)
    np.testing.assert_array_equal(again(*tensors).numpy(), found.numpy())
    # trained: every parameter that is used gets a gradient of its own shape
    layer.train()
    layer(*[t.detach().requires_grad_() for t in tensors]).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.shape == parameter.shape, name
    # twice as exact with twice the bits; derivatives to second order
    found = layer.eval()(*tensors)  # statistics have moved
    layer.double()
    exact = layer(*[gl.tensor(a) for a in arrays])
    np.testing.assert_allclose(found.numpy(), exact.numpy(), rtol=2e-4, atol=2e-5)
    if derivatives:
        weights = gl.tensor(np.linspace(1, 2, exact.size).reshape(exact.shape))
        check_gradients(lambda *t: (layer(*t) * weights).sum(), *arrays)
