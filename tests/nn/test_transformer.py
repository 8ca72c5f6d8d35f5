"""Multi-head attention and the transformer's layers against NumPy, and in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from numpy.typing import NDArray

import glubina as gl
from glubina import nn
from glubina.graph import DTypeError, ShapeError

Array = NDArray[Any]


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, with all parameters drawn (biases would be zero)."""
    random = np.random.default_rng(seed)
    values = {k: random.standard_normal(v.shape) * 0.5 for k, v in module.state_dict().items()}
    module.double().load_state_dict(values)
    return module


def numbers(module: nn.Module) -> dict[str, Array]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def multi_head(
    p: dict[str, Array], heads: int, q: Array, k: Array, v: Array, hidden: Array | None = None
) -> tuple[Array, Array]:
    """Batch first; hidden: (N, H, T, S) or what broadcasts to it, true where not seen."""
    if "in_proj_weight" in p:
        weights = np.split(p["in_proj_weight"], 3)
    else:
        weights = [p[f"{x}_proj_weight"] for x in "qkv"]
    biases = np.split(p["in_proj_bias"], 3)
    split = [
        np.swapaxes((x @ w.T + b).reshape(*x.shape[:2], heads, -1), 1, 2)
        for x, w, b in zip((q, k, v), weights, biases)
    ]
    scores = split[0] @ np.swapaxes(split[1], 2, 3) / np.sqrt(split[0].shape[-1])
    if hidden is not None:
        scores = np.where(hidden, -np.inf, scores)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    share = e / e.sum(-1, keepdims=True)
    mixed = np.swapaxes(share @ split[2], 1, 2).reshape(*q.shape[:2], -1)
    return mixed @ p["out_proj.weight"].T + p["out_proj.bias"], share


def normal(x: Array, p: dict[str, Array], name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return np.asarray(centred / deviation * p[f"{name}.weight"] + p[f"{name}.bias"])


def part(p: dict[str, Array], name: str) -> dict[str, Array]:
    return {k.removeprefix(f"{name}."): v for k, v in p.items() if k.startswith(f"{name}.")}


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    ("kind", "kdim", "vdim"),
    [("self", None, None), ("memory", None, None), ("all", None, None), ("all", 5, 7)],
)
def test_multi_head_attention(
    batch_first: bool, kind: str, kdim: int | None, vdim: int | None
) -> None:
    layer = filled(nn.MultiheadAttention(6, 2, kdim=kdim, vdim=vdim, batch_first=batch_first))
    random = np.random.default_rng(0)
    q, k, v = (
        random.standard_normal((3, n, c)) for n, c in ((9, 6), (11, kdim or 6), (11, vdim or 6))
    )
    k, v = (q, q) if kind == "self" else (k, k) if kind == "memory" else (k, v)
    t, s = q.shape[1], k.shape[1]
    padding, causal = random.random((3, s)) < 0.3, ~np.tril(np.ones((t, s), bool))
    padding[:, 0] = False

    def given(x: Array) -> gl.Tensor:
        return gl.tensor(x if batch_first else np.swapaxes(x, 0, 1))

    a = given(q)
    b = a if kind == "self" else given(k)
    c = b if kind != "all" else given(v)
    want, share = multi_head(numbers(layer), 2, q, k, v, causal | padding[:, None, None])
    for needed in (True, False):
        found, weights = layer(
            a, b, c, gl.tensor(padding), need_weights=needed, attn_mask=gl.tensor(causal)
        )
        values = found.numpy() if batch_first else np.swapaxes(found.numpy(), 0, 1)
        np.testing.assert_allclose(values, want, rtol=1e-10, atol=1e-11)
        if needed:
            np.testing.assert_allclose(weights.numpy(), share.mean(1), rtol=1e-10, atol=1e-12)
    alone, weights = layer(a, b, c, is_causal=True, average_attn_weights=False)
    want, share = multi_head(numbers(layer), 2, q, k, v, causal)
    np.testing.assert_allclose(weights.numpy(), share, rtol=1e-10, atol=1e-12)
    axis = 0 if batch_first else 1
    first = [x.numpy().take(1, axis) for x in (a, b, c)]
    one, _ = layer(*[gl.tensor(x) for x in first], is_causal=True)
    np.testing.assert_allclose(one.numpy(), alone.numpy().take(1, axis), rtol=1e-10)


def test_masks_of_numbers_and_of_each_head() -> None:
    layer = filled(nn.MultiheadAttention(4, 2, batch_first=True))
    random = np.random.default_rng(0)
    x = gl.tensor(random.standard_normal((2, 5, 4)))
    hidden = random.random((4, 5, 5)) < 0.3
    hidden[..., 0] = False
    padding = np.zeros((2, 5), bool)
    padding[1, 3:] = True
    added = np.where(hidden, -np.inf, 0.0)
    full = hidden.reshape(2, 2, 5, 5) | padding[:, None, None]
    want, _ = multi_head(numbers(layer), 2, x.numpy(), x.numpy(), x.numpy(), full)
    for mask in (hidden, added):
        found, _ = layer(x, x, x, gl.tensor(padding), False, gl.tensor(mask))
        np.testing.assert_allclose(found.numpy(), want, rtol=1e-10)


def test_derivatives() -> None:
    layer = filled(nn.MultiheadAttention(4, 2, batch_first=True))
    random = np.random.default_rng(0)
    check_gradients(
        lambda x, y: (layer(x, y, y, need_weights=False)[0] ** 2).sum(),
        *(random.standard_normal((2, n, 4)) for n in (5, 6)),
    )


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_and_decoder_layers(norm_first: bool) -> None:
    options: dict[str, Any] = {"norm_first": norm_first, "batch_first": True, "dropout": 0.0}
    random = np.random.default_rng(0)
    x, memory = random.standard_normal((2, 5, 4)), random.standard_normal((2, 7, 4))
    causal = ~np.tril(np.ones((5, 5), bool))

    def step(p: dict[str, Array], i: int, x: Array, f: Any) -> Array:
        name = f"norm{i}"
        return x + f(normal(x, p, name)) if norm_first else normal(x + f(x), p, name)

    def forward(p: dict[str, Array], x: Array) -> Array:
        h = np.maximum(x @ p["linear1.weight"].T + p["linear1.bias"], 0)
        return h @ p["linear2.weight"].T + p["linear2.bias"]

    encoder = filled(nn.TransformerEncoderLayer(4, 2, 6, **options))
    p = numbers(encoder)
    want = step(p, 1, x, lambda y: multi_head(part(p, "self_attn"), 2, y, y, y, causal)[0])
    want = step(p, 2, want, lambda y: forward(p, y))
    for found in (
        encoder(gl.tensor(x), gl.tensor(causal)),
        encoder(gl.tensor(x), is_causal=True),
    ):
        np.testing.assert_allclose(found.numpy(), want, rtol=1e-9, atol=1e-10)

    decoder = filled(nn.TransformerDecoderLayer(4, 2, 6, **options))
    p = numbers(decoder)
    want = step(p, 1, x, lambda y: multi_head(part(p, "self_attn"), 2, y, y, y, causal)[0])
    cross = part(p, "multihead_attn")
    want = step(p, 2, want, lambda y: multi_head(cross, 2, y, memory, memory)[0])
    want = step(p, 3, want, lambda y: forward(p, y))
    found = decoder(gl.tensor(x), gl.tensor(memory), gl.tensor(causal))
    np.testing.assert_allclose(found.numpy(), want, rtol=1e-9, atol=1e-10)


def test_stacks_are_copies_in_a_row() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu")
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4))
    names = list(stack.state_dict())
    assert names[0] == "layers.0.self_attn.in_proj_weight"
    assert len(names) == 2 * 12 + 2
    x = gl.randn((5, 2, 4))
    want = stack.norm(stack.layers[1](stack.layers[0](x)))
    np.testing.assert_array_equal(stack(x).numpy(), want.numpy())
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 6, 0.0), 2)
    want = decoder.layers[1](decoder.layers[0](x, x), x)
    np.testing.assert_array_equal(decoder(x, x).numpy(), want.numpy())


def test_positional_encoding() -> None:
    x = np.zeros((2, 7, 6))
    found = nn.SinusoidalPositionalEncoding(6)(gl.tensor(x)).numpy()
    for t in range(7):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(found[:, t, 2 * i], np.sin(angle), atol=1e-12)
            np.testing.assert_allclose(found[:, t, 2 * i + 1], np.cos(angle), atol=1e-12)
    other = nn.SinusoidalPositionalEncoding(6, batch_first=False)(gl.tensor(np.zeros((7, 2, 6))))
    np.testing.assert_array_equal(other.numpy(), np.swapaxes(found, 0, 1))
    with pytest.raises(ShapeError, match=r"expected input of shape \(N, L, C\) or \(L, C\) with C"):
        nn.SinusoidalPositionalEncoding(6)(gl.zeros((2, 7, 5)))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(3, 8),
        nn.SinusoidalPositionalEncoding(8),
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True), 2, nn.LayerNorm(8)
        ),
        nn.Flatten(),
        nn.Linear(64, 2),
    )


def test_fit_compile_save_and_load(tmp_path: Path) -> None:
    gl.manual_seed(0)
    net = network()
    random = np.random.default_rng(0)
    x = random.standard_normal((64, 8, 3)).astype(np.float32)
    y = (x[:, 0, 0] > x[:, 7, 0]).astype(np.int64)
    net.compile(gl.optim.AdamW(net.parameters(), lr=0.01), nn.CrossEntropyLoss())
    history = net.fit(x, y, batch_size=16, epochs=6, verbose=False)
    assert history.history["loss"][-1] < 0.7 * history.history["loss"][0]
    net.eval()
    want = net(gl.tensor(x)).numpy()
    compiled = gl.compile(net)
    np.testing.assert_allclose(compiled(gl.tensor(x)).numpy(), want, rtol=1e-5, atol=1e-6)
    nn.save_model(net, tmp_path / "net")
    again = nn.load_model(tmp_path / "net").model
    again.eval()
    np.testing.assert_array_equal(again(gl.tensor(x)).numpy(), want)
    text = json.dumps(nn.describe(net))
    assert repr(nn.build(json.loads(text))) == repr(net)


def test_summary_counts_attention() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = nn.summary(layer, (10, 8))
    products = 2 * 10 * (8 * 24 + 8 * 8 + 2 * 8 * 16) + 2 * 2 * 2 * 10 * 10 * 4
    assert found.flops is not None
    assert products < found.flops < 1.3 * products


def test_the_explicit_loop_draws_anew() -> None:
    layer = nn.MultiheadAttention(4, 2, 0.5, batch_first=True)
    x = gl.randn((2, 6, 4))
    first, second = (layer(x, x, x, need_weights=False)[0].numpy() for _ in range(2))
    assert (first != second).any()
    layer.eval()
    first, second = (layer(x, x, x)[0].numpy() for _ in range(2))
    assert (first == second).all()


def test_errors() -> None:
    layer, x = nn.MultiheadAttention(4, 2, batch_first=True), gl.ones((2, 5, 4))
    with pytest.raises(ValueError, match="embed_dim 5 is not a multiple of num_heads 2"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ShapeError, match=r"expected a key of shape \(N, L, E\) or \(L, E\) with"):
        layer(x, gl.ones((2, 5, 3)), x)
    with pytest.raises(ShapeError, match="differ in their batch or length"):
        layer(x, gl.ones((3, 5, 4)), gl.ones((3, 5, 4)))
    with pytest.raises(ShapeError, match=r"attn_mask is \(5, 5\) or \(4, 5, 5\) here"):
        layer(x, x, x, attn_mask=gl.ones((5, 4)))
    with pytest.raises(ShapeError, match=r"key_padding_mask is \(2, 5\) here, got \(5, 2\)"):
        layer(x, x, x, gl.ones((5, 2)))
    with pytest.raises(DTypeError, match="a mask is bool or float32, got int64"):
        layer(x, x, x, attn_mask=gl.ones((5, 5)).astype(gl.int64))
    with pytest.raises(ValueError, match="activation is 'relu', 'gelu' or a function, got 'tanh'"):
        nn.TransformerEncoderLayer(4, 2, activation="tanh")
