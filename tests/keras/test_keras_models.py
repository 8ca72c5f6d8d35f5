"""Keras's models: training against NumPy, graphs of layers, callbacks, saving, error texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import keras
from glubina.data import DataError
from glubina.graph import ShapeError
from glubina.keras import backend, callbacks, layers, losses, optimizers
from glubina.nn.errors import ArchitectureError

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(60, 4)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
Y = keras.utils.to_categorical(LABELS, 3)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    result: np.ndarray = e / e.sum(-1, keepdims=True)
    return result


def classifier(**options: Any) -> Any:
    return keras.Sequential([layers.Dense(3, activation="softmax", input_shape=(4,), **options)])


def step(model: Any, optimizer: Any, loss: str = "categorical_crossentropy") -> Any:
    model.compile(optimizer, loss)
    return model.fit(X, Y, batch_size=len(X), epochs=3, shuffle=False, verbose=0)


def test_training_by_adadelta_as_keras_does() -> None:
    model = classifier()
    w, b = model.get_weights()
    history = step(model, "adadelta")
    means = [[np.zeros_like(p), np.zeros_like(p)] for p in (w, b)]
    for number in range(3):
        p = softmax(X @ w + b)
        value = -np.mean(np.sum(Y * np.log(p), -1))
        assert abs(value - history.history["loss"][number]) < 1e-5
        error = (p - Y) / len(X)
        moved = []
        for value, g, (v, u) in zip((w, b), (X.T @ error, error.sum(0)), means):
            v[:] = 0.95 * v + 0.05 * g * g
            delta = np.sqrt(u + 1e-7) / np.sqrt(v + 1e-7) * g
            u[:] = 0.95 * u + 0.05 * delta * delta
            moved.append(value - delta)
        w, b = moved
    for mine, wanted in zip(model.get_weights(), (w, b)):
        np.testing.assert_allclose(mine, wanted, atol=2e-5)
    np.testing.assert_allclose(model.predict(X), softmax(X @ w + b), atol=2e-5)


def test_sgd_with_decay_clipping_penalty_and_constraint() -> None:
    model = classifier(
        kernel_regularizer=keras.regularizers.l2(0.1),
        kernel_constraint=keras.constraints.max_norm(0.5),
    )
    w, b = model.get_weights()
    step(model, optimizers.SGD(lr=0.5, decay=0.5, clipnorm=0.1))
    for number in range(3):
        error = (softmax(X @ w + b) - Y) / len(X)
        gradients = [X.T @ error + 0.2 * w, error.sum(0)]
        rate = 0.5 / (1 + 0.5 * number)
        gradients = [g * min(1, 0.1 / np.linalg.norm(g)) for g in gradients]
        w, b = w - rate * gradients[0], b - rate * gradients[1]
        norms = np.linalg.norm(w, axis=0)
        w = w * np.minimum(norms, 0.5) / (norms + 1e-7)
    for mine, wanted in zip(model.get_weights(), (w, b)):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_cross_entropies_are_exact_for_far_logits_and_clipped_for_probabilities() -> None:
    logits = gl.tensor(np.array([[200.0, 0.0], [0.0, 200.0]], np.float32), requires_grad=True)
    target = gl.tensor(np.array([[0.0, 1.0], [0.0, 1.0]], np.float32))
    value = losses.categorical_crossentropy(target, keras.activations.softmax(logits))
    np.testing.assert_allclose(value.numpy(), [200, 0], atol=1e-4)
    value.sum().backward()
    np.testing.assert_allclose(logits.grad.numpy(), [[1, -1], [0, 0]], atol=1e-6)
    plain = gl.tensor(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
    clipped = losses.categorical_crossentropy(target, plain).numpy()
    np.testing.assert_allclose(clipped, [-np.log(1e-7), 1e-7], rtol=1e-4, atol=1e-7)
    one, z = gl.tensor(np.ones((1, 1), np.float32)), gl.tensor(np.full((1, 1), -90, np.float32))
    far = losses.binary_crossentropy(one, keras.activations.sigmoid(z))
    np.testing.assert_allclose(far.numpy(), [90], rtol=1e-6)
    labels = gl.tensor(np.array([1, 1]))
    sparse = losses.sparse_categorical_crossentropy(labels, plain).numpy()
    np.testing.assert_allclose(sparse, clipped, rtol=1e-5, atol=1e-7)


P, T = (
    np.array([[0.2, 0.7], [0.5, 0.4]], np.float32),
    np.array([[0.0, 1.0], [1.0, 0.0]], np.float32),
)
E = P - T
LOSSES = {
    "mean_squared_error": (E**2).mean(-1),
    "mean_absolute_error": abs(E).mean(-1),
    "mean_absolute_percentage_error": 100 * (abs(E) / np.maximum(abs(T), 1e-7)).mean(-1),
    "mean_squared_logarithmic_error": ((np.log1p(P) - np.log1p(np.maximum(T, 1e-7))) ** 2).mean(-1),
    "hinge": np.maximum(1 - (2 * T - 1) * P, 0).mean(-1),
    "squared_hinge": (np.maximum(1 - (2 * T - 1) * P, 0) ** 2).mean(-1),
    "categorical_hinge": np.maximum(((1 - T) * P).max(-1) - (T * P).sum(-1) + 1, 0),
    "huber": (E**2 / 2).mean(-1),
    "log_cosh": np.log(np.cosh(E)).mean(-1),
    "poisson": (P - T * np.log(P + 1e-7)).mean(-1),
    "kl_divergence": (np.clip(T, 1e-7, 1) * np.log(np.clip(T, 1e-7, 1) / P)).sum(-1),
    "cosine_similarity": -(T * P).sum(-1) / np.linalg.norm(P, axis=-1),
    "binary_crossentropy": -(T * np.log(P) + (1 - T) * np.log(1 - P)).mean(-1),
}


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_has_kerass_value(name: str) -> None:
    given = gl.tensor(T), gl.tensor(P)
    np.testing.assert_allclose(getattr(losses, name)(*given).numpy(), LOSSES[name], rtol=2e-5)
    mean = losses.get(name)(*given).item()
    np.testing.assert_allclose(mean, LOSSES[name].mean(), rtol=2e-5)


@pytest.mark.parametrize("name", sorted(optimizers.KNOWN))
def test_each_optimizer_lowers_the_loss(name: str) -> None:
    gl.manual_seed(0)
    history = step(classifier(), optimizers.get(name))
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_default_rates_are_kerass() -> None:
    for name, rate in (("sgd", 0.01), ("adam", 0.001), ("rmsprop", 0.001), ("adadelta", 1.0)):
        assert optimizers.get(name).learning_rate == rate
    optimizer = optimizers.Adam(lr=0.1)
    backend.set_value(optimizer.lr, 0.2)
    assert backend.get_value(optimizer.lr) == 0.2


def two_ended() -> Any:
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    shared = layers.Dense(5, activation="tanh", name="shared")
    both = layers.concatenate([shared(first), shared(second)])
    kind = layers.Dense(3, activation="softmax", name="kind")(both)
    size = layers.Dense(1, name="size")(layers.Dropout(0.1)(both))
    return keras.Model([first, second], [kind, size])


def test_several_inputs_and_outputs_with_a_shared_layer(tmp_path: Path) -> None:
    model = two_ended()
    assert model.count_params() == 4 * 5 + 5 + 33 + 11
    model.compile(
        "adam",
        loss={"kind": "categorical_crossentropy", "size": "mse"},
        metrics={"kind": ["accuracy"]},
        loss_weights={"size": 0.5},
    )
    other = X[::-1].copy()
    size = X.sum(-1)
    history = model.fit([X, other], [Y, size], epochs=2, validation_split=0.2, verbose=0)
    assert list(history.history)[:4] == ["loss", "kind_loss", "size_loss", "kind_accuracy"]
    total, kind, rest, _ = model.evaluate({"first": X, "second": other}, [Y, size], verbose=0)
    assert abs(total - kind - 0.5 * rest) < 1e-5
    one, two = model.predict([X, other])
    assert (one.shape, two.shape) == ((60, 3), (60, 1))
    assert abs(np.mean((two[:, 0] - size) ** 2) - rest) < 1e-4
    model.save(tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded.predict([X, other])[1], two)
    np.testing.assert_allclose(loaded.evaluate([X, other], [Y, size])[0], total, rtol=1e-6)


def test_a_part_of_a_model_is_a_model() -> None:
    model = keras.Sequential([layers.Dense(5, "relu", input_shape=(4,)), layers.Dense(3)])
    part = keras.Model(model.input, model.layers[0].output)
    w, b = model.layers[0].get_weights()
    np.testing.assert_allclose(part.predict(X), np.maximum(X @ w + b, 0), atol=1e-5)
    x = keras.Input((4,))
    nested = keras.Model(x, layers.Activation("tanh")(model(x)) * 2.0)
    np.testing.assert_allclose(nested.predict(X), 2 * np.tanh(model.predict(X)), atol=1e-5)


class Residual(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(4, activation="relu")
        self.out = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.out(x + self.inner(x))


class Scaled(layers.Layer):
    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


def test_classes_of_ones_own() -> None:
    model = Residual()
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, ["accuracy"])
    history = model.fit(X, LABELS, epochs=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(model.weights) == 4
    scaled = keras.Sequential([Scaled(input_shape=(4,)), layers.Dense(1)])
    scaled.compile("sgd", lambda t, p: backend.mean(backend.square(t - p), axis=-1))
    scaled.fit(X, X[:, 0], verbose=0)
    assert not np.allclose(scaled.get_weights()[0], 1)


def test_weights_are_made_from_the_first_data() -> None:
    model = keras.Sequential([layers.Dense(4, "relu"), layers.Dropout(0.5), layers.Dense(1)])
    with pytest.raises(ValueError, match="has no weights yet"):
        model.layers[0].count_params()
    model.compile("rmsprop", "mse", ["mae"])
    model.fit(X, X[:, 0], verbose=0)
    assert model.count_params() == 25
    assert model.layers[0].input_shape == (None, 4)
    loss, error = model.evaluate(X, X[:, :1], verbose=0)
    y = model.predict(X)[:, 0]
    np.testing.assert_allclose(
        [loss, error], [np.mean((y - X[:, 0]) ** 2), np.mean(abs(y - X[:, 0]))], rtol=1e-5
    )


def test_class_and_example_weights() -> None:
    model = classifier()
    model.compile(optimizers.SGD(0.0), "categorical_crossentropy")
    each = -np.log(model.predict(X)[np.arange(60), LABELS])
    factors = {0: 1.0, 1: 2.0, 2: 5.0}
    weights = np.array([factors[label] for label in LABELS])
    history = model.fit(X, Y, class_weight=factors, batch_size=60, verbose=0)
    assert abs(history.history["loss"][0] - np.mean(weights * each)) < 1e-4
    assert abs(model.evaluate(X, Y, sample_weight=weights) - np.mean(weights * each)) < 1e-4
    with pytest.raises(ValueError, match=r"no factor for the classes \[2\]"):
        model.fit(X, Y, class_weight={0: 1.0, 1: 2.0}, verbose=0)


def test_single_batches() -> None:
    model = classifier()
    model.compile("sgd", "categorical_crossentropy", metrics=["acc"])
    before = model.test_on_batch(X[:8], Y[:8])
    assert model.metrics_names == ["loss", "acc"]
    np.testing.assert_allclose(model.train_on_batch(X[:8], Y[:8]), before, rtol=1e-5)
    assert model.test_on_batch(X[:8], Y[:8])[0] < before[0]


def test_callbacks(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watch(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(("epoch", epoch))

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)

    model = classifier()
    model.compile(optimizers.SGD(0.1), "categorical_crossentropy", ["accuracy"])
    history = model.fit(
        X,
        Y,
        epochs=3,
        verbose=0,
        validation_data=(X, Y),
        callbacks=[
            Watch(),
            callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1)),
            callbacks.CSVLogger(tmp_path / "log.csv"),
            callbacks.ModelCheckpoint(tmp_path / "w-{epoch:02d}", save_weights_only=True),
            callbacks.LambdaCallback(on_train_end=lambda logs: seen.append("end")),
        ],
    )
    assert seen == [("epoch", 0), 0, 1, ("epoch", 1), 0, 1, ("epoch", 2), 0, 1, "end"]
    np.testing.assert_allclose(history.history["learning_rate"], [0.1, 0.05, 0.1 / 3])
    assert history.epoch == [0, 1, 2]
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch,loss,accuracy,val_loss")
    weights = model.get_weights()
    model.set_weights([w * 0 for w in weights])
    model.load_weights(tmp_path / "w-03")
    np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_early_stopping_and_reduced_rate() -> None:
    model = classifier()
    model.compile(optimizers.SGD(0.0), "categorical_crossentropy")
    plateau = callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=10)
    stop = callbacks.EarlyStopping("loss", patience=2, restore_best_weights=True)
    history = model.fit(X, Y, epochs=9, shuffle=False, verbose=0, callbacks=[plateau, stop])
    assert len(history.epoch) == 3
    with pytest.raises(ValueError, match="monitors 'val_loss'; the figures of this training are"):
        model.fit(X, Y, verbose=0, callbacks=[callbacks.EarlyStopping()])


def test_frozen_layers_do_not_move() -> None:
    model = keras.Sequential([layers.Dense(4, input_shape=(4,)), layers.Dense(3, "softmax")])
    model.layers[0].trainable = False
    before = model.get_weights()
    step(model, "sgd")
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert (before[2] != after[2]).any()
    assert len(model.trainable_weights) == 2


def test_metrics_over_the_whole_set() -> None:
    model = keras.Sequential([layers.Dense(1, activation="sigmoid", input_shape=(4,))])
    y = (X[:, 0] > 0).astype(int)
    model.compile(
        "adam",
        "binary_crossentropy",
        ["accuracy", keras.metrics.AUC(), keras.metrics.Precision(), keras.metrics.Recall()],
    )
    _, accuracy, area, precision, recall = model.evaluate(X, y, batch_size=7)
    p = model.predict(X)[:, 0]
    taken = p > 0.5
    assert abs(accuracy - np.mean(taken == y)) < 1e-6
    assert abs(precision - np.mean(y[taken])) < 1e-6
    assert abs(recall - np.mean(taken[y == 1])) < 1e-6
    exact = np.mean(p[y == 1][:, None] > p[y == 0])
    assert abs(area - exact) < 0.02


def test_the_summary_is_as_kerass(capsys: pytest.CaptureFixture[str]) -> None:
    backend.clear_session()
    two_ended().summary()
    text = capsys.readouterr().out
    assert "shared (Dense)" in text
    assert "Total params: 69" in text
    assert "Connected to" in text
    classifier().summary()
    assert "dense (Dense)" in capsys.readouterr().out.replace("dense_1", "dense")


def test_errors_say_what_is_wrong() -> None:
    model = classifier()
    with pytest.raises(RuntimeError, match="call compile"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        model.compile("adm", "mse")
    with pytest.raises(
        ValueError, match=r"unknown loss .* did you mean 'categorical_crossentropy'"
    ):
        model.compile("adam", "categorical_crossentropi")
    with pytest.raises(ValueError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        model.compile("adam", "categorical_crossentropy", ["acuracy"])
    model.compile("adam", "categorical_crossentropy")
    with pytest.raises(DataError, match="need loss='sparse_categorical_crossentropy'"):
        model.fit(X, LABELS)
    with pytest.raises(ShapeError, match=r"takes data of shape \(None, 4\), got \(32, 3\)"):
        model.fit(X[:, :3], Y)
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(DataError, match="for one-hot targets take 'categorical_crossentropy'"):
        model.fit(X, Y)
    with pytest.raises(TypeError, match=r"Sequential holds layers of keras.layers, got .*Dense"):
        keras.Sequential([layers.Dense])
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    with pytest.raises(ValueError, match="depend on 'b', which is not among the model's inputs"):
        keras.Model(a, layers.add([a, b]))
    with pytest.raises(ValueError, match="weighted_metrics are not supported"):
        classifier().compile("adam", "mse", weighted_metrics=["accuracy"])


def test_helpers() -> None:
    padded = keras.preprocessing.sequence.pad_sequences([[1, 2, 3], [4]], maxlen=2)
    np.testing.assert_array_equal(padded, [[2, 3], [0, 4]])
    after = keras.preprocessing.sequence.pad_sequences([[1, 2, 3], [4]], padding="post")
    np.testing.assert_array_equal(after, [[1, 2, 3], [4, 0, 0]])
    one_hot = keras.utils.to_categorical([[1], [0]], 3)
    np.testing.assert_array_equal(one_hot, [[0, 1, 0], [1, 0, 0]])
    with pytest.raises(ValueError, match="labels must go from 0 to 1; found 0 to 2"):
        keras.utils.to_categorical([0, 2], 2)
    assert backend.image_data_format() == "channels_last"
    assert (backend.floatx(), backend.epsilon()) == ("float32", 1e-7)


def test_a_layer_adds_to_the_loss() -> None:
    class Penalised(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss((inputs * inputs).mean() * 0.5)
            return inputs

    model = keras.Sequential([keras.Input((3,)), Penalised(), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = np.full((8, 3), 2.0, np.float32), np.zeros((8, 1), np.float32)
    plain = float(np.mean(model.predict(x, verbose=0) ** 2))
    history = model.fit(x, y, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], plain + 2.0, rtol=1e-5)
    with pytest.raises(ValueError, match="add_loss takes a tensor of one number"):
        Penalised().add_loss(3)


def test_rescaling() -> None:
    found = layers.Rescaling(1 / 255, offset=-0.5)(np.array([[0, 255]], np.uint8))
    np.testing.assert_allclose(np.asarray(found), [[-0.5, 0.5]], rtol=1e-6)


def test_architectures_as_text() -> None:
    model = keras.Sequential(
        [layers.Dense(3, activation="relu", input_shape=(4,)), layers.Dense(2)]
    )
    model.compile("adam", "mse")
    copy = keras.models.model_from_json(model.to_json(indent=2))
    copy.set_weights(model.get_weights())
    x = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    np.testing.assert_array_equal(copy.predict(x), model.predict(x))
    copy.fit(x, np.ones((5, 2)), epochs=1, verbose=0)  # compiled as the first was
    for text, reason in (
        ("{", "this is not JSON"),
        ("[" * 10**5, "nests deeper than"),
        ('{"class": "os.system", "arguments": {}}', "unknown class 'os.system'"),
        ("[]", "expected an object with 'class'"),
    ):
        with pytest.raises(ArchitectureError, match=reason):
            keras.models.model_from_json(text)
