"""A small file of each format that the library writes: `python tests/golden_files.py FOLDER`.

Those in tests/golden/now are what this makes; a test sees to it. When a format gets a new version,
move the old one's files to a folder of their own, which stays, and write the new ones.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from glubina import keras, nn, torch
from glubina.data import OneHot, Preprocessing, Rescale, Standardize
from glubina.nn.saving import save_model
from glubina.runtime.cache import Cache
from glubina.runtime.plan import Call, Entry, KernelInfo, Plan, Spec
from glubina.train import History, RunFolder
from glubina.train.checkpoint_file import write_checkpoint

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
PLAN = Plan(
    inputs=(Spec((2, 3), "float32"),), outputs=(Spec((2, 3), "float32"),), donated=(0,),
    table=(Entry("status"), Entry("input", 0), Entry("output", 0)), arena_bytes=64,
    calls=(Call("k", (0, 1, 2, 6), "map", 0),), kernels=(KernelInfo("map", 6, 24, 24),),
)  # fmt: skip
STATE: dict[str, Any] = {
    "position": {"epoch": 2, "step": 3},
    "settings": {"lr": 0.1, "nan": float("nan")},
    "model": {"weight": X, "steps": np.array(7, np.int64), "frozen": np.array([True, False])},
    "tuple": (1, "глубина", None, np.float32(0.5)),
}


def numbered(model: Any) -> Any:
    """The model with numbers that count up in its parameters and buffers."""
    start = 0
    values = {}
    for name, value in model.state_dict().items():
        count = np.arange(start, start + value.size) % 17
        values[name] = (count.reshape(value.shape) / 16 + 0.25).astype(value.dtype)
        start += value.size
    model.load_state_dict(values)
    return model


def network() -> nn.Sequential:
    """A network with layers of several kinds."""
    inner = nn.Sequential({"norm": nn.BatchNorm1d(5), "relu": nn.ReLU()})
    return numbered(nn.Sequential(nn.Linear(4, 5), inner, nn.Dropout(0.5), nn.Linear(5, 3)))  # type: ignore[no-any-return]


def keras_model() -> Any:
    """A functional model of Keras's with two inputs joined."""
    place = keras.Input((4,), name="place")
    dense = keras.layers.Dense(4, activation="relu", kernel_regularizer="l2", name="dense")
    joined = keras.layers.Add(name="add")([dense(place), place])
    model = keras.Model(place, keras.layers.Dense(2, name="out")(joined), name="small")
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return numbered(model)


def preprocessing() -> Preprocessing:
    """Steps with what they have learnt."""
    return Preprocessing(Rescale(0.5), Standardize(X[0], np.full(4, 2.0)), OneHot([0], [[1.0]]))


def write(folder: Path) -> None:
    """Write a file of each format."""
    save_model(
        network(), folder / "run", preprocessing=preprocessing(), classes=["a", "б"], recipe="r"
    )
    history = History()
    history.append(1, {"loss": 0.5, "accuracy": 0.25})
    history.append(2, {"loss": 0.125, "val_loss": float("nan")})
    run = RunFolder(folder / "run")
    run.save_settings({"seed": 3, "rate": 0.1})
    run.save_results(history, {"accuracy": 0.5, "confusion": np.eye(2)})
    write_checkpoint(folder / "checkpoint.safetensors", STATE)
    model = keras_model()
    model.save(folder / "keras")
    model.save_weights(folder / "keras.weights.safetensors")
    torch.save({"w": torch.tensor(X), "n": [1, (2.5, None)]}, folder / "torch.pt")
    torch.save(torch.tensor(X), folder / "tensor.pt")
    cache = Cache(folder / "cache", "golden")
    cache.write("kernel", "a kernel", b"object code")
    cache.write_plan("a program", PLAN, b"object code")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
