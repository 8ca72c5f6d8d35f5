"""The machine that code is made for, and restrictions of it."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from glubina.codegen import target

INTEL = platform.machine().lower() in ("x86_64", "amd64")


@pytest.fixture
def fresh(monkeypatch):
    target.host.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    target.host.cache_clear()


@pytest.mark.skipif(not INTEL, reason="levels of x86-64")
def test_a_level_restricts_the_machine(fresh) -> None:
    fresh.setenv("GLUBINA_CPU", "x86-64-v2")
    found = target.host()
    assert (found.cpu, found.features) == ("x86-64-v2", "")
    assert (found.vector_bits, found.registers) == (128, 16)


def test_an_unknown_level(fresh) -> None:
    fresh.setenv("GLUBINA_CPU", "pentium")
    with pytest.raises(ValueError, match=r"GLUBINA_CPU is one of x86-64, .*, got 'pentium'"):
        target.host()


def test_a_level_above_the_machine() -> None:
    text = r"GLUBINA_CPU=x86-64-v4 needs avx512f, avx512dq, avx512vl, avx512cd, which this CPU"
    with pytest.raises(ValueError, match=text):
        target._level("x86-64-v4", {"avx2": True, "avx512bw": True})


@pytest.mark.skipif(not INTEL, reason="levels of x86-64")
def test_a_restricted_machine_computes_the_same() -> None:
    text = """
import numpy as np, glubina as gl
from glubina import nn
gl.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
x = gl.tensor(np.random.default_rng(0).standard_normal((4, 8, 8, 3), dtype=np.float32))
loss = (net(x) ** 2).mean()
loss.backward()
print(loss.item(), net[0].weight.grad.sum().item())
"""
    found = []
    for level in ("x86-64", "x86-64-v2"):
        done = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, check=True,
            env={"GLUBINA_CPU": level, "GLUBINA_CACHE": "off", "PATH": "", "PYTHONPATH": "."},
        )  # fmt: skip
        found.append([float(word) for word in done.stdout.split()])
    here = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True,
        env={"GLUBINA_CACHE": "off", "PATH": "", "PYTHONPATH": "."},
    )  # fmt: skip
    found.append([float(word) for word in here.stdout.split()])
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-4)


def test_half_vectors_along_few_channels() -> None:
    float32, channels = np.dtype(np.float32), (1, 6, 8, 9, 16, 24, 36, 64, 72, 120)
    machines = [target.Target("x86_64", cpu, "", 512, 32) for cpu in ("znver4", "sapphirerapids")]
    halved, whole = ([m.lanes_along(float32, c) for c in channels] for m in machines)
    assert halved == [8, 8, 8, 16, 16, 8, 8, 16, 16, 16]
    assert whole == [8, 8, 8, 16, 16, 16, 16, 16, 16, 16]
    assert [machines[0].vectors(float32, c) for c in (6, 16, 24)] == [0.5, 1.0, 1.5]
    assert [machines[1].vectors(float32, c) for c in (6, 16, 24)] == [1.0, 1.0, 2.0]


def test_vectors_of_256_bits_are_never_halved() -> None:
    haswell = target.Target("x86_64", "haswell", "", 256, 16)
    assert [haswell.lanes_along(np.dtype(np.float32), c) for c in (3, 4, 12)] == [8, 8, 8]
