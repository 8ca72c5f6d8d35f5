"""The memory of a training, seen from outside its process, is what was announced."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SCRIPT = """
import sys
import numpy as np
import llvmlite.binding
import glubina as gl
from glubina import metrics, models, nn, optim, train
import glubina.codegen.lowering

def resident():
    text = open("/proc/self/status").read()
    return int(text.split("VmRSS:")[1].split()[0]) << 10

def mlp():
    layers = nn.Linear(784, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10)
    return nn.Sequential(*layers), (10000, 784), 10, 2048

def cnn():
    parts = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU()]
    parts += [nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(4096, 10)), (600, 32, 32, 3), 10, 256

def resnet():
    return models.CifarResNet(20), (600, 32, 32, 3), 10, 256

class Tagger(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(1000, 128)
        self.recurrent = nn.LSTM(128, 256, num_layers=2, batch_first=True)
        self.outputs = nn.Linear(256, 1000)

    def forward(self, x):
        return self.outputs(self.recurrent(self.embedding(x))[0])

def lstm():
    return Tagger(), (300, 64), (64, 1000), 128

def transformer():
    layers = [nn.TransformerEncoderLayer(256, 4, 1024, batch_first=True) for _ in range(4)]
    return nn.Sequential(nn.Embedding(1000, 256), *layers, nn.Linear(256, 1000)), (80, 128), (
        128, 1000), 32

class Halves(nn.Module):
    # a U-Net of two levels

    def __init__(self):
        def pair(a, b):
            layers = nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()
            return nn.Sequential(*layers, nn.Conv2d(b, b, 3, padding=1), nn.ReLU())

        self.down = nn.ModuleList([pair(3, 16), pair(16, 32)])
        self.inner, self.pool = pair(32, 64), nn.MaxPool2d(2)
        self.wider = nn.ModuleList([nn.ConvTranspose2d(64, 32, 2, stride=2),
                                    nn.ConvTranspose2d(32, 16, 2, stride=2)])
        self.up = nn.ModuleList([pair(64, 32), pair(32, 16)])
        self.last = nn.Conv2d(16, 10, 1)

    def forward(self, x):
        kept = []
        for part in self.down:
            kept.append(part(x))
            x = self.pool(kept[-1])
        x = self.inner(x)
        for wider, part, before in zip(self.wider, self.up, reversed(kept)):
            x = part(gl.concat([wider(x), before], axis=-1))
        return self.last(x)

def unet():
    return Halves(), (120, 64, 64, 3), (64, 64, 10), 24

class Reader(nn.Module):
    # a GRU in both directions whose states attend to one another

    def __init__(self):
        self.embedding = nn.Embedding(1000, 96)
        self.recurrent = nn.GRU(96, 128, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(256, 4, batch_first=True)
        self.outputs = nn.Linear(256, 10)

    def forward(self, x):
        states = self.recurrent(self.embedding(x))[0]
        mixed, _ = self.attention(states, states, states, need_weights=False)
        return self.outputs((states + mixed).mean(axis=1))

def gru():
    return Reader(), (300, 100), 10, 100

base = resident()
random = np.random.default_rng(0)
net, shape, classes, batch = globals()[sys.argv[1]]()
of_words = len(shape) == 2 and shape[1] < 500
x = random.integers(0, 1000, shape) if of_words else random.standard_normal(shape, np.float32)
y = random.integers(0, 10, (shape[0], *(classes[:-1] if isinstance(classes, tuple) else ())))
given = x.nbytes + y.nbytes
net.compile(lambda p: optim.Adam(p), "cross_entropy", metrics=["accuracy"])
step = nn.summary(net, shape[1:], x.dtype, batch_size=batch).step
net.fit(x, y, batch_size=batch, epochs=2, verbose=0, validation_data=(x[:100], y[:100]))
print(base, given, step.of_fit(shape[0]), flush=True)
sys.stdin.read()
"""


def _run(name: str) -> tuple[int, int]:
    """Bytes by which the process grew beyond its imports and its data, and those announced."""
    command = [sys.executable, "-c", SCRIPT, name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
        child.communicate("")
    assert child.returncode == 0
    base, given, announced = map(int, line.split())
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found is not None
    return (int(found[1]) << 10) - base - given, announced


LARGER = ("resnet", "lstm", "transformer", "unet", "gru")


@pytest.mark.parametrize(
    "name",
    [
        "mlp",
        "cnn",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("resnet", "lstm", "transformer", "unet", "gru")
        ),
    ],
)
def test_what_is_announced_is_what_is_taken(name: str) -> None:
    _run(name)  # what is new is compiled, which takes memory besides
    grown, announced = _run(name)
    print(f"{name}: {grown / 2**20:.1f} MiB measured, {announced / 2**20:.1f} MiB announced")
    assert abs(grown - announced) <= 0.15 * announced, (grown / 2**20, announced / 2**20)
