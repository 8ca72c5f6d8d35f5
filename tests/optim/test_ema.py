"""The moving average of weights: against NumPy, in loops, in compiled steps, in fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.train import Checkpoint, EarlyStopping


def net_and_data(seed: int = 1) -> tuple[Any, Any, Any]:
    gl.manual_seed(seed)
    random = np.random.default_rng(0)
    x = random.normal(size=(24, 6, 6, 1)).astype(np.float32)
    y = random.integers(0, 3, 24)
    net = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.25), nn.Linear(16, 3)),
    )
    return net, x, y


def arrays(state: Any) -> dict[str, Any]:
    return {name: value.numpy() for name, value in state.items()}


def averaged(history: list[dict[str, Any]], decay: float, warmup: bool) -> dict[str, Any]:
    """The average after these states, the first being the one before training."""
    result = {name: value.astype(np.float64) for name, value in history[0].items()}
    for t, state in enumerate(history[1:]):
        d = min(decay, (1 + t) / (10 + t)) if warmup else decay
        result = {name: d * result[name] + (1 - d) * value for name, value in state.items()}
    return result


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("decay", "warmup"), [(0.9, False), (0.3, True), (0.99, True)])
def test_against_numpy(compiled: bool, decay: float, warmup: bool) -> None:
    net, x, y = net_and_data()
    rule = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    average = optim.EMA(net, decay, warmup)
    before = average.weights

    def step(x: Any, y: Any) -> Any:
        rule.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        rule.step()
        average.update()
        return loss.detach()

    run = gl.compile(step) if compiled else step
    history = [arrays(net.state_dict())]
    for _ in range(6):
        run(gl.tensor(x), gl.tensor(y))
        history.append(arrays(net.state_dict()))
    assert average.updates == 6
    wanted = averaged(history, decay, warmup)
    for name, value in average.weights.items():
        assert value is before[name]
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value.numpy(), wanted[name], rtol=2e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(value.numpy(), history[-1][name])


def test_without_buffers_the_present_ones_are_taken() -> None:
    net, x, _ = net_and_data()
    average = optim.EMA(net, 0.5, warmup=False, buffers=False)
    net(gl.tensor(x))  # in training: the running statistics move
    average.update()
    for name, value in net.named_buffers():
        np.testing.assert_array_equal(average.weights[name].numpy(), value.numpy())
    assert not np.allclose(average.weights["1.running_mean"].numpy(), 0)


def test_swapping_keeps_programs_and_values() -> None:
    net, x, _ = net_and_data()
    average = optim.EMA(net, 0.5)
    with gl.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    own, kept = arrays(net.state_dict()), arrays(average.weights)
    assert not np.array_equal(own["6.bias"], kept["6.bias"])
    net.eval()
    forward = gl.compile(lambda x: net(x))
    first = forward(gl.tensor(x)).numpy()
    with average.applied():
        other = forward(gl.tensor(x)).numpy()
        for name, value in arrays(net.state_dict()).items():
            np.testing.assert_array_equal(value, kept[name])
    np.testing.assert_array_equal(forward(gl.tensor(x)).numpy(), first)
    net.load_state_dict(average.weights)
    np.testing.assert_array_equal(forward(gl.tensor(x)).numpy(), other)
    for name, value in arrays(average.weights).items():
        np.testing.assert_array_equal(value, kept[name])


def test_training_goes_on_after_swapping() -> None:
    """A step between two looks at the averaged weights is the step without them."""

    def run(looks: bool) -> tuple[Any, Any]:
        net, x, y = net_and_data()
        rule = optim.Adam(net.parameters(), lr=0.01)
        average = optim.EMA(net, 0.9)

        @gl.compile
        def step() -> None:
            rule.zero_grad()
            nn.functional.cross_entropy(net(gl.tensor(x)), gl.tensor(y)).backward()
            rule.step()
            average.update()

        for _ in range(4):
            step()
            if looks:
                net.eval()
                with average.applied():
                    net(gl.tensor(x)).numpy()
                net.train()
        return arrays(net.state_dict()), arrays(average.weights)

    plain, looked = run(False), run(True)
    for one, other in zip(plain, looked):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)


def test_state_dict_continues() -> None:
    net, *_ = net_and_data()
    one, other = optim.EMA(net, 0.9), optim.EMA(net, 0.9)
    with gl.no_grad():
        net[6].bias.add_(1.0)
    one.update()
    other.load_state_dict(one.state_dict())
    assert other.updates == 1
    for average in (one, other):
        average.update()
    for name, value in one.weights.items():
        np.testing.assert_array_equal(other.weights[name].numpy(), value.numpy())
    with pytest.raises(ValueError, match=r"6\.bias"):
        other.load_state_dict({"updates": 1, "weights": {}})
    wrong = {**one.weights, "6.bias": np.zeros(7, np.float32)}
    with pytest.raises(ValueError, match=r"6\.bias has shape \(7,\), the model's \(3,\)"):
        other.load_state_dict({"updates": 1, "weights": wrong})


@pytest.mark.parametrize("decay", [1, -0.1, float("nan"), "0.9", None, True])
def test_a_wrong_decay_is_refused(decay: Any) -> None:
    net, *_ = net_and_data()
    with pytest.raises(ValueError, match=r"decay must be from 0 to below 1, got"):
        optim.EMA(net, decay)


def test_swapping_within_a_compiled_function_is_refused() -> None:
    net, *_ = net_and_data()
    average = optim.EMA(net)
    with pytest.raises(RuntimeError, match=r"between the steps"):
        gl.compile(lambda: average.swap())()


# -- in fit ---------------------------------------------------------------------------------------


def compiled_net(ema: Any) -> tuple[Any, Any, Any]:
    net, x, y = net_and_data()
    net.compile(lambda p: optim.SGD(p, lr=0.1), nn.CrossEntropyLoss(), ["accuracy"], ema=ema)
    return net, x, y


def test_fit_leaves_the_average() -> None:
    """Against a loop of single steps with NumPy's average beside it."""
    net, x, y = compiled_net(0.9)
    history = [arrays(net.state_dict())]
    seen: list[dict[str, Any]] = []

    class Watch(gl.train.Callback):
        def on_step_end(self, step: int, logs: Any) -> None:
            history.append(arrays(self.session.model.state_dict()))

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            seen.append(arrays(self.session.model.state_dict()))

    done = net.fit(x, y, batch_size=8, epochs=2, callbacks=Watch(), seed=0, verbose=0,
                   validation_data=(x, y))  # fmt: skip
    assert len(history) == 7
    wanted = averaged(history, 0.9, True)
    left = arrays(net.state_dict())
    for name, value in left.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(value, wanted[name], rtol=2e-5, atol=1e-6, err_msg=name)
        np.testing.assert_array_equal(seen[-1][name], value)  # callbacks see the averaged ones
    assert net.evaluate(x, y)["loss"] == pytest.approx(done["val_loss"][-1], rel=1e-6)
    assert not np.allclose(left["6.weight"], history[-1]["6.weight"])


def test_callbacks_do_not_change_the_average() -> None:
    results = []
    watching = EarlyStopping("loss", patience=9, restore_best_weights=False)
    for callbacks in ([], [lambda epoch, logs: None, watching]):
        net, x, y = compiled_net(0.8)
        gl.manual_seed(5)
        net.fit(x, y, batch_size=8, epochs=3, callbacks=callbacks, seed=0, verbose=0)
        results.append(arrays(net.state_dict()))
    for name, value in results[0].items():
        np.testing.assert_array_equal(results[1][name], value)


def test_early_stopping_and_checkpoints_keep_averaged_weights(tmp_path: Path) -> None:
    net, x, y = compiled_net(0.9)
    stop = EarlyStopping("val_loss", patience=2)
    keep = Checkpoint(tmp_path / "best.safetensors", monitor="val_loss")
    history = net.fit(x, y, batch_size=8, epochs=6, validation_data=(x, y), seed=0, verbose=0,
                      callbacks=[stop, keep])  # fmt: skip
    best = min(history["val_loss"])
    assert net.evaluate(x, y)["loss"] == pytest.approx(best, rel=1e-6)
    net.load_state_dict(gl.files.read_tensors(tmp_path / "best.safetensors"))
    assert net.evaluate(x, y)["loss"] == pytest.approx(best, rel=1e-6)


def test_an_error_in_training_leaves_the_average() -> None:
    net, x, y = compiled_net(0.9)
    states: list[Any] = []

    def fail(epoch: int, logs: Any) -> None:
        states.append(arrays(net.state_dict()))
        raise KeyError("enough")

    with pytest.raises(KeyError):
        net.fit(x, y, batch_size=8, epochs=2, callbacks=fail, seed=0, verbose=0)
    for name, value in arrays(net.state_dict()).items():
        np.testing.assert_array_equal(states[0][name], value)


def test_a_second_fit_goes_on_from_the_weights_that_are_there() -> None:
    net, x, y = compiled_net(0.99)
    net.fit(x, y, batch_size=8, epochs=1, seed=0, verbose=0)
    with gl.no_grad():
        for parameter in net.parameters():
            parameter.fill_(5.0)
    net.fit(x, y, batch_size=24, epochs=1, seed=0, verbose=0)
    assert np.abs(net[6].weight.numpy() - 5).max() < 1


def test_an_average_of_ones_own() -> None:
    net, x, y = net_and_data()
    average = optim.EMA(net, 0.5, warmup=False)
    net.compile("sgd", nn.CrossEntropyLoss(), ema=average)
    net.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert average.updates == 3


@pytest.mark.parametrize("ema", [1.0, -1, True, "0.9"])
def test_fit_refuses_a_wrong_ema(ema: Any) -> None:
    net, *_ = net_and_data()
    with pytest.raises(ValueError, match=r"ema .* must be from 0 to below 1, got"):
        net.compile("sgd", nn.CrossEntropyLoss(), ema=ema)
