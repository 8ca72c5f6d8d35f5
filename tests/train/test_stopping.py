"""Rules that end training: the norms against NumPy, the step and the time limit."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.nn import penalty
from glubina.train import EarlyStopping, FunctionCallback, Stop
from glubina.train.callbacks import Callback

RANDOM = np.random.default_rng(8)
X = RANDOM.standard_normal((12, 3)).astype("f")
Y = (X @ RANDOM.standard_normal((3, 2))).astype("f")


def _net(rate: float = 0.1, **limits: Any) -> Any:
    gl.manual_seed(1)
    net = nn.Linear(3, 2)
    net.compile(optim.SGD(net.parameters(), lr=rate), "mse", **limits)
    return net


def _path(net: Any, factor: float = 0.0) -> list[tuple[float, float, Any]]:
    """‖∇Q‖, ‖w_t − w_{t−1}‖ and w of every step of full-batch descent, in NumPy."""
    w, b = net.weight.numpy().astype("d"), net.bias.numpy().astype("d")
    found = []
    for _ in range(400):
        error = 2 * (X @ w.T + b - Y) / Y.size
        dw, db = error.T @ X + 2 * factor * w, error.sum(0)
        slope = np.sqrt((dw**2).sum() + (db**2).sum())
        w, b = w - 0.1 * dw, b - 0.1 * db
        found.append((slope, 0.1 * slope, w))
    return found


@pytest.mark.parametrize("name", ["gradient", "change"])
@pytest.mark.parametrize("factor", [0.0, 0.01])
def test_norms(name: str, factor: float) -> None:
    net = _net()
    if factor:
        rule = optim.SGD(net.parameters(), lr=0.1)
        net.compile(rule, "mse", penalty=penalty.l2([net.weight], factor))
    path = _path(net, factor)
    limit = 0.02 if name == "gradient" else 0.002
    wanted = next(i for i, values in enumerate(path, 1) if values[name == "change"] < limit)
    history = net.fit(X, Y, batch_size=12, epochs=400, verbose=0, stop=Stop(**{name: limit}))
    assert len(history) == wanted
    assert f"is below {limit:g} (epoch {wanted}, step 1)" in history.stopped
    np.testing.assert_allclose(net.weight.numpy(), path[wanted - 1][2], rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_before_clipping() -> None:
    net = _net(clip_norm=1e-4)
    history = net.fit(X, Y, batch_size=12, epochs=3, verbose=0, stop=Stop(gradient=1e-3))
    assert not history.stopped


def test_watching_changes_no_bits_and_programs_are_kept_apart() -> None:
    plain, watched = _net(), _net()
    for net, stop in ((plain, None), (watched, Stop(change=1e-12, gradient=1e-12))):
        for rule in (None, stop, None):
            net.fit(X, Y, batch_size=5, epochs=2, seed=3, verbose=0, stop=rule)
    assert plain.weight.numpy().tobytes() == watched.weight.numpy().tobytes()


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 12])
def test_step_limit(steps: int) -> None:
    one, other = _net(), _net()
    counted: list[int] = []

    class Count(Callback):
        """Counts the steps."""

        def on_step_end(self, step: int, logs: Any) -> None:
            """One more."""
            counted.append(step)

    history = one.fit(X, Y, batch_size=5, epochs=9, seed=0, verbose=0, stop=Stop(steps=steps))
    assert history.stopped == f"{steps} steps have been run"
    assert len(history) == -(-steps // 3)
    other.fit(
        X, Y, batch_size=5, epochs=9, seed=0, verbose=0, stop=Stop(steps=steps), callbacks=Count()
    )
    assert len(counted) == steps
    assert one.weight.numpy().tobytes() == other.weight.numpy().tobytes()


def test_time_limit_and_the_figures_of_an_epoch_that_was_cut_short() -> None:
    net = _net()
    start = time.perf_counter()
    history = net.fit(
        X, Y, batch_size=4, epochs=10**6, verbose=0, stop=Stop(seconds=0.15),
        validation_data=(X, Y),
        callbacks=[EarlyStopping("val_loss", 10**6), FunctionCallback(lambda epoch, logs: None)],
    )  # fmt: skip
    assert time.perf_counter() - start < 5
    assert history.stopped == "0.15 seconds have passed"
    assert len(history["val_loss"]) == len(history["loss"])


def test_errors() -> None:
    with pytest.raises(ValueError, match="gradient must be above 0, got -1"):
        Stop(gradient=-1)
    with pytest.raises(TypeError, match="seconds must be a number, got 'a minute'"):
        Stop(seconds="a minute")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"steps must be a whole number of at least 1, got 2\.5"):
        Stop(steps=2.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"stop must be a train\.Stop\(.*got 1e-06"):
        _net().fit(X, Y, verbose=0, stop=1e-6)
