"""What does not fit into the memory is refused before it runs, and told what would fit."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader, Dataset
from glubina.runtime import limits
from glubina.runtime.limits import Limit
from glubina.tensor.errors import OutOfMemoryError

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((4096, 40)).astype("f")
Y = RANDOM.integers(0, 10, 4096)
MIB = 1 << 20


def _limit(monkeypatch: pytest.MonkeyPatch, nbytes: int) -> None:
    monkeypatch.setattr(limits, "memory_limit", lambda: Limit(nbytes, "a test allows so much"))


def _net(width: int = 300) -> Any:
    gl.manual_seed(0)
    layers = [m for _ in range(4) for m in (nn.Linear(width, width), nn.Tanh())]
    net = nn.Sequential(nn.Linear(40, width), *layers, nn.Linear(width, 10))
    net.compile(lambda p: optim.SGD(p, lr=0.01), "cross_entropy")
    return net


def test_fit_tells_what_fits_and_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _net()
    before = {name: value.numpy() for name, value in net.state_dict().items()}
    _limit(monkeypatch, 16 * MIB)
    with pytest.raises(OutOfMemoryError) as caught:
        net.fit(X, Y, batch_size=4096, epochs=1, verbose=0)
    assert isinstance(caught.value, MemoryError)
    text = str(caught.value)
    assert re.match(
        r"a training step over a mini-batch of 4096 needs \d+\.\d MiB of memory, but only "
        r"16\.0 MiB are available\nneeded: \d+\.\d MiB of working memory .*, .* of "
        r"new results\navailable: a test allows so much; swap is not counted\nthe largest "
        r"arrays:\n",
        text,
    ), text
    assert len(re.findall(r"^  4\.7 MiB: float32 \(4096, 300\), layer '\d ", text, re.M)) == 5
    assert "nn.Recompute around parts" in text
    fits = int(re.findall(r"batch_size=(\d+)$", text, re.M)[0])
    part, several = map(int, re.findall(r"batch_size=(\d+) with accumulate=(\d+)", text)[0])
    assert 512 < part <= fits < 4096 <= part * several
    # the plan was not run, and what it says is so
    assert all(np.array_equal(v.numpy(), before[k]) for k, v in net.state_dict().items())
    with pytest.raises(OutOfMemoryError):
        net.fit(X[: fits + 1], Y[: fits + 1], batch_size=fits + 1, verbose=0)
    net.fit(X[:fits], Y[:fits], batch_size=fits, verbose=0)


def test_recomputation_fits_where_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _net()
    parts = [nn.Recompute(nn.Sequential(*list(net.children())[i : i + 4])) for i in (1, 5)]
    less = nn.Sequential(net[0], *parts, net[9])
    less.compile(lambda p: optim.SGD(p, lr=0.01), "cross_entropy")
    _limit(monkeypatch, 34 * MIB)
    with pytest.raises(OutOfMemoryError, match="kept from the forward for the backward pass"):
        net.fit(X, Y, batch_size=4096, verbose=0)
    less.fit(X, Y, batch_size=4096, verbose=0)


def test_a_compiled_function(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = X[:512]
    w = gl.tensor(RANDOM.standard_normal((40, 900)).astype("f"))

    @gl.compile
    def spread(x: Any) -> Any:
        y = gl.tanh(x @ w)  # the line that is named
        return gl.tanh(y @ y.T @ y) @ w.T

    _limit(monkeypatch, 3 * MIB)
    with pytest.raises(OutOfMemoryError, match=r"the program needs") as caught:
        spread(gl.tensor(rows))
    text = str(caught.value)
    assert re.search(r"float32 \(512, 900\), forward, .*test_shortage\.py, line \d+", text), text
    fits = int(re.findall(r"(\d+) rows along the first axis", text)[0])
    assert spread(gl.tensor(X[:fits])).shape == (fits, 40)
    with pytest.raises(OutOfMemoryError):
        spread(gl.tensor(X[: fits + 1]))


def test_pending_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary loop: refused as a value is asked for, and the process goes on."""
    x = gl.tensor(X[:512])
    _limit(monkeypatch, 2 * MIB)
    y = gl.tanh(x @ x.T)
    z = (gl.exp(y) @ y).sum()
    with pytest.raises(OutOfMemoryError, match=r"(?s)largest arrays:.*float32 \(512, 512\)"):
        z.item()
    assert (x[:3] * 2).sum().item() == pytest.approx(2 * float(X[:3].sum()), rel=1e-5)


def test_a_stream_and_what_fit_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Dataset):
        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, index: int) -> Any:
            return X[index], Y[index]

    _limit(monkeypatch, 7 * MIB)
    with pytest.raises(OutOfMemoryError, match="rows along the first axis of the arguments"):
        _net().fit(DataLoader(Own(), batch_size=4096), verbose=0)
    wide = np.zeros((200000, 40), np.float32)
    with pytest.raises(OutOfMemoryError, match=r"fit's own copy .* needs 32\.0 MiB(?s:.*)DataLoad"):
        _net().fit(wide, np.zeros(200000, np.int64), verbose=0)


def test_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _net(200)
    _limit(monkeypatch, 2000)
    with pytest.raises(
        OutOfMemoryError, match=r"what would fit:\n  no batch size: a smaller model"
    ):
        net.fit(X, Y, batch_size=4096, verbose=0)


LIMITED = """
import resource
import numpy as np
import glubina as gl
x = gl.tensor(np.ones((2000, 2000), np.float32))
(x[:64] @ x).sum().item()  # the compiler and the team are there
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (400 << 20), resource.RLIM_INFINITY))
big = gl.concat([x] * 10)
try:
    (gl.tanh(big @ x) @ x).sum().item()
    (gl.tanh(gl.concat([big] * 10) @ x) @ x).sum().item()
except gl.errors.OutOfMemoryError as error:
    print(error)
print(float((x[0] * 2).sum().item()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_the_limit_of_a_process() -> None:
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert re.search(r"RLIMIT_AS, ulimit -v\), of which .* are in use", done.stdout), done.stdout
    assert done.stdout.endswith("4000.0\n")
