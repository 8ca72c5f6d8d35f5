"""Ctrl-C at any moment, and exceptions of the user's own code: what comes after works."""

from __future__ import annotations

import linecache
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader
from glubina.tensor.mode import is_grad_enabled, mode
from glubina.train import Callback

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOMS = ("glubina/tensor", "glubina/runtime")
X = np.random.default_rng(0).normal(size=(320, 12)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 320)


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Ctrl-C after so many seconds, wherever the block is by then; the block ends by it.

    (It comes again some time later: Python drops what is raised in a `__del__`.)
    """

    def once(*args: Any) -> None:
        if armed:
            raise KeyboardInterrupt

    armed = [True]
    before = signal.signal(signal.SIGALRM, once)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def network(width: int = 24) -> nn.Sequential:
    gl.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 3)
    )


def content(model: nn.Module) -> bytes:
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def trained(model: nn.Sequential, **options: Any) -> bytes:
    """Train it from its present weights, with a new optimizer; the weights then."""
    gl.manual_seed(1)
    model.compile("adam", "cross_entropy", ["accuracy"])
    model.fit(X, Y, batch_size=40, epochs=2, verbose=0, validation_split=0.1, **options)
    return content(model)


def assert_as_new(before: dict[str, np.ndarray], model: nn.Sequential, wanted: bytes) -> None:
    """The process computes as if nothing had happened, with this model and with another."""
    assert mode.trace is None
    assert is_grad_enabled()
    assert all(module.training for module in model.modules())
    assert all(np.isfinite(value.numpy()).all() for value in model.state_dict().values())
    model.load_state_dict({name: gl.tensor(value) for name, value in before.items()})
    assert trained(model) == wanted


def test_fit_interrupted_at_any_moment() -> None:
    model = network()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    began = time.perf_counter()
    wanted = trained(model)
    whole = time.perf_counter() - began
    chance = random.Random(0)
    for number in range(16):
        # first while programs are made, then within steps
        model = network(24 + number // 5) if number % 5 == 0 else model
        reference = network(24 + number // 5)
        before = {name: value.numpy() for name, value in reference.state_dict().items()}
        wanted = trained(reference) if number % 5 == 0 else wanted
        with interrupted(chance.uniform(0.001, whole)):
            trained(model, stop=None)
            model.fit(X, Y, batch_size=40, epochs=200, verbose=0)
        assert_as_new(before, model, wanted)


def test_what_a_step_changes_is_changed_as_a_whole() -> None:
    size = 200_000
    tensors = [gl.zeros(size) for _ in range(3)]

    @gl.compile
    def step() -> gl.Tensor:
        a, b, c = tensors
        a.add_(1.0)
        b.copy_(a * 2.0)
        c.copy_(b + gl.rand(size) * 0)
        return c.sum()

    step()
    chance = random.Random(0)
    held: list[Any] = []
    runs: list[Callable[[], Any]] = [step, lambda: step.run_many(50)]
    for number in range(60):
        # a view that someone holds: the value goes into new memory
        held = [tensors[number % 3].numpy(copy=False)] if number % 2 else []
        with interrupted(chance.uniform(0.0002, 0.01)):
            while True:
                runs[number % 2]()
        del held
        a, b, c = (t.numpy() for t in tensors)
        assert (a == a[0]).all()
        assert (b == 2 * a).all()
        assert (c == b).all()


def test_an_ordinary_step_is_done_as_a_whole() -> None:
    layers = [nn.Linear(300, 300, bias=False) for _ in range(3)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    parameters = [layer.weight for layer in layers]
    rule = optim.SGD(parameters, lr=1.0)
    weight = gl.ones((300, 300))

    def step() -> None:
        rule.zero_grad()
        gl.stack([(p * weight).sum() for p in parameters]).sum().backward()  # all gradients are 1
        rule.step()

    step()
    chance = random.Random(0)
    for _ in range(60):
        with interrupted(chance.uniform(0.0002, 0.01)):
            while True:
                step()
        values = [float(p.numpy()[0, 0]) for p in parameters]
        assert len(set(values)) == 1
        assert all((p.numpy() == values[0]).all() for p in parameters)
        step()
        assert parameters[0].numpy()[0, 0] == values[0] - 1


@contextmanager
def interrupted_at(number: int) -> Iterator[list[int]]:
    """Ctrl-C at the given line of the engine that is run, and how many lines of it were."""
    count = [0]

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        # (a signal cannot come between the last line of a block and the release of its lock)
        if event == "line" and not text.lstrip().startswith("with "):
            count[0] += 1
            if count[0] == number:
                raise KeyboardInterrupt
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        return line if any(f"{os.sep}{room}{os.sep}" in path for room in ROOMS) else None

    sys.settrace(call)
    try:
        yield count
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("rows", [8, 400], ids=["interpreted", "compiled"])
def test_nothing_is_lost_wherever_it_is_interrupted(rows: int) -> None:
    """First values and random numbers that wait are still to be had, and the same ones."""

    def values(number: int) -> tuple[int, list[np.ndarray[Any, Any]]]:
        gl.manual_seed(0)
        layer = nn.Linear(12, 20)
        x, mask = gl.rand((rows, 12)), gl.bernoulli(gl.full((rows, 20), 0.5))
        counted = gl.zeros((20,))
        counted.numpy()
        with interrupted_at(number) as count:
            counted += (layer(x) * mask).sum(0)
            counted.numpy()
        y = layer(x)
        loss = (y * mask).square().mean()
        loss.backward()
        assert layer.weight.grad is not None
        found = (y, mask, counted, loss, layer.weight.grad, layer.bias)
        return count[0], [t.numpy() for t in found]

    lines, wanted = values(0)
    lines, _ = values(0)  # without making programs
    for number in range(1, lines + 1):
        _, found = values(number)
        if not found[2].any():  # the statement had not been executed
            found[2] = wanted[2]
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_compilation_interrupted() -> None:
    chance = random.Random(0)
    for number in range(12):
        x = gl.rand((64, 50 + number))
        layer = nn.Sequential(nn.Linear(50 + number, 30), nn.Tanh(), nn.LayerNorm(30))
        with interrupted(chance.uniform(0.001, 0.15)):
            layer(x).numpy()
        found = layer(x).numpy()
        again = gl.compile(layer)(x).numpy()
        np.testing.assert_allclose(found, again, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("moment", ["begin", "epoch begin", "step", "epoch end", "loader", "loss"])
def test_an_exception_of_the_users_own(moment: str) -> None:
    model = network()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    wanted = trained(model)

    def fail(*args: Any) -> Any:
        raise OSError("of the user's own")

    class Moment(Callback):
        on_train_begin = fail if moment == "begin" else Callback.on_train_begin
        on_epoch_begin = fail if moment == "epoch begin" else Callback.on_epoch_begin
        on_step_end = fail if moment == "step" else Callback.on_step_end
        on_epoch_end = fail if moment == "epoch end" else Callback.on_epoch_end

    class Broken:
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return fail() if index == 100 else (X[index], Y[index])

    def loss(outputs: gl.Tensor, targets: gl.Tensor) -> Any:
        return fail()

    loss.class_labels = True  # type: ignore[attr-defined]
    data: Any = DataLoader(Broken(), batch_size=40) if moment == "loader" else (X, Y)
    model.compile("adam", loss if moment == "loss" else "cross_entropy")
    for _ in range(2):
        with pytest.raises(OSError, match="of the user's own"):
            model.fit(data, epochs=3, verbose=0, callbacks=[Moment()])
        model.predict(X[:10])
    if moment != "loss":
        model.fit(X, Y, verbose=0)  # the same trainer
    assert_as_new(before, model, wanted)


def test_a_label_out_of_range_changes_nothing() -> None:
    model = network()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    wanted = trained(model)
    rule = optim.Adam(model.parameters())
    start = content(model)

    @gl.compile
    def step(x: gl.Tensor, y: gl.Tensor) -> gl.Tensor:
        rule.zero_grad()
        value = nn.functional.cross_entropy(model(x), y)
        value.backward()
        rule.step()
        return value

    with pytest.raises(IndexError, match="3"):
        step(gl.tensor(X[:40]), gl.tensor(np.full(40, 3)))
    weights = [p.numpy().tobytes() for p in model.parameters()]
    assert b"".join(weights) in start or all(w in start for w in weights)
    step(gl.tensor(X[:40]), gl.tensor(Y[:40]))
    assert_as_new(before, model, wanted)
