"""Recomputation: values, derivatives and random draws are as without, and memory is less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn.module import Module

RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((12, 6))
Y = RANDOM.integers(0, 3, 12)


def _plain(module: Module) -> Module:
    return module


def _part(width: int) -> Module:
    return nn.Sequential(
        nn.Linear(width, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Dropout(0.3), nn.GELU()
    )


def _net(wrap: Callable[[Module], Module], width: int = 6, depth: int = 3) -> Module:
    gl.manual_seed(3)
    parts = [wrap(_part(width)) for _ in range(depth)]
    net = nn.Sequential(nn.Linear(6, width), *parts, nn.Linear(width, 3))
    return net.double()


def _state(net: Module) -> dict[str, Any]:
    return {name: value.numpy() for name, value in net.state_dict().items()}


def _assert_close(a: dict[str, Any], b: dict[str, Any], places: float = 1e-9) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=places, atol=places, err_msg=name)


def _by_fit(net: Module) -> dict[str, Any]:
    net.compile(optim.SGD(net.parameters(), lr=0.1, momentum=0.9), "cross_entropy")
    net.fit(X, Y, batch_size=5, epochs=2, seed=1, verbose=0)
    return _state(net)


def _by_loop(net: Module, wrap: Callable[[Any], Any] = lambda step: step) -> dict[str, Any]:
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(net(x), y)
        value.backward()
        optimizer.step()
        return value

    step = wrap(step)
    for _ in range(3):
        value = step(gl.tensor(X), gl.tensor(Y))
    return {**_state(net), "loss": value.numpy()}


def _by_compiled_loop(net: Module) -> dict[str, Any]:
    return _by_loop(net, gl.compile)


def _by_reading_first(net: Module) -> dict[str, Any]:
    """The loss is read before backward, so there are two programs."""
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(net(gl.tensor(X)), gl.tensor(Y))
        value.item()
        value.backward()
        optimizer.step()
    return _state(net)


WAYS = [_by_fit, _by_loop, _by_compiled_loop, _by_reading_first]


@pytest.mark.parametrize("way", WAYS)
def test_training_is_as_without(way: Callable[[Module], dict[str, Any]]) -> None:
    """Statistics of batch normalisation moved once, the same elements dropped, the same names."""
    _assert_close(way(_net(nn.Recompute)), way(_net(_plain)))


def test_bits_are_the_same_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_BACKEND", "interpreter")
    a, b = _by_loop(_net(nn.Recompute, 7)), _by_loop(_net(_plain, 7))
    assert all(np.array_equal(a[name], b[name]) for name in b)


def test_bits_do_not_depend_on_threads() -> None:
    found = []
    for threads in (1, 2, 3):
        before = gl.get_num_threads()
        gl.set_num_threads(threads)
        try:
            found.append(_by_fit(_net(nn.Recompute, 96)))
        finally:
            gl.set_num_threads(before)
    for other in found[1:]:
        assert all(np.array_equal(found[0][name], other[name]) for name in other)


def test_nested_parts() -> None:
    def nested(module: Any) -> Module:
        first, *rest = module.children()
        return nn.Recompute(nn.Sequential(nn.Recompute(first), nn.Recompute(nn.Sequential(*rest))))

    a, b = _by_fit(_net(nested)), _by_fit(_net(_plain))
    for left, right in zip(a.values(), b.values(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (5, 3), (40, 7)])
def test_derivatives_of_any_order(rows: int, columns: int) -> None:
    random = np.random.default_rng(rows)
    x = gl.tensor(random.standard_normal((rows, columns)))
    w = gl.tensor(random.standard_normal((columns, columns)))

    def f(x: Any, w: Any) -> Any:
        return ((x @ w).tanh() * x).exp()

    def value(part: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        return lambda x, w: (part(x, w).sum() * part(w, w).mean()).tanh()

    def again(x: Any, w: Any) -> Any:
        return gl.recompute(f, x, w)

    def curvature(part: Callable[..., Any]) -> Callable[[Any, Any], Any]:
        slopes = gl.grad(value(part), argnums=(0, 1))
        return lambda x, w: sum((g * g).sum() for g in slopes(x, w))

    for first, second in zip(
        gl.grad(value(again), argnums=(0, 1))(x, w), gl.grad(value(f), argnums=(0, 1))(x, w)
    ):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-9, atol=1e-12)
    for first, second in zip(
        gl.grad(curvature(again), argnums=(0, 1))(x, w), gl.grad(curvature(f), argnums=(0, 1))(x, w)
    ):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-8, atol=1e-10)


def test_what_a_function_takes_and_gives() -> None:
    """Several results, containers, keywords, captured tensors, integers, and what needs nothing."""
    table = gl.tensor(RANDOM.standard_normal((5, 4)), requires_grad=True)
    outer = gl.tensor(RANDOM.standard_normal((3, 4)), requires_grad=True)
    rows = gl.tensor(np.array([0, 4, 2]))

    def function(rows: Any, pair: Any, scale: Any = None, factor: float = 1.0) -> Any:
        picked = gl.take(table, rows, axis=0)
        made = {"a": (picked * captured).sin() * factor, "b": [pair[0] @ scale, rows + 1]}
        return made, "text", pair[1]

    def both(call: Callable[..., Any]) -> tuple[Any, ...]:
        nonlocal captured
        for tensor in (table, outer):
            tensor.grad = None
        captured = (outer * 2).exp()
        first = outer * 3
        made, text, same = call(function, rows, (first, outer), scale=gl.matrix_transpose(first))
        assert text == "text"
        assert same is outer
        assert made["b"][1].numpy().tolist() == [1, 5, 3]
        ((made["a"] ** 2).sum() + made["b"][0].cos().sum()).backward()
        return table.grad.numpy(), outer.grad.numpy(), made["a"].numpy()

    captured: Any = None
    plain = both(lambda f, *args, **kwargs: f(*args, **kwargs))
    for first, second in zip(both(gl.recompute), plain, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-12)


def test_without_derivatives_it_is_the_call() -> None:
    x = gl.tensor(X, requires_grad=True)
    with gl.no_grad():
        assert not gl.recompute(lambda x: x * 2, x).requires_grad
    assert gl.recompute(lambda x: x, x) is x
    assert gl.recompute(lambda: 5) == 5


def test_what_is_called_in_numpy() -> None:
    class Square(nn.Manual):
        def forward(self, x: Any) -> Any:
            self.x = np.array(x)
            return self.x**2

        def backward(self, grad: Any) -> Any:
            return 2 * self.x * grad

    found = []
    for wrap in (nn.Recompute, _plain):
        x = gl.tensor(X, requires_grad=True)
        wrap(nn.Sequential(nn.Tanh(), Square(), nn.Tanh()))(x).sum().backward()
        assert x.grad is not None
        found.append(x.grad.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_a_recurrent_layer() -> None:
    found = []
    sequence = RANDOM.standard_normal((4, 9, 6)).astype("f")
    for wrap in (nn.Recompute, _plain):
        gl.manual_seed(1)
        layer = wrap(nn.LSTM(6, 5, batch_first=True))
        x = gl.tensor(sequence, requires_grad=True)
        outputs, (state, _) = layer(x)
        ((outputs**2).sum() + state.sum()).backward()
        assert x.grad is not None
        found.append([x.grad.numpy(), *(p.grad.numpy() for p in layer.parameters())])  # type: ignore[union-attr]
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(first, second, rtol=2e-5, atol=1e-6)


def _working(net: Module, shape: tuple[int, ...], batch: int) -> int:
    net.compile(optim.SGD(net.parameters(), lr=0.1), "cross_entropy")
    step = nn.summary(net, shape, batch_size=batch).step
    assert step is not None
    return step.working


def test_the_plan_keeps_the_inputs_of_the_parts() -> None:
    """Depth d: without, all values of d parts; with, d inputs and the values of one part."""
    width, batch, size = 128, 256, 128 * 256 * 4

    def make(wrap: Callable[[Module], Module], depth: int) -> Module:
        parts = [
            wrap(
                nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(width, width), nn.Tanh())])
            )
            for _ in range(depth)
        ]
        return nn.Sequential(*parts, nn.Linear(width, 10))

    without = [_working(make(_plain, d), (width,), batch) / size for d in (4, 12)]
    recomputed = [_working(make(nn.Recompute, d), (width,), batch) / size for d in (4, 12)]
    assert (without[1] - without[0]) / 8 == pytest.approx(6, rel=0.02)
    assert (recomputed[1] - recomputed[0]) / 8 == pytest.approx(1, rel=0.02)
    assert recomputed[0] < 4 + 6 + 3
    assert recomputed[1] < 12 + 6 + 3 < without[1] / 3


def test_convolutions_and_transformers_take_less() -> None:
    def images(wrap: Callable[[Module], Module]) -> Module:
        parts = [
            wrap(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()))
            for _ in range(10)
        ]
        return nn.Sequential(nn.Conv2d(3, 8, 1), *parts, nn.Flatten(), nn.Linear(2048, 3))

    def text(wrap: Callable[[Module], Module]) -> Module:
        layer = [wrap(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)) for _ in range(6)]
        return nn.Sequential(nn.Linear(16, 32), *layer, nn.Linear(32, 3))

    for make, shape, share in ((images, (16, 16, 3), 0.75), (text, (24, 16), 0.4)):
        plain = _working(make(_plain), shape, 32)
        assert _working(make(nn.Recompute), shape, 32) < share * plain


def test_pytorchs_names() -> None:
    from glubina import torch
    from glubina.torch.utils.checkpoint import checkpoint, checkpoint_sequential

    found = []
    for way in ("plain", "checkpoint", "sequential"):
        torch.manual_seed(0)
        parts = [torch.nn.Linear(6, 6), torch.nn.Tanh(), torch.nn.Linear(6, 6), torch.nn.Tanh()]
        x = torch.tensor(X.astype("f"), requires_grad=True)
        net = torch.nn.Sequential(*parts)
        if way == "plain":
            y = net(x)
        elif way == "checkpoint":
            y = checkpoint(net, x, use_reentrant=False)
        else:
            y = checkpoint_sequential(parts, 2, x, use_reentrant=False)
        y.sum().backward()
        found.append([x.grad.numpy(), *(p.grad.numpy() for p in net.parameters())])
    for other in found[1:]:
        for first, second in zip(found[0], other, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="segments should be from 1 to 4"):
        checkpoint_sequential(parts, 5, x)


def test_it_takes_modules() -> None:
    with pytest.raises(TypeError, match=r"Recompute takes a module, got type .*Linear"):
        nn.Recompute(nn.Linear)  # type: ignore[arg-type]


def test_the_architecture_is_written() -> None:
    net = _net(nn.Recompute)
    again = nn.build(nn.describe(net)).double()
    again.load_state_dict(net.state_dict())
    plain = _net(_plain)
    plain.load_state_dict(net.state_dict())
    x = gl.tensor(X)
    wanted = net.eval()(x).numpy()
    np.testing.assert_array_equal(again.eval()(x).numpy(), wanted)
    np.testing.assert_allclose(plain.eval()(x).numpy(), wanted, rtol=1e-6)
