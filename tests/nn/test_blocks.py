"""Blocks against NumPy, layer by layer; their derivatives; what drop-path and experts keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from nn_oracle import convolution, pool
from numpy.typing import NDArray

import glubina as gl
from glubina import nn
from glubina.graph import ShapeError
from glubina.nn import blocks
from glubina.nn.blocks.fractal import _survivors, global_columns

Array = NDArray[Any]
Numbers = dict[str, Array]


def filled(module: nn.Module) -> nn.Module:
    """In float64 and for use, with all parameters and statistics drawn."""
    random = np.random.default_rng(0)
    values = {}
    for name, value in module.double().state_dict().items():
        drawn = random.standard_normal(value.shape) * 0.5
        values[name] = np.abs(drawn) + 0.5 if name.endswith("running_var") else drawn
        if value.dtype.kind != "f":
            values[name] = value.numpy()
    module.load_state_dict(values)
    return module.eval()


def numbers(module: nn.Module) -> Numbers:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def image(channels: int, *, count: int = 2) -> Array:
    return np.random.default_rng(1).standard_normal((count, 6, 4, channels))


def conv(p: Numbers, name: str, x: Array, stride: int = 1, groups: int = 1) -> Array:
    w = p[f"{name}.weight"]
    y = convolution(x, w, stride, w.shape[0] // 2, 1, groups)
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def norm(p: Numbers, name: str, x: Array) -> Array:
    q = {key: p[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
    y = (x - q["running_mean"]) / np.sqrt(q["running_var"] + 1e-5)
    return np.asarray(y * q["weight"] + q["bias"])


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def unit(p: Numbers, name: str, x: Array, stride: int = 1) -> Array:
    """Conv, norm."""
    return norm(p, f"{name}.norm", conv(p, f"{name}.conv", x, stride))


def before(p: Numbers, name: str, x: Array, stride: int = 1) -> Array:
    """Norm, ReLU, conv."""
    return conv(p, f"{name}.conv", relu(norm(p, f"{name}.norm", x)), stride)


def inception(p: Numbers, x: Array) -> Array:
    largest = pool(x, 3, 1, 1, lambda window: window.max(1), -np.inf)
    three = conv(p, "three.2", relu(conv(p, "three.0", x)))
    five = conv(p, "five.2", relu(conv(p, "five.0", x)))
    parts = [conv(p, "one.0", x), three, five, conv(p, "pool.1", largest)]
    return relu(np.concatenate(parts, -1))


def inception_with_norm(p: Numbers, x: Array) -> Array:
    largest = pool(x, 3, 1, 1, lambda window: window.max(1), -np.inf)
    three = unit(p, "three.1", relu(unit(p, "three.0", x)))
    five = unit(p, "five.1", relu(unit(p, "five.0", x)))
    parts = [unit(p, "one.0", x), three, five, unit(p, "pool.1", largest)]
    return relu(np.concatenate(parts, -1))


def residual(p: Numbers, x: Array) -> Array:
    branch = unit(p, "second", relu(unit(p, "first", x, 2)))
    around = np.zeros_like(branch)
    around[..., : x.shape[-1]] = x[:, ::2, ::2]
    return relu(branch + around)


def bottleneck(p: Numbers, x: Array) -> Array:
    branch = unit(p, "third", relu(unit(p, "second", relu(unit(p, "first", x)), 2)))
    return relu(branch + unit(p, "shortcut.projection", x, 2))


def pre_activation(p: Numbers, x: Array) -> Array:
    return x + before(p, "second", conv(p, "first", relu(norm(p, "norm", x))))


def pre_activation_bottleneck(p: Numbers, x: Array) -> Array:
    y = relu(norm(p, "norm", x))
    branch = before(p, "third", before(p, "second", conv(p, "first", y), 2))
    return branch + conv(p, "shortcut.projection", y, 2)


def dense(p: Numbers, x: Array) -> Array:
    for i in range(2):
        name = f"layers.{i}"
        new = before(p, f"{name}.second", before(p, f"{name}.first", x))
        x = np.concatenate([x, new], -1)
    return x


def transition(p: Numbers, x: Array) -> Array:
    return pool(before(p, "reduce", x), 2, 2, 0, lambda window: window.mean(1), 0)


def separable(p: Numbers, x: Array) -> Array:
    return conv(p, "pointwise", conv(p, "depthwise", x, 2, x.shape[-1]))


def squeeze_excite(p: Numbers, x: Array) -> Array:
    s = relu(x.mean((1, 2)) @ p["squeeze.weight"].T + p["squeeze.bias"])
    w = 1 / (1 + np.exp(-(s @ p["excite.weight"].T + p["excite.bias"])))
    return np.asarray(x * w[:, None, None])


def fractal(p: Numbers, x: Array) -> Array:
    """Three columns, as the paper's figure draws them: a, bb, cccc."""

    def one(path: str, y: Array) -> Array:
        return relu(unit(p, f"body.{path}conv", y))

    b = one("deeper.0.", x)
    c = one("deeper.0.deeper.1.", one("deeper.0.deeper.0.", x))
    middle = (b + c) / 2
    b = one("deeper.1.", middle)
    c = one("deeper.1.deeper.1.", one("deeper.1.deeper.0.", middle))
    return (one("", x) + b + c) / 3


def poly(kind: str) -> Callable[[Numbers, Array], Array]:
    def branch(p: Numbers, name: str, x: Array, application: int = 0) -> Array:
        for i in range(3):
            y = conv(p, f"{name}.convs.{i}", x)
            x = norm(p, f"{name}.norms.{3 * application + i}", y)
            x = relu(x) if i < 2 else x
        return x

    def block(p: Numbers, x: Array) -> Array:
        once = branch(p, "first", x)
        if kind == "poly-2":
            return relu(x + once + branch(p, "first", relu(once), 1))
        return relu(x + once + branch(p, "second", x if kind == "2-way" else relu(once)))

    return block


CASES: list[tuple[nn.Module, Callable[[Numbers, Array], Array], int]] = [
    (blocks.Inception(3, 2, (3, 4), (2, 1), 5), inception, 3),
    (blocks.Inception(3, 2, (3, 4), (2, 1), 5, True, 3), inception_with_norm, 3),
    (blocks.ResidualBlock(3, 5, 2, "pad"), residual, 3),
    (blocks.BottleneckBlock(3, 2, 2), bottleneck, 3),
    (blocks.PreActivationBlock(3, 3), pre_activation, 3),
    (blocks.PreActivationBottleneck(3, 2, 2), pre_activation_bottleneck, 3),
    (blocks.DenseBlock(3, 2, 2), dense, 3),
    (blocks.DenseTransition(3, 2), transition, 3),
    (blocks.SeparableConv2d(3, 5, 3, 2, 1), separable, 3),
    (blocks.SeparableConv2d(3, 5, 3, 2, 1, depth_multiplier=2), separable, 3),
    (blocks.SqueezeExcite(6, 2), squeeze_excite, 6),
    (blocks.FractalBlock(3, 2, 3), fractal, 3),
    (blocks.PolyBlock(4, "2-way"), poly("2-way"), 4),
    (blocks.PolyBlock(4, "poly-2"), poly("poly-2"), 4),
    (blocks.PolyBlock(4, "mpoly-2"), poly("mpoly-2"), 4),
]


@pytest.mark.parametrize(("block", "oracle", "channels"), CASES, ids=lambda v: type(v).__name__)
def test_values(block: nn.Module, oracle: Any, channels: int) -> None:
    x = image(channels)
    wanted = oracle(numbers(filled(block)), x)
    np.testing.assert_allclose(block(gl.tensor(x)).numpy(), wanted, rtol=1e-10, atol=1e-10)
    again = nn.build(nn.describe(block))
    assert repr(again) == repr(block)
    assert list(again.state_dict()) == list(block.state_dict())


@pytest.mark.parametrize(
    "block",
    [
        blocks.Inception(2, 2, (2, 3), (2, 1), 2),
        blocks.PreActivationBlock(2, 3, 2),
        blocks.DenseBlock(2, 2, 2),
        blocks.SqueezeExcite(2, 1),
        blocks.FractalBlock(2, 2, 2),
        blocks.PolyBlock(2),
    ],
    ids=lambda v: type(v).__name__,
)
def test_derivatives(block: nn.Module) -> None:
    filled(block).train()
    for module in block.modules():  # the statistics of the batch, but nothing dropped
        if isinstance(module, blocks.FractalBlock):
            module.drop_path = 0
    weights = gl.tensor(np.random.default_rng(2).standard_normal(3))
    kept = numbers(block)

    def loss(x: Any) -> Any:
        block.load_state_dict(kept)
        y = block(x)
        return (y.square().mean(axis=(1, 2)) @ gl.ones((y.shape[-1], 3), dtype=y.dtype)) @ weights

    check_gradients(lambda x: loss(x).sum(), image(2, count=3), second=False)


def test_two_streams() -> None:
    block = filled(blocks.TwoStreamBlock(2, 3, 2))
    p, r, t = numbers(block), image(2), image(2)[::-1].copy()
    first = conv(p, "residual", r, 2) + conv(p, "transient_to_residual", t, 2)
    wanted = (
        relu(norm(p, "residual_norm", first + conv(p, "shortcut", r, 2))),
        relu(
            norm(
                p,
                "transient_norm",
                conv(p, "transient", t, 2) + conv(p, "residual_to_transient", r, 2),
            )
        ),
    )
    for found, each in zip(block(gl.tensor(r), gl.tensor(t)), wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), each, rtol=1e-10, atol=1e-10)


def test_a_residual_block_takes_more_shortcuts() -> None:
    block = filled(blocks.ResidualBlock(3, 3))
    p, x, more = numbers(block), image(3), image(3)[::-1].copy()
    wanted = relu(unit(p, "second", relu(unit(p, "first", x))) + x + more)
    found = block(gl.tensor(x), gl.tensor(more)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)


def test_known_counts() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.size for p in module.parameters())

    assert count(nn.Conv2d(4, 10, 3)) == 370
    assert count(blocks.SeparableConv2d(4, 10, 3)) == 86
    # 1 × 1 from 3 to 64 four times, then 3 × 3 and 5 × 5 from 64 to 64.
    assert count(blocks.Inception(3)) == 4 * 256 + 36_928 + 102_464
    assert blocks.Inception(3)(gl.zeros((1, 5, 7, 3))).shape == (1, 5, 7, 256)


# --- drop-path ---


def test_every_join_keeps_a_path() -> None:
    gl.manual_seed(0)
    local = gl.full(2000, -1.0)
    mask = _survivors(2000, 0, 3, 0.7, local).numpy()
    assert set(np.unique(mask)) == {0, 1}
    assert (mask.sum(0) >= 1).all()
    # A path stays with 0.3, or as the largest of three where none does: 0.7³ / 3 more.
    assert abs(mask.mean() - (0.3 + 0.7**3 / 3)) < 0.02


def test_global_drop_path_keeps_one_column() -> None:
    gl.manual_seed(0)
    only = global_columns(3000, 3, 0.5)
    values, counts = np.unique(only.numpy(), return_counts=True)
    assert values.tolist() == [-1, 0, 1, 2]
    np.testing.assert_allclose(counts / 3000, [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.03)
    column = gl.tensor(np.array([0, 1, 2], np.float32))
    np.testing.assert_array_equal(_survivors(3, 0, 3, 0.5, column).numpy(), np.eye(3))
    # The join of the columns 1 and 2, which column 0 does not pass.
    inner = _survivors(3, 1, 2, 0.5, column).numpy()
    np.testing.assert_array_equal(inner, [[1, 1, 0], [1, 0, 1]])


def test_a_single_column_is_that_path_alone() -> None:
    block = filled(blocks.FractalBlock(2, 2, 2, drop_path=0.5))
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.training = False
    p, x = numbers(block), image(2, count=2)
    short = relu(unit(p, "body.conv", x))
    long = relu(unit(p, "body.deeper.1.conv", relu(unit(p, "body.deeper.0.conv", x))))
    block.training = True
    found = block(gl.tensor(x), gl.tensor(np.array([0, 1], np.float32))).numpy()
    np.testing.assert_allclose(found[0], short[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], long[1], rtol=1e-6)


def test_compiled_drop_path_draws_anew() -> None:
    block = blocks.FractalBlock(2, 4, 3, drop_path=0.5)
    step, x = gl.compile(lambda x: block(x)), gl.tensor(image(2, count=6).astype(np.float32))
    gl.manual_seed(5)
    first, second = step(x).numpy(), step(x).numpy()
    assert (np.abs(first - second).max(axis=(1, 2, 3)) > 1e-3).any()
    gl.manual_seed(5)
    np.testing.assert_allclose(block(x).numpy(), first, rtol=1e-4, atol=1e-5)


# --- experts ---


def experts_by_hand(p: Numbers, x: Array, capacity: int) -> tuple[Array, float]:
    scores = x @ p["router.weight"].T
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    chosen = shares.argmax(-1)
    y, used = np.zeros_like(x), np.zeros(shares.shape[1], int)
    for token, expert in enumerate(chosen):
        if used[expert] < capacity:
            hidden = relu(x[token] @ p["weight1"][expert] + p["bias1"][expert])
            y[token] = hidden @ p["weight2"][expert] + p["bias2"][expert]
            y[token] *= shares[token, expert]
        used[expert] += 1
    balance = len(used) * (used / len(x) * shares.mean(0)).sum()
    return y, float(balance)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 8.0])
@pytest.mark.parametrize("experts", [1, 3])
def test_experts(factor: float, experts: int) -> None:
    layer = blocks.SwitchFeedForward(4, 5, experts, factor)
    filled(layer)
    x = np.random.default_rng(3).standard_normal((2, 7, 4))
    y, balance = layer(gl.tensor(x))
    wanted, even = experts_by_hand(numbers(layer), x.reshape(14, 4), layer.capacity(14))
    np.testing.assert_allclose(y.numpy().reshape(14, 4), wanted, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(balance.item(), even, rtol=1e-10)
    step = gl.compile(lambda x: layer(x)[0])
    np.testing.assert_allclose(step(gl.tensor(x)).numpy(), y.numpy(), rtol=1e-10, atol=1e-12)


def test_derivatives_of_experts() -> None:
    layer = blocks.SwitchFeedForward(3, 4, 2, 1.0)
    filled(layer)

    def loss(x: Any, router: Any, first: Any) -> Any:
        layer.router.__dict__["weight"], layer.__dict__["weight1"] = router, first
        y, balance = layer(x)
        return y.square().sum() + balance

    p = numbers(layer)
    x = np.random.default_rng(4).standard_normal((6, 3))
    check_gradients(loss, x, p["router.weight"], p["weight1"])


def test_balance_is_least_where_the_load_is_even() -> None:
    layer = blocks.SwitchFeedForward(2, 3, 2)
    layer.router.weight.data = gl.tensor(np.array([[50.0, 0], [0, 50.0]], np.float32))
    even = gl.tensor(np.array([[1, 0], [0, 1]], np.float32))
    uneven = gl.tensor(np.array([[1, 0], [1, 0]], np.float32))
    assert layer(even)[1].item() == pytest.approx(1)
    assert layer(uneven)[1].item() == pytest.approx(2)


def test_errors() -> None:
    with pytest.raises(ValueError, match="kind is one of '2-way', 'poly-2', 'mpoly-2', got 'x'"):
        blocks.PolyBlock(4, "x")
    with pytest.raises(ValueError, match="'pad' adds channels, it cannot go from 4 to 2"):
        blocks.Shortcut(4, 2, 1, "pad")
    with pytest.raises(ValueError, match="drop_path must be between 0 and 1, got 2"):
        blocks.FractalBlock(1, 1, 2, 2)
    with pytest.raises(ValueError, match="capacity_factor must be positive, got 0"):
        blocks.SwitchFeedForward(1, 1, 1, 0)
    with pytest.raises(ShapeError, match=r"expected input of shape \(..., 4\), got \(2, 3\)"):
        blocks.SwitchFeedForward(4, 1, 1)(gl.zeros((2, 3)))
