"""Calls that are made again and again leave nothing behind: memory, objects, files, threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SCRIPT = """
import gc, os, sys, threading, warnings
import numpy as np
import glubina as gl
from glubina import nn, optim

warnings.simplefilter("ignore")
random = np.random.default_rng(0)
x = random.standard_normal((60, 8)).astype("f")
y = random.integers(0, 3, 60)

def network():
    net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1))
    net = nn.Sequential(net, nn.Linear(32, 3))
    net.compile(lambda p: optim.Adam(p), "cross_entropy", metrics=["accuracy"], ema=0.9)
    return net

kept = network()

def fit():
    kept.fit(x, y, batch_size=16, verbose=0, validation_split=0.2)

def predict():
    kept.predict(x[: random.integers(10, 15)])
    kept.evaluate(x, y)

def new_networks():
    network().fit(x, y, batch_size=16, verbose=0)

def stopped():
    def stop(epoch, logs):
        raise KeyError("stopped")
    try:
        kept.fit(x, y, batch_size=16, verbose=0, callbacks=stop)
    except KeyError:
        pass
    try:
        kept.fit(x, y + 7, batch_size=16, verbose=0)
    except ValueError:
        pass

def compiled():
    w = gl.tensor(random.standard_normal((8, 5)).astype("f"), requires_grad=True)
    step = gl.compile(lambda a: (a @ w).tanh().sum())
    step(gl.tensor(x))
    table = gl.tensor(random.standard_normal((4, 5)).astype("f"))
    look = gl.compile(lambda rows: gl.take(table, rows, axis=0) * 2)
    look(gl.tensor([1, 2]))
    try:
        look(gl.tensor([1, 9]))
    except IndexError:
        pass

def loop():
    optimizer = optim.SGD(kept.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(kept(gl.tensor(x)), gl.tensor(y))
        value.backward()
        optimizer.step()
    value.item()
    pending = gl.tensor(x) * 2 + 1  # never asked for

def look():
    gc.collect()
    status = open("/proc/self/status").read()
    resident = int(status.split("VmRSS:")[1].split()[0])
    handles = len(os.listdir("/proc/self/fd"))
    return resident, len(gc.get_objects()), handles, int(status.split("Threads:")[1].split()[0])

call, calls = globals()[sys.argv[1]], int(sys.argv[2])
for _ in range(max(calls // 3, 30)):
    call()
before = look()
for _ in range(calls):
    call()
after = look()
print(*before, *after)
"""


def _grown(name: str, calls: int) -> list[int]:
    """By what a process grows in so many calls: KiB, objects, open files, threads."""
    command = [sys.executable, "-c", SCRIPT, name, str(calls)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    numbers = [int(word) for word in done.stdout.split()]
    return [after - before for before, after in zip(numbers[:4], numbers[4:], strict=True)]


def _check(name: str, calls: int, kib: int) -> None:
    grown = _grown(name, calls)
    assert grown[0] <= kib, grown
    assert grown[1] <= 200, grown  # objects: less than one for each call
    assert grown[2:] == [0, 0], grown


NAMES = ("fit", "predict", "new_networks", "stopped", "compiled", "loop")


@pytest.mark.parametrize("name", NAMES)
def test_some_hundred_calls_leave_nothing(name: str) -> None:
    _check(name, 40 if name == "new_networks" else 150, 1500)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_ten_thousand_calls_leave_nothing(name: str) -> None:
    _check(name, 1000 if name == "new_networks" else 10_000, 3000)
