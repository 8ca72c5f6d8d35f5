"""Hostile weights, settings, architectures and checkpoints."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from hostile_case import CASES, Runs, case

import glubina as gl
from glubina import keras, nn
from glubina.files import pack, read_json, read_tensors, write_document
from glubina.nn.saving import load_model, save_model
from glubina.train import RunFolder
from glubina.train.checkpoint_file import read_checkpoint

# -- safetensors ----------------------------------------------------------------------------------


def tensors(header: Any, data: bytes = bytes(24)) -> bytes:
    """A safetensors file with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def one(**entry: Any) -> dict[str, Any]:
    """A header of one array."""
    return {"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **entry}}


def two(shape: list[int], *offsets: int) -> dict[str, Any]:
    """A header of two arrays, the second one of this shape and place."""
    return {**one(), "v": {"dtype": "F32", "shape": shape, "data_offsets": list(offsets)}}


def scalar(offsets: str) -> bytes:
    """A header of a number whose offsets are written so."""
    return b'{"w":{"dtype":"F32","shape":[],"data_offsets":%s}}' % offsets.encode()


DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
TENSORS: dict[str, tuple[str, bytes]] = {
    "nothing": ("header's length alone takes 8", b""),
    "a header of 2^64 bytes": ("claims a header of", b"\xff" * 8 + bytes(100)),
    "a header of terabytes": ("claims a header of", (2**43).to_bytes(8, "little") + bytes(100)),
    "terabytes of elements": ("leaves a gap|takes", tensors(one(shape=[10**6, 10**6]))),
    "terabytes at an offset": ("leaves a gap", tensors(one(data_offsets=[2**40, 2**40 + 24]))),
    "an array beyond the end": (
        "its arrays take", tensors(one(shape=[9, 3], data_offsets=[0, 108]))),
    "an offset that is negative": ("has the offsets", tensors(one(data_offsets=[-24, 0]))),
    "an offset NaN": ("NaN", tensors(scalar("[NaN, 4]"))),
    "an offset with a fraction": ("has the offsets", tensors(one(data_offsets=[0.0, 24.0]))),
    "an offset 1e999": ("beyond", tensors(scalar("[0, 1e999]"))),
    "offsets the wrong way": ("takes 24 bytes, not -24", tensors(one(data_offsets=[24, 0]))),
    "arrays that overlap": ("overlaps", tensors(two([2, 3], 12, 36), bytes(36))),
    "a gap between arrays": ("leaves a gap", tensors(two([3], 28, 40), bytes(40))),
    "bytes after the arrays": ("it holds 25", tensors(one(), bytes(25))),
    "an unknown dtype": ("has the dtype 'F7'", tensors(one(dtype="F7"))),
    "a dtype that is no text": ("has the dtype", tensors(one(dtype=["F32"]))),
    "a negative extent": ("has the shape", tensors(one(shape=[-2, -3]))),
    "extents whose product overflows": ("has the shape", tensors(one(shape=[2**32, 2**32, 0]))),
    "an array of 100 axes": ("has the shape", tensors(one(shape=[1] * 100))),
    "the same array twice": ("is given twice", tensors(b'{"w":1,"w":1}')),
    "metadata that are no texts": ("metadata", tensors({"__metadata__": {"a": 1}})),
    "a header that is a list": ("no object", tensors([1])),
    "JSON nested ten thousand deep": ("nests deeper than 64", tensors(DEEP)),
    "truths that are neither": ("neither", tensors(one(dtype="BOOL", shape=[24]), b"\7" * 24)),
    "a pickle": ("is damaged", pickle.dumps({"w": Runs()})),
}  # fmt: skip
for _name, (_says, _content) in TENSORS.items():
    CASES.append((f"tensors: {_name}", _says, lambda path, c=_content: c, read_tensors))  # type: ignore[misc]


@case("tensors: a hole of eight terabytes", "of memory are free|may have", read_tensors)
def _(path: Path) -> None:
    size = 2**43
    text = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + size)


@case("checkpoint: nested ten thousand deep", "damaged: it nests deeper", read_checkpoint)
def _(path: Path) -> None:
    text = np.frombuffer(b'{"position":' + DEEP + b"}", np.uint8)
    meta = {"format": "glubina checkpoint", "version": "1"}
    gl.files.write_tensors(path, {"state.json": text}, meta)


@case("checkpoint: a seed of no measure", "it has no state of a training", read_checkpoint)
def _(path: Path) -> None:
    state = {"position": {}, "settings": {"seed": "x"}, "model": {}}
    text = np.frombuffer(json.dumps(pack(state)[0]).encode(), np.uint8)
    meta = {"format": "glubina checkpoint", "version": "1"}
    gl.files.write_tensors(path, {"state.json": text}, meta)


@case("checkpoint: of a network's weights", "is not a checkpoint", read_checkpoint)
def _(path: Path) -> None:
    gl.files.write_tensors(path, {"w": np.ones(3)})


# -- JSON -----------------------------------------------------------------------------------------

for _name, _says, _content in (
    ("nested ten thousand deep", "nests deeper than 64", b"[" * 10_000 + b"]" * 10_000),
    ("a million empty lists", "more than 1000000 lists", b"[" + b"[]," * 1_100_000 + b"[]]"),
    ("larger than any", "may have up to", b" " * (33 * 2**20)),
    ("many keys, one of them twice", "is given twice",
     b"{" + b",".join(b'"%d":0' % k for k in range(300_000)) + b',"299998":0}'),
    ("quotes without end", "is not JSON", b'"\\"' * 500_000),
    ("an integer of a million digits", "an integer of thousands of digits", b"9" * 1_000_000),
    ("half a character of UTF-16", "surrogates not allowed", b'["\\ud800"]'),
    ("NUL bytes", "is not JSON", bytes(1000)),
):  # fmt: skip
    CASES.append((f"JSON: {_name}", _says, lambda path, c=_content: c, read_json))  # type: ignore[misc]


# -- networks -------------------------------------------------------------------------------------


def model(path: Path, architecture: Any, **more: Any) -> None:
    """A run folder of a small network whose model.json tells of another."""
    save_model(nn.Sequential(nn.Linear(2, 2)), path)
    content = {"recipe": "", "classes": [], "preprocessing": [], "architecture": architecture}
    write_document(path / "model.json", "glubina model", 1, content | more)


def layer(kind: Any, /, **arguments: Any) -> dict[str, Any]:
    """A description of a layer."""
    return {"class": kind, "arguments": arguments}


def nested(depth: int) -> dict[str, Any]:
    """Sequentials in one another."""
    inner = layer("ReLU")
    for _ in range(depth):
        inner = layer("Sequential", modules={"0": inner})
    return inner


HUGE = layer("Linear", in_features=10**12, out_features=10**12)
ARCHITECTURES: dict[str, tuple[str, Any]] = {
    "a class outside the library": ("unknown class 'os.system'", layer("os.system", command="")),
    "a builtin": ("unknown class 'eval'", layer("eval", source="1")),
    "a class by its path": ("unknown class", layer("glubina.nn.linear.Linear")),
    "a class that is no text": ("unknown class", layer(["Linear"])),
    "a dunder": ("unknown class '__init__'", layer("__init__")),
    "a weight of 10^24 elements": ("more than the file's", HUGE),
    "a norm of 10^12": ("more than the file's", layer("BatchNorm1d", num_features=10**12)),
    "an embedding of 10^10": (
        "more than the file's", layer("Embedding", num_embeddings=10**10, embedding_dim=1)),
    "a billion layers": (
        "num_layers must be", layer("LSTM", input_size=1, hidden_size=1, num_layers=10**9)),
    "a stack of a billion": (
        "num_layers must be",
        layer("TransformerEncoder", num_layers=10**9, encoder_layer=layer("ReLU"))),
    "many wide layers": (
        "more elements than|more than the file's",
        layer("Sequential", modules={
            str(k): layer("Linear", in_features=700, out_features=700) for k in range(40)})),
    "a hundred thousand modules": (
        "more than 10,000 modules",
        layer("Sequential", modules={str(k): layer("ReLU") for k in range(20_000)})),
    "an infinite size": (
        "more than the file's", layer("Linear", in_features=1e308, out_features=2)),
    "a size that is a text": (
        "in_features must be", layer("Linear", in_features="2", out_features=2)),
    "an argument that is none": ("has no argument", layer("Linear", __class__=1)),
    "a module by the name of a method": (
        "cannot hold a module under the name 'forward'",
        layer("Sequential", modules={"forward": layer("ReLU")})),
    "a module by a path": (
        "cannot be made: Sequential cannot hold a module under the name 'a.b'",
        layer("Sequential", modules={"a.b": layer("ReLU")})),
    "a module by a dunder's name": (
        "cannot hold a module under the name '__class__'",
        layer("ModuleDict", modules={"__class__": layer("ReLU")})),
    "too deep": ("nests deeper than 64", nested(40)),
    "a fractal of 10^9 columns": (
        "columns must be", layer("FractalNet", columns=10**9)),
    "a Keras layer of 10^12 units": (
        "more than the file's",
        layer("keras.Sequential", name="m", input_shape=[10**6], compiled=None,
              layers=[layer("keras.Dense", units=10**6)])),
    "a Keras call of itself": (
        "cannot be made",
        layer("keras.Model", name="m", inputs=[["x", [2], "float32"]], layers=[layer("keras.ReLU")],
              calls=[[1, {"at": [0, 0]}, {}]], outputs={"at": [0, 0]}, compiled=None)),
    "a Keras loss outside the library": (
        "cannot be made|unknown",
        layer("keras.Sequential", name="m", input_shape=[2], layers=[layer("keras.ReLU")],
              compiled={"optimizer": "os.system", "loss": "os.system"})),
}  # fmt: skip
for _name, (_says, _content) in ARCHITECTURES.items():
    CASES.append(
        (f"network: {_name}", _says, lambda path, c=_content: model(path, c), load_model)  # type: ignore[misc]
    )
for _name, _says, _more in (
    ("preprocessing outside the library", "unknown preprocessing",
     {"preprocessing": [{"type": "os.system", "arguments": {}}]}),
    ("preprocessing with wild arguments", "arguments of Reshape",
     {"preprocessing": [{"type": "Reshape", "arguments": {"shape": "abc"}}]}),
    ("a class name that a terminal would obey", "is no name", {"classes": ["\x1b[2J"]}),
):  # fmt: skip
    CASES.append(
        (
            f"network: {_name}", _says,
            lambda path, m=_more: model(path, layer("Linear", in_features=2, out_features=2), **m),  # type: ignore[misc]
            load_model,
        )
    )  # fmt: skip


@case("network: weights that lead out of the folder", "safetensors is missing", load_model)
def _(path: Path) -> None:
    model(path, layer("Linear", in_features=2, out_features=2))
    (path / "model.safetensors").unlink()
    (path / "model.safetensors").symlink_to("/dev/zero")


@case("settings: a seed of no measure", "its 'seed' is missing", lambda p: RunFolder(p).read_seed())
def _(path: Path) -> None:
    path.mkdir()
    write_document(path / "settings.json", "glubina settings", 1, {"seed": 2**70})


def torch_load(path: Path) -> None:
    """Read a file as `torch.load` does."""
    from glubina import torch

    torch.load(path)


@case("torch: a pickle", "is a pickle", torch_load)
def _(path: Path) -> bytes:
    return pickle.dumps({"w": Runs()})


@case("torch: an archive with a pickle", "is a pickle", torch_load)
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Runs()))


@case(
    "keras: weights whose order is none",
    "list of the weights",
    lambda p: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).load_weights(p),
)
def _(path: Path) -> None:
    gl.files.write_tensors(path, {"w": np.ones(3)}, {"order": '["w", "w", "v"]'})
