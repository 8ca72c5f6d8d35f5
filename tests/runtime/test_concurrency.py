"""Several threads and processes compute at once: each gets what it would get alone."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.tensor.errors import AnomalyError
from glubina.tensor.mode import is_grad_enabled

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

FORK = hasattr(os, "fork")
JOBS = 3


def data() -> tuple[np.ndarray, np.ndarray]:
    """Some examples of five classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(160, 20)).astype(np.float32), rng.integers(0, 5, 160)


def network(width: int) -> nn.Sequential:
    """A network with everything that has a state: statistics, chance, weights."""
    return nn.Sequential(
        nn.Linear(20, width), nn.ReLU(), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, 5)
    )


def content(model: nn.Module) -> bytes:
    """All parameters and buffers."""
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def fitted(number: int) -> bytes:
    """Train a network with `fit` and predict: its weights and predictions."""
    gl.manual_seed(number)
    x, y = data()
    model = network(48 + number)
    model.compile("adam", "cross_entropy", ["accuracy"])
    model.fit(x, y, batch_size=48, epochs=2, verbose=0, validation_split=0.1)
    return content(model) + bytes(model.predict(x).tobytes())


def looped(number: int) -> bytes:
    """Train a network in an ordinary loop: its weights."""
    gl.manual_seed(number)
    x, y = data()
    model = network(48 + number)
    rule = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss = nn.CrossEntropyLoss()
    for step in range(12):
        rows = slice(step * 10, step * 10 + 32)
        rule.zero_grad()
        loss(model(gl.tensor(x[rows])), gl.tensor(y[rows])).backward()
        rule.step()
    return content(model)


def recorded(number: int) -> bytes:
    """Train a network with a compiled step: its weights."""
    gl.manual_seed(number)
    x, y = data()
    model = network(48 + number)
    rule = optim.Adam(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()

    @gl.compile
    def step(x: gl.Tensor, y: gl.Tensor) -> gl.Tensor:
        rule.zero_grad()
        value = loss(model(x), y)
        value.backward()
        rule.step()
        return value

    values = [step(gl.tensor(x[k : k + 32]), gl.tensor(y[k : k + 32])) for k in range(12)]
    return content(model) + b"".join(v.numpy().tobytes() for v in values)


def together(*jobs: Callable[[], Any]) -> list[Any]:
    """What the jobs return, each in a thread of its own, all begun at once."""
    results: list[Any] = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(number: int) -> None:
        try:
            start.wait()
            results[number] = jobs[number]()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("job", [fitted, looped, recorded])
def test_models_trained_in_several_threads(job: Callable[[int], bytes]) -> None:
    alone = [job(k) for k in range(JOBS)]
    for _ in range(2):
        assert together(*[lambda k=k: job(k) for k in range(JOBS)]) == alone


def test_one_model_predicts_in_several_threads_while_another_is_trained() -> None:
    x, _ = data()
    trained = fitted(1)
    for _ in range(3):  # each time anew: the first values are worked out by who comes first
        gl.manual_seed(0)
        shared = network(32)
        parts = [x[:50], x[50:90], x[:7], x[90:]]
        gl.manual_seed(0)
        wanted = [network(32).predict(part) for part in parts[:1]]
        found = together(
            lambda: fitted(1),
            *[
                lambda part=part, shared=shared: [shared.predict(part) for _ in range(5)]
                for part in parts
            ],
        )
        assert found[0] == trained
        assert shared.training
        for part, several in zip(parts, found[1:], strict=True):
            assert all(one.tobytes() == several[0].tobytes() for one in several)
            assert shared.predict(part).tobytes() == several[0].tobytes()
        assert found[1][0].tobytes() == wanted[0].tobytes()


def test_one_trainer_predicts_in_several_threads() -> None:
    x, y = data()
    model = network(16)
    model.compile("sgd", "cross_entropy")
    model.fit(x, y, verbose=0)
    wanted = [model.predict(x[: 10 + k]) for k in range(4)]
    model.train()

    def many(k: int) -> list[np.ndarray]:
        return [model.predict(x[: 10 + k]) for _ in range(30)]

    for found, one in zip(
        together(*[lambda k=k: many(k) for k in range(4)]),
        wanted,
        strict=True,
    ):
        assert all(array.tobytes() == one.tobytes() for array in found)


def test_a_model_predicts_while_it_is_trained() -> None:
    x, y = data()

    def trained() -> tuple[nn.Sequential, Callable[[], bytes]]:
        gl.manual_seed(0)
        model = network(40)
        model.compile("adam", "cross_entropy")

        def fit() -> bytes:
            gl.manual_seed(1)
            model.fit(x, y, batch_size=16, epochs=6, verbose=0, validation_split=0.2)
            return content(model)

        return model, fit

    alone = trained()[1]()
    model, fit = trained()
    done = threading.Event()

    def predict() -> bool:
        finite = True
        while not done.is_set():
            for count in (3, 20, 64):  # also programs that are recorded meanwhile
                finite &= bool(np.isfinite(model.predict(x[:count])).all())
        return finite

    def fit_and_tell() -> bytes:
        try:
            return fit()
        finally:
            done.set()

    assert together(fit_and_tell, predict, predict) == [alone, True, True]


def test_a_pending_value_that_threads_share() -> None:
    for size in (30, 300):
        x = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        wanted = (gl.tensor(x) @ gl.tensor(x)).exp().numpy()
        shared = (gl.tensor(x) @ gl.tensor(x)).exp()
        jobs = [lambda shared=shared: (shared + 0).numpy() for _ in range(6)]
        found = together(*jobs, shared.numpy)
        assert all(array.tobytes() == wanted.tobytes() for array in found)


def test_a_compiled_function_called_from_several_threads() -> None:
    @gl.compile
    def f(x: gl.Tensor) -> gl.Tensor:
        return gl.softmax(x @ x.mT, -1)

    arrays = [np.random.default_rng(k).normal(size=(40, 40)).astype(np.float32) for k in range(4)]
    found = together(*[lambda a=a: [f(gl.tensor(a)).numpy() for _ in range(50)] for a in arrays])
    for array, several in zip(arrays, found, strict=True):
        wanted = f(gl.tensor(array)).numpy().tobytes()
        assert all(one.tobytes() == wanted for one in several)


def test_calls_that_change_state_follow_one_another() -> None:
    state = gl.zeros(1000)

    @gl.compile
    def count() -> None:
        state.add_(1.0)

    together(*[lambda: [count() for _ in range(100)] for _ in range(4)])
    assert (state.numpy() == 400).all()
    together(*[lambda: count.run_many(100) for _ in range(4)])
    assert (state.numpy() == 800).all()


def test_threads_without_a_seed_of_their_own_draw_different_numbers() -> None:
    @gl.compile
    def draw() -> gl.Tensor:
        return gl.rand(3)

    gl.manual_seed(0)
    pairs = 40
    alone = {tuple(draw().tolist()) for _ in range(2 * pairs)}
    alone |= {tuple(gl.rand(3).tolist()) for _ in range(2 * pairs)}
    assert len(alone) == 4 * pairs
    gl.manual_seed(0)
    found = together(
        *[lambda: [tuple(draw().tolist()) for _ in range(pairs)] for _ in range(2)],
        *[lambda: [tuple(gl.rand(3).tolist()) for _ in range(pairs)] for _ in range(2)],
    )
    assert set().union(*found) == alone
    assert gl.default_generator.get_state() == (0, 4 * pairs)


def test_a_thread_that_sets_a_seed_has_numbers_of_its_own() -> None:
    @gl.compile
    def draw() -> gl.Tensor:
        return gl.rand(3)

    def drawn(seed: int) -> list[list[float]]:
        gl.manual_seed(seed)
        return [draw().tolist() if k % 3 else gl.rand(3).tolist() for k in range(30)]

    alone = [drawn(k) for k in range(4)]
    gl.manual_seed(7)
    before = gl.default_generator.get_state()
    assert together(*[lambda k=k: drawn(k) for k in range(4)]) == alone
    assert gl.default_generator.get_state() == before


def test_modes_are_of_the_thread() -> None:
    inside, outside = threading.Event(), threading.Event()
    seen: list[Any] = []

    def other() -> None:
        inside.wait()
        seen.append(is_grad_enabled())
        x = gl.tensor([0.0], requires_grad=True)
        (x.log() * 0).sum().backward()  # NaN, and nobody minds
        assert x.grad is not None
        seen.append(np.isnan(x.grad.numpy()).all())
        outside.set()

    def watching() -> None:
        with gl.no_grad(), gl.detect_anomaly():
            inside.set()
            outside.wait()
            seen.append(is_grad_enabled())
            with pytest.raises(AnomalyError, match="log"):
                gl.tensor([0.0]).log().numpy()

    together(other, watching)
    assert seen == [True, True, False]


def test_two_threads_with_detectives() -> None:
    first, second = threading.Event(), threading.Event()

    def one() -> str:
        with gl.detect_anomaly():
            first.set()
            second.wait()
        return ""

    def two() -> str:
        first.wait()
        with gl.detect_anomaly():
            second.set()
            with pytest.raises(AnomalyError) as found:
                gl.tensor([-1.0]).sqrt().numpy()
        return str(found.value)

    text = together(one, two)[1]
    assert "test_concurrency.py" in text
    assert "two" in text


# -- processes ------------------------------------------------------------------------------------


def digest_of(number: int) -> bytes:
    """For processes that are started: what `fitted` gives."""
    return fitted(number)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_a_pool(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    alone = [fitted(k) for k in range(2)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(digest_of, range(2)) == alone


@pytest.mark.skipif(not FORK, reason="needs fork")
@pytest.mark.parametrize("job", [fitted, looped])
def test_a_fork_while_another_thread_trains(job: Callable[[int], bytes]) -> None:
    alone = [job(k) for k in range(2)]
    stop = threading.Event()
    others: list[bytes] = []

    def train() -> None:
        while not stop.is_set():
            others.append(job(1))

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(6):
            assert in_child(lambda: job(0)) == alone[0]
    finally:
        stop.set()
        thread.join()
    assert others
    assert all(other == alone[1] for other in others)


@pytest.mark.skipif(not FORK, reason="needs fork")
def test_a_fork_while_another_thread_compiles() -> None:
    def compiled(size: int) -> bytes:
        x = gl.tensor(np.linspace(0, 1, size, dtype=np.float32))
        f = gl.compile(lambda x: (x * 2 + x.exp()).tanh().sum(), keep_gradients=False)
        return bytes(f(x).numpy().tobytes())

    stop = threading.Event()

    def keep_compiling() -> None:
        size = 5000
        while not stop.is_set():
            size += 1
            width = size % 50 + 20
            layers = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.LayerNorm(width))
            layers(gl.rand((300, 3))).numpy()

    thread = threading.Thread(target=keep_compiling)
    thread.start()
    try:
        for k in range(5):
            wanted = in_child(lambda k=k: compiled(7001 + k))
            assert compiled(7001 + k) == wanted
    finally:
        stop.set()
        thread.join()


def in_child(job: Callable[[], bytes]) -> bytes:
    """What a job returns in a child process, which must end within a minute."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            with os.fdopen(writes, "wb") as pipe:
                pipe.write(job())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writes)
    timer = threading.Timer(60, os.kill, (child, 9))
    timer.start()
    with os.fdopen(reads, "rb") as pipe:
        result = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    timer.cancel()
    assert code == 0
    return result
