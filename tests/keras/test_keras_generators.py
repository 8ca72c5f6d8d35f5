"""Data in mini-batches: `Sequence`, generators, `ImageDataGenerator`; penalties on outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina import keras
from glubina.data import DataError
from glubina.keras import backend as K
from glubina.keras.layers import Conv2D, Dense, Flatten
from glubina.keras.preprocessing.image import ImageDataGenerator

_random = np.random.default_rng(0)
X = _random.random((20, 6, 6, 1)).astype("float32")
Y = np.eye(3, dtype="float32")[_random.integers(0, 3, 20)]


class Parts(keras.utils.Sequence):
    ended = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]

    def on_epoch_end(self) -> None:
        self.ended += 1


def _built() -> Any:
    model = keras.Sequential(
        [
            Conv2D(2, 3, activation="relu", input_shape=(6, 6, 1)),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    draws = np.random.default_rng(1)
    model.set_weights([draws.normal(0, 0.1, w.shape) for w in model.get_weights()])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


def _endless() -> Iterator[Any]:
    while True:
        parts = Parts()
        yield from (parts[i] for i in range(3))


def test_a_sequence_and_a_generator_train_as_arrays_do() -> None:
    whole = _built().fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    parts = Parts()
    model = _built()
    found = model.fit(parts, epochs=2, shuffle=False, verbose=0, validation_data=Parts())
    np.testing.assert_allclose(found.history["loss"], whole["loss"], rtol=1e-5)
    assert parts.ended == 2
    assert len(found.history["val_accuracy"]) == 2
    given = _built().fit(_endless(), steps_per_epoch=3, epochs=2, verbose=0).history
    np.testing.assert_allclose(given["loss"], whole["loss"], rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(Parts()), model.evaluate(X, Y), rtol=1e-5)
    np.testing.assert_allclose(model.predict(Parts()), model.predict(X), rtol=1e-5)
    with pytest.raises(DataError, match="say how many mini-batches make an epoch"):
        model.fit(_endless(), verbose=0)


def test_images_are_scaled_moved_and_mirrored() -> None:
    plain = ImageDataGenerator(rescale=2.0).flow(X, Y, batch_size=8, shuffle=False)
    images, labels = next(plain)
    np.testing.assert_array_equal(images, 2 * X[:8])
    np.testing.assert_array_equal(labels, Y[:8])
    assert [len(next(plain)[0]) for _ in range(3)] == [8, 4, 8]
    made = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    with pytest.raises(RuntimeError, match=r"call fit\(x\)"):
        next(made.flow(X, Y))
    made.fit(X)
    images, _ = next(made.flow(X, Y, batch_size=20))
    assert abs(images.mean()) < 1e-5
    np.random.seed(0)  # noqa: NPY002 - what the generator draws from
    turn = ImageDataGenerator(width_shift_range=1, fill_mode="constant")
    picture = np.zeros((5, 5, 1), np.float32)
    picture[2, 2] = 1
    moved = turn.random_transform(picture)
    assert moved[2].sum() == pytest.approx(1, abs=1e-5)
    assert moved.sum() == pytest.approx(1, abs=1e-5)
    flipped = ImageDataGenerator(horizontal_flip=True)
    seen = {flipped.random_transform(X[0]).tobytes() for _ in range(20)}
    assert seen == {X[0].tobytes(), np.ascontiguousarray(X[0][:, ::-1]).tobytes()}


def test_a_penalty_on_outputs_is_counted_per_example() -> None:
    x = np.ones((4, 2), "float32")
    model = keras.Sequential(
        [Dense(3, kernel_initializer="ones", activity_regularizer=keras.regularizers.l1(0.5),
               input_shape=(2,))]
    )  # fmt: skip
    model.compile("sgd", "mse")
    assert model.evaluate(x, np.full((4, 3), 2.0), verbose=0) == pytest.approx(0.5 * 6)


def test_functions_of_the_backend() -> None:
    x = K.constant([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(K.eval(K.transpose(x)), [[1, 3], [2, 4]])
    np.testing.assert_array_equal(K.eval(K.batch_dot(x, x, axes=1)), [[5], [25]])
    np.testing.assert_array_equal(K.eval(K.repeat_elements(x, 2, 0))[:2], [[1, 2], [1, 2]])
    crossed = K.categorical_crossentropy(K.constant([[0.0, 1.0]]), K.constant([[0.2, 0.8]]))
    np.testing.assert_allclose(K.eval(crossed), [-np.log(0.8)], rtol=1e-6)


def test_weights_go_into_layers_with_other_names(tmp_path: Path) -> None:
    model, other = _built(), _built()
    other.set_weights([np.zeros_like(w) for w in other.get_weights()])
    model.save_weights(tmp_path / "weights.h5")
    other.load_weights(tmp_path / "weights.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    small = keras.Sequential([Dense(2, input_shape=(3,))])
    with pytest.raises(ValueError, match="the state does not fit"):
        small.load_weights(tmp_path / "weights.h5")
