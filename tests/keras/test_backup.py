"""BackupAndRestore: a training through the Keras face that was killed goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina import keras

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int64)


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        self.at = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.at:
            raise RuntimeError("killed")


class Pairs(keras.utils.Sequence):
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]


def endless() -> Iterator[Any]:
    while True:
        for index in range(5):
            yield Pairs()[index]


def fit(*callbacks: Any, data: Any = (X, Y), **options: Any) -> tuple[Any, Any]:
    keras.backend.clear_session()  # the names begin anew, as in a new process
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Dense(6, activation="relu", input_shape=(5,)),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 5, 0.9)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(
        *data, epochs=4, verbose=0, callbacks=list(callbacks), **{"batch_size": 8, **options}
    )
    return model, history


@pytest.mark.parametrize("save_freq", ["epoch", 3])
@pytest.mark.parametrize("form", ["arrays", "sequence", "generator"])
def test_a_killed_training_goes_on(tmp_path: Path, save_freq: Any, form: str) -> None:
    def data() -> dict[str, Any]:
        if form == "arrays":
            return {"data": (X, Y)}
        if form == "sequence":
            return {"data": (Pairs(),)}
        return {"data": (endless(),), "steps_per_epoch": 5}

    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq)

    whole, expected = fit(**data())
    with pytest.raises(RuntimeError, match="killed"):
        fit(backup(), Kill(2), **data())
    model, history = fit(backup(), **data())
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history.history == expected.history
    assert history.epoch == [0, 1, 2, 3]
    assert not (tmp_path / "backup").exists()


def test_an_odd_frequency(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save_freq is 'epoch' or a number of steps"):
        keras.callbacks.BackupAndRestore(tmp_path, "batch")
