"""The fit loop: it learns, counts exactly, repeats itself from a seed, and refuses bad data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataError, DataLoader
from glubina.graph import GraphError
from glubina.metrics import Metric
from glubina.train import Callback, EarlyStopping, Scheduled, Trainer

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64) + (X[:, 2] > 1)


def trainer(rate: float = 0.1, seed: int = 0, **options: Any) -> Trainer:
    gl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    rule = optim.SGD(model.parameters(), lr=rate)
    return Trainer(model, rule, nn.CrossEntropyLoss(), ["accuracy"], **options)


def weights(made: Trainer) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in made.model.state_dict().items()}


def forward(state: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The network of `trainer` in NumPy."""
    hidden = np.tanh(x @ state["0.weight"].T + state["0.bias"])
    logits: np.ndarray = hidden @ state["2.weight"].T + state["2.bias"]
    return logits


def loss_of(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    z = logits - logits.max(axis=1, keepdims=True)
    losses: np.ndarray = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]
    return losses


def test_it_learns() -> None:
    made = trainer(0.5)
    history = made.fit(X, Y, batch_size=16, epochs=40, verbose=0)
    assert len(history) == 40
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9


@pytest.mark.parametrize("batch_size", [7, 10, 50, 64])
def test_figures_are_exact_means(batch_size: int) -> None:
    made = trainer(0.0)  # a rate of 0: the weights stay, so the means can be computed outside
    logits = forward(weights(made), X)
    history = made.fit(X, Y, batch_size=batch_size, verbose=0, validation_data=(X[:20], Y[:20]))
    assert history["loss"][0] == pytest.approx(loss_of(logits, Y).mean(), rel=1e-5)
    assert history["accuracy"][0] == (logits.argmax(axis=1) == Y).mean()
    assert history["val_loss"][0] == pytest.approx(loss_of(logits, Y)[:20].mean(), rel=1e-5)
    found = made.evaluate(X, Y, batch_size=batch_size)
    assert found["accuracy"] == history["accuracy"][0]
    assert found["loss"] == pytest.approx(history["loss"][0], rel=1e-6)


def test_validation_over_many_mini_batches() -> None:
    made = trainer(0.1)
    x = RANDOM.normal(size=(3000, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    for _ in range(2):  # the second time with programs that exist
        history = made.fit(x, y, batch_size=128, epochs=2, validation_data=(x, y), verbose=0)
        logits = forward(weights(made), x)
        assert history["val_loss"][-1] == pytest.approx(loss_of(logits, y).mean(), rel=1e-5)
        assert history["val_accuracy"][-1] == (logits.argmax(axis=1) == y).mean()


def test_the_steps_are_those_of_a_plain_loop() -> None:
    made, plain = trainer(0.1), trainer(0.1)
    made.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        for start in range(0, len(X), 16):
            plain.optimizer.zero_grad()
            outputs = plain.model(gl.tensor(X[start : start + 16]))
            nn.CrossEntropyLoss()(outputs, gl.tensor(Y[start : start + 16])).backward()
            plain.optimizer.step()
    for name, value in weights(plain).items():
        np.testing.assert_allclose(weights(made)[name], value, rtol=1e-5, atol=1e-6)


def test_every_example_is_seen_once_in_an_epoch() -> None:
    seen: list[float] = []
    total = Metric("total", lambda outputs, targets: (outputs.sum(), 1))

    class Keep(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            seen.append(logs["total"])

    model = nn.Linear(1, 1)
    model.load_state_dict({"weight": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)})
    made = Trainer(model, optim.SGD(model.parameters(), lr=0.0), nn.MSELoss(), [total])
    x = 2.0 ** np.arange(12)[:, None]
    made.fit(x, x, batch_size=5, epochs=2, callbacks=Keep(), verbose=0)
    assert seen == [x.sum() / 3] * 2  # three mini-batches, counted as one each


def test_the_same_seed_gives_the_same_bits() -> None:
    made = [trainer(), trainer(), trainer()]
    for each, seed in zip(made, (7, 7, 8)):
        each.fit(X, Y, batch_size=16, epochs=3, seed=seed, verbose=0)
    first, second, other = (weights(each) for each in made)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert any((first[name] != other[name]).any() for name in first)


def test_manual_seed_decides_where_no_seed_is_given() -> None:
    states = []
    for _ in range(2):
        made = trainer(seed=3)
        made.fit(X, Y, batch_size=16, epochs=2, verbose=0)
        states.append(weights(made))
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name])


def test_callbacks_and_slices_do_not_change_the_weights() -> None:
    class Steps(Callback):
        def on_step_end(self, step: int, logs: Any) -> None:
            steps.append(step)
            assert 0 <= logs["accuracy"] <= 1

    steps: list[int] = []
    plain, watched = trainer(), trainer()
    plain.fit(X, Y, batch_size=16, epochs=2, seed=1, verbose=0)
    watched.fit(X, Y, batch_size=16, epochs=2, seed=1, verbose=0, callbacks=[Steps()])
    assert steps == [1, 2, 3, 4, 1, 2, 3, 4]
    for name, value in weights(plain).items():
        np.testing.assert_array_equal(weights(watched)[name], value)


def test_stopping_inside_an_epoch() -> None:
    class Stop(Callback):
        def on_step_end(self, step: int, logs: Any) -> None:
            if step == 2:
                self.session.stop("enough")

    history = trainer().fit(X, Y, batch_size=10, epochs=3, callbacks=Stop(), verbose=0)
    assert len(history) == 1
    assert history.stopped == "enough"


def test_the_best_weights_come_back() -> None:
    made = trainer(0.5)
    kept: list[dict[str, np.ndarray]] = []
    stopping = EarlyStopping("val_loss", patience=2)
    history = made.fit(
        X[:20],
        Y[:20],
        batch_size=4,
        epochs=60,
        validation_data=(X[20:], 2 - Y[20:]),  # what is learnt is wrong here, so it soon worsens
        callbacks=[lambda epoch, logs: kept.append(weights(made)), stopping],
        verbose=0,
    )
    assert len(history) == stopping.best_epoch + 2 < 60
    for name, value in kept[stopping.best_epoch - 1].items():
        np.testing.assert_array_equal(weights(made)[name], value)


def test_loaders_and_data_sets() -> None:
    class Pairs:
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return X[index], Y[index]

    made = [trainer() for _ in range(3)]
    made[0].fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    made[1].fit(DataLoader((X, Y), batch_size=16), epochs=2, verbose=0)
    made[2].fit(DataLoader(Pairs(), batch_size=16), epochs=2, verbose=0)
    expected = weights(made[0])
    for other in made[1:]:
        for name, value in weights(other).items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-7)
    assert made[2].evaluate(Pairs()) == pytest.approx(made[0].evaluate(X, Y), rel=1e-5)
    made[0].fit(Pairs(), batch_size=16, verbose=0)


def test_validation_split_holds_examples_back() -> None:
    sizes: list[int] = []

    class Look(Callback):
        def on_train_begin(self) -> None:
            sizes.append(self.session.examples)

    history = trainer().fit(X, Y, validation_split=0.2, callbacks=Look(), verbose=0)
    assert sizes == [40]
    assert "val_loss" in history
    with pytest.raises(ValueError, match="not both"):
        trainer().fit(X, Y, validation_split=0.2, validation_data=(X, Y), verbose=0)


def test_predict_gives_probabilities() -> None:
    made = trainer()
    shares = made.predict(X, batch_size=16)
    logits = forward(weights(made), X)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, rtol=1e-5)
    np.testing.assert_allclose(made.outputs(X, batch_size=64), logits, rtol=1e-5, atol=1e-6)
    assert made.predict(X[:1]).shape == (1, 3)


def test_dropout_is_off_in_use_and_modes_come_back() -> None:
    gl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    made = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    np.testing.assert_array_equal(made.predict(X), made.predict(X))
    assert model.training
    model.eval()
    made.fit(X, Y, verbose=0)
    assert not model.training


def test_bytes_and_numbers() -> None:
    images = RANDOM.integers(0, 256, (20, 4)).astype(np.uint8)
    made, floats = trainer(1e-4), trainer(1e-4)
    made.fit(images, Y[:20], shuffle=False, verbose=0)
    floats.fit(images.astype(np.float64), Y[:20], shuffle=False, verbose=0)
    for name, value in weights(made).items():
        np.testing.assert_array_equal(weights(floats)[name], value)


def test_a_regression_with_flat_targets() -> None:
    gl.manual_seed(0)
    model = nn.Linear(4, 1)
    made = Trainer(model, optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), ["mae", "mse"])
    slope = np.array([1.0, -2.0, 0.5, 3.0])
    history = made.fit(X, X @ slope + 1, batch_size=10, epochs=60, verbose=0)
    assert history["mse"][-1] == pytest.approx(history["loss"][-1], rel=1e-4)
    np.testing.assert_allclose(weights(made)["weight"][0], slope, atol=0.01)
    assert made.predict(X).shape == (50, 1)


def test_a_loss_that_is_no_number_stops_training() -> None:
    model = nn.Linear(4, 1)
    made = Trainer(model, optim.SGD(model.parameters(), lr=1e10), nn.MSELoss())
    with pytest.warns(RuntimeWarning, match=r"the loss became NaN in epoch \d: lower"):
        history = made.fit(X, X[:, 0], batch_size=5, epochs=20, verbose=0)
    assert len(history) < 20
    assert "NaN" in history.stopped


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:0], Y[:0], "x is empty"),
        (X, Y[:-1], "50 examples and y has 49"),
        (X, Y + 1, "the label 3 in row"),
        (X, Y.astype(float), "cross-entropy expects class numbers"),
        (np.where(X > 2, np.nan, X), Y, "x contains nan in row"),
    ],
)
def test_bad_data_change_nothing(x: Any, y: Any, message: str) -> None:
    made = trainer()
    before = weights(made)
    with pytest.raises(DataError, match=message):
        made.fit(x, y, verbose=0)
    for name, value in weights(made).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_wrong_shape_names_the_layer() -> None:
    with pytest.raises(GraphError, match=r"layer '0' \(Linear"):
        trainer().fit(X[:, :3], Y, verbose=0)


def test_an_error_in_a_callback_ends_training_in_order() -> None:
    told: list[str] = []

    class Fails(Callback):
        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            raise RuntimeError("mine")

        def on_train_end(self) -> None:
            told.append("end")

    made = trainer()
    made.model.train(False)
    with pytest.raises(RuntimeError, match="mine"):
        made.fit(X, Y, callbacks=Fails(), verbose=0)
    assert told == ["end"]
    assert not made.model.training


def test_what_is_missing_is_said() -> None:
    model = nn.Linear(4, 3)
    with pytest.raises(ValueError, match="no loss"):
        Trainer(model).fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="no optimizer"):
        Trainer(model, loss=nn.CrossEntropyLoss()).fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
        trainer().fit(X, Y, epochs=0, verbose=0)


@pytest.mark.parametrize("rule", [optim.Adam, lambda params: optim.Adam(params, lr=0.01)])
def test_an_optimizer_made_when_the_sizes_are_known(rule: Any) -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    made = Trainer(model, rule, nn.CrossEntropyLoss())
    history = made.fit(X, Y, epochs=3, verbose=0)
    assert history["loss"][-1] < history["loss"][0]


@pytest.fixture(autouse=True)
def _fixed_chance() -> None:
    """Every test begins from the same state of chance."""
    gl.manual_seed(0)


def test_validation_in_several_batches_equals_evaluation() -> None:
    """Sums that are set back to zero between epochs go on from mini-batch to mini-batch."""
    rng = np.random.default_rng(0)
    x = rng.random((700, 5)).astype(np.float32)
    y = rng.integers(0, 3, 700)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    model.compile(optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss(), ["accuracy"])
    history = model.fit(x, y, batch_size=128, epochs=3, validation_data=(x, y), verbose=0)
    after = model.evaluate(x, y)
    assert history["val_loss"][-1] == pytest.approx(after["loss"], rel=1e-6)
    assert history["val_accuracy"][-1] == pytest.approx(after["accuracy"], rel=1e-6)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"epochs": "3"}, "epochs must be a whole number of at least 1, got '3'"),
        ({"epochs": 1.5}, "epochs must be a whole number of at least 1, got 1.5"),
        ({"batch_size": None}, "batch_size must be a whole number of at least 1, got None"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, got 2.5"),
        ({"validation_split": 2}, "validation_split must be between 0 and 1, got 2"),
        ({"validation_split": "a"}, "validation_split must be a number, got 'a'"),
        ({"verbose": "x"}, "verbose must be 0, 1 or 2, got 'x'"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"callbacks": 3}, "a callback is an instance of Callback or a function .* got 3"),
    ],
)
def test_bad_arguments_of_fit(given: dict[str, Any], text: str) -> None:
    net = nn.Linear(3, 2)
    net.compile("sgd", "mse", "mse")  # one metric by its name
    with pytest.raises((ValueError, TypeError), match=text):
        net.fit(np.zeros((4, 3)), np.zeros((4, 2)), **{"verbose": 0, **given})


def test_bad_arguments_of_compile_and_callbacks() -> None:
    net = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"optimizer must be an optimizer, or a function .* got 3"):
        net.compile(3, "mse")
    with pytest.raises(TypeError, match=r"loss must be a function of .outputs, targets., got 3"):
        net.compile("sgd", 3)
    with pytest.raises(ValueError, match="patience must be a whole number of at least 0, got '3'"):
        EarlyStopping(patience="3")
    with pytest.raises(ValueError, match="min_delta must not be negative, got -1"):
        EarlyStopping(min_delta=-1)
    with pytest.raises(TypeError, match=r"Scheduled takes a function of .*, got 3"):
        Scheduled(3)


def test_a_class_is_no_loss() -> None:
    with pytest.raises(TypeError, match=r"got the class MSELoss: give MSELoss\(\)"):
        nn.Linear(3, 2).compile("adam", nn.MSELoss)  # type: ignore[arg-type]


def test_a_loader_with_mini_batches_of_its_own_is_asked_for_them() -> None:
    class Doubled(DataLoader):
        def __iter__(self) -> Any:
            return ((2 * x, y) for x, y in super().__iter__())

    made, other = trainer(), trainer()
    made.fit(Doubled((X, Y), 10), epochs=2, verbose=0)
    other.fit(2 * X, Y, 10, epochs=2, shuffle=False, verbose=0)
    for name, value in weights(other).items():
        np.testing.assert_allclose(weights(made)[name], value, rtol=1e-5, atol=1e-6)
    assert made.evaluate(Doubled((X, Y), 10)) == pytest.approx(made.evaluate(2 * X, Y), rel=1e-5)
