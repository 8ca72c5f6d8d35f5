"""Recomputation of parts that share parameters, and of recurrences: alone, stacked, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina as gl
from glubina import nn, optim
from glubina.nn.module import Module

RANDOM = np.random.default_rng(4)
Part = Callable[..., Any]


def _called(function: Part, *args: Any) -> Any:
    return function(*args)


def _gradients(net: Module, loss: Callable[[], Any]) -> list[Any]:
    for parameter in net.parameters():
        parameter.grad = None
    value = loss()
    value.backward()
    return [value.numpy(), *(p.grad.numpy() for p in net.parameters())]  # type: ignore[union-attr]


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.booleans())
@settings(max_examples=12, deadline=None)
def test_one_layer_again_and_again(times: int, rows: int, outer: bool, skip: bool) -> None:
    """Every use of a shared weight has its own part in the gradient, once."""
    gl.manual_seed(times)
    layer = nn.Linear(5, 5).double()
    x = gl.tensor(np.random.default_rng(rows).standard_normal((rows, 5)))

    def loss(call: Part) -> Any:
        scale = layer.weight.exp().mean() if outer else 1.0  # worked out outside, read inside
        h = x
        for _ in range(times):
            new = call(lambda h: (layer(h) * scale).tanh(), h)
            h = h + new if skip else new
        return (h * h).sum() + layer.weight.sum()

    plain = _gradients(layer, lambda: loss(_called))
    for found, wanted in zip(_gradients(layer, lambda: loss(gl.recompute)), plain, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_second_derivatives_of_shared_parts() -> None:
    x = gl.tensor(RANDOM.standard_normal((4, 3)))
    w = gl.tensor(RANDOM.standard_normal((3, 3)))

    def curvature(call: Part) -> Any:
        def value(w: Any) -> Any:
            h = x
            for _ in range(3):
                h = call(lambda h, w: (h @ w).tanh(), h, w)
            return (h * h).sum()

        return gl.grad(lambda w: (gl.grad(value)(w) ** 2).sum())

    found, wanted = curvature(gl.recompute)(w).numpy(), curvature(_called)(w).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)


class Chunks(nn.Module):
    """A recurrence over a sequence, cut into parts with the state handed on."""

    def __init__(self, kind: Any, parts: int, call: Part, width: int = 5) -> None:
        self.recurrent = kind(6, width, batch_first=True)
        self.outputs = nn.Linear(width, 3)
        self.parts, self.call = parts, call

    def forward(self, x: Any) -> Any:
        state, outputs = None, []
        for part in gl.split(x, x.shape[1] // self.parts, axis=1):
            found, state = self.call(self.recurrent, part, state)
            outputs.append(found)
        return self.outputs(gl.concat(outputs, axis=1))


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_recurrence_in_chunks(kind: Any) -> None:
    x = gl.tensor(RANDOM.standard_normal((3, 12, 6)))
    found = []
    for parts, call in ((1, _called), (4, gl.recompute), (3, _called)):
        gl.manual_seed(2)
        net = Chunks(kind, parts, call).double()
        found.append(_gradients(net, lambda net=net: (net(x) ** 2).sum()))  # type: ignore[misc]
    for other in found[1:]:
        for first, second in zip(other, found[0], strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)


def _working(net: Module, shape: tuple[int, ...], batch: int) -> int:
    net.compile(optim.SGD(net.parameters(), lr=0.1), "cross_entropy")
    step = nn.summary(net, shape, batch_size=batch).step
    assert step is not None
    return step.working


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_chunks_take_less(kind: Any) -> None:
    whole = _working(Chunks(kind, 1, _called, 64), (256, 6), 16)
    assert _working(Chunks(kind, 8, gl.recompute, 64), (256, 6), 16) < 0.7 * whole


class Stack(nn.Module):
    """Recurrences one above the other."""

    def __init__(self, kind: Any, wrap: Callable[[Module], Module]) -> None:
        self.layers = nn.ModuleList([wrap(kind(32, 32, batch_first=True)) for _ in range(6)])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)[0]
        return x


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_stack_keeps_its_sequences_only(kind: Any) -> None:
    plain = _working(Stack(kind, lambda module: module), (40, 32), 16)
    assert (
        _working(Stack(kind, nn.Recompute), (40, 32), 16)
        < (0.75 if kind is nn.RNN else 0.5) * plain
    )


@pytest.mark.parametrize("images", [False, True])
def test_bits_are_the_same_where_docs_say_so(images: bool) -> None:
    x = gl.tensor(RANDOM.standard_normal((8, 12, 12, 8) if images else (64, 48)).astype("f"))

    def part() -> Module:
        if images:
            return nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.3))
        return nn.Sequential(nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 48), nn.ReLU())

    found = []
    for wrap in (nn.Recompute, lambda module: module):
        gl.manual_seed(3)
        net = nn.Sequential(*[wrap(part()) for _ in range(3)])
        found.append(_gradients(net, lambda net=net: (net(x) ** 2).mean()))  # type: ignore[misc]
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
