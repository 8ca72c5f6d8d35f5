"""Keras's attention layers: values against NumPy, masks, Keras's layout, whole models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina import keras
from glubina.graph import ShapeError
from glubina.keras import layers

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=shape).astype(np.float32)


def with_weights(layer: Any, *inputs: Any) -> Any:
    layer(*inputs)
    layer.set_weights([0.3 * normal(*weight.shape) for weight in layer.get_weights()])
    return layer


def softmax(scores: np.ndarray[Any, Any], seen: Any = True) -> np.ndarray[Any, Any]:
    scores = np.where(seen, scores, -np.inf)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    found: np.ndarray[Any, Any] = powers / powers.sum(-1, keepdims=True)
    return found


def attended(
    layer: Any, q: Any, v: Any, k: Any, seen: Any = True
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    wq, bq, wk, bk, wv, bv, wo, bo = layer.get_weights()
    queries = np.einsum("ntd,dhk->nhtk", q, wq) + bq[:, None]
    keys = np.einsum("ntd,dhk->nhtk", k, wk) + bk[:, None]
    values = np.einsum("ntd,dhk->nhtk", v, wv) + bv[:, None]
    scores = np.einsum("nhtk,nhsk->nhts", queries, keys) / np.sqrt(wq.shape[-1])
    weights = softmax(scores, seen)
    return np.einsum("nhtv,hvd->ntd", weights @ values, wo) + bo, weights


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def test_heads_with_projections() -> None:
    x, values, keys = normal(2, 5, 6), normal(2, 7, 4), normal(2, 7, 3)
    layer = with_weights(layers.MultiHeadAttention(3, 4, value_dim=5), x, values, keys)
    shapes = [weight.shape for weight in layer.get_weights()]
    assert shapes[:6] == [(6, 3, 4), (3, 4), (3, 3, 4), (3, 4), (4, 3, 5), (3, 5)]
    assert shapes[6:] == [(3, 5, 6), (6,)]
    wanted, weights = attended(layer, x, values, keys)
    close(layer(x, values, keys), wanted)
    close(layer(query=x, value=values, key=keys), wanted)
    again, scores = layer(x, values, key=keys, return_attention_scores=True)
    close(again, wanted)
    close(scores, weights)
    mask = RANDOM.random((2, 5, 7)) > 0.4
    mask[:, :, 0] = True
    wanted, _ = attended(layer, x, values, keys, mask[:, None])
    close(layer(x, values, keys, attention_mask=mask), wanted)
    close(layer(x, values, keys, attention_mask=mask, return_attention_scores=True)[0], wanted)


def test_a_causal_mask_sees_no_future() -> None:
    x = normal(2, 5, 6)
    layer = with_weights(layers.MultiHeadAttention(2, 3), x, x)
    seen = np.tril(np.ones((5, 5), bool))
    close(layer(x, x, use_causal_mask=True), attended(layer, x, x, x, seen)[0])


def test_masks_of_the_steps_go_along() -> None:
    words = np.array([[3, 1, 2, 0, 0], [1, 1, 4, 2, 0]])
    inputs = keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(5, 6, mask_zero=True)(inputs)
    attention = layers.MultiHeadAttention(2, 3)
    model = keras.Model(inputs, attention(embedded, embedded))
    attention.set_weights([normal(*weight.shape) for weight in attention.get_weights()])
    x = model.layers[1].get_weights()[0][words]
    there = words != 0
    wanted, _ = attended(attention, x, x, x, there[:, None, None, :])
    close(model.predict(words)[there], wanted[there])


def test_plain_attention() -> None:
    query, value, key = normal(2, 5, 6), normal(2, 7, 3), normal(2, 7, 6)
    inner = softmax(query @ key.transpose(0, 2, 1))
    close(layers.Attention()([query, value, key]), inner @ value)
    scaled = layers.Attention(use_scale=True)
    scaled([query, value, key])
    scaled.set_weights([np.float32(0.5)])
    y, weights = scaled([query, value, key], return_attention_scores=True)
    close(weights, softmax(0.5 * query @ key.transpose(0, 2, 1)))
    close(y, weights.numpy() @ value)
    additive = layers.AdditiveAttention()
    additive([query, value, key])
    (scale,) = additive.get_weights()
    sums = (np.tanh(query[:, :, None] + key[:, None]) * scale).sum(-1)
    close(additive([query, value, key]), softmax(sums) @ value)


def test_a_transformer_block_trains_saves_and_is_copied(tmp_path: Path) -> None:
    inputs = keras.Input((8, 4))
    attention = layers.MultiHeadAttention(2, 4, dropout=0.1)
    attention = type(attention)(**attention.config())
    y = layers.LayerNormalization()(layers.Add()([inputs, attention(inputs, inputs)]))
    y = layers.Add()([y, layers.Attention(dropout=0.1)([y, y])])
    assert y.shape == (None, 8, 4)
    model = keras.Model(inputs, layers.Dense(2, "softmax")(layers.GlobalAveragePooling1D()(y)))
    x = normal(64, 8, 4)
    labels = (x[:, 0, 0] > 0).astype(int)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, labels, epochs=5, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < history[0]
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    close(copy.predict(x), model.predict(x))
    model.save(tmp_path / "model")
    close(keras.models.load_model(tmp_path / "model").predict(x), model.predict(x))


def test_dropout_is_for_training() -> None:
    x = normal(4, 6, 8)
    layer = layers.MultiHeadAttention(2, 4, dropout=0.5)
    close(layer(x, x), layer(x, x))
    assert not np.allclose(layer(x, x, training=True).numpy(), layer(x, x).numpy())


def test_errors_say_what_is_wrong() -> None:
    x = normal(2, 5, 6)
    with pytest.raises(TypeError, match="with a query and a value"):
        layers.MultiHeadAttention(2, 3)(x)
    with pytest.raises(ShapeError, match=r"query should be \(N, steps, features\), got \(2, 6\)"):
        layers.MultiHeadAttention(2, 3)(normal(2, 6), x)
    with pytest.raises(ShapeError, match="there are 5 values and 4 keys"):
        layers.MultiHeadAttention(2, 3)(x, x, normal(2, 4, 6))
    with pytest.raises(ShapeError, match=r"attention_mask should be \(N, T, S\), got \(2, 5\)"):
        layers.MultiHeadAttention(2, 3)(x, x, attention_mask=np.ones((2, 5), bool))
    with pytest.raises(ValueError, match="attention_axes"):
        layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))
    with pytest.raises(ShapeError, match=r"Attention takes \[query, value\]"):
        layers.Attention()(x)
    with pytest.raises(ValueError, match="score_mode"):
        layers.Attention(score_mode="concat")
