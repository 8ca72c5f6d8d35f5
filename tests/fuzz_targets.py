"""The readers that are fuzzed, each with small valid files to begin with."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import glubina as gl
from glubina import keras, nn
from glubina.data import DataError, cifar, load_csv, load_npy, load_npz, read_idx
from glubina.data.columns import read_columns
from glubina.data.picture_files import read_picture
from glubina.files import (
    FileError,
    MissingExtraError,
    read_document,
    read_json,
    write_document,
    write_json,
)
from glubina.files.tensors import encode_tensors, read_layout, read_with_metadata
from glubina.nn.saving import load_model, save_model
from glubina.runtime.cache import Cache
from glubina.runtime.compiler import bundle, unbundle
from glubina.runtime.plan import Plan, PlanError
from glubina.train import RunFolder
from glubina.train.checkpoint_file import read_checkpoint, write_checkpoint

FILES = (FileError, DataError)


@dataclass(frozen=True)
class Target:
    """A reader: its name, what it reads, the errors it may raise, whether they name the file.

    file: the name that the file has. write: puts an input at the path (packed, where the packing
    is not what is fuzzed).
    """

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    file: str = "file.bin"
    errors: tuple[type[Exception], ...] = FILES
    named: bool = True
    write: Callable[[Path, bytes], Any] = lambda path, content: path.write_bytes(content)


def written(write: Callable[[Path], Any], name: str = "file") -> bytes:
    """The bytes that a function writes to a path."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


# -- valid files ----------------------------------------------------------------------------------

ARRAYS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "n": np.array(3, np.int64),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 2), np.float16),
}


def tensors() -> list[bytes]:
    """Safetensors files, with a checksum and without."""
    header = json.dumps(
        {
            "__metadata__": {"a": "b"},
            "x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
            "y": {"dtype": "U8", "shape": [1, 3], "data_offsets": [4, 7]},
        }
    ).encode()
    plain = len(header).to_bytes(8, "little") + header + bytes(7)
    return [encode_tensors(ARRAYS, {"format": "glubina"}), encode_tensors({}), plain]


def documents() -> list[bytes]:
    """Documents of a format "test"."""
    content = {"a": [1, 2.5, None, True, "text"], "b": {"c": {}, "d": []}}
    return [written(lambda path: write_document(path, "test", 1, content))]


def checkpoints() -> list[bytes]:
    """Checkpoints with a little of everything."""
    state = {"position": {"epoch": 1}, "settings": {"lr": 0.1}, "model": {"w": ARRAYS["w"]},
             "more": (1, [float("nan")], {2: np.float32(3)})}  # fmt: skip
    return [written(lambda path: write_checkpoint(path, state))]


def idx() -> list[bytes]:
    """IDX files of two dtypes."""
    small = struct.pack(">BBBB2I", 0, 0, 8, 2, 3, 4) + bytes(range(12))
    return [small, struct.pack(">BBBBI", 0, 0, 0x0D, 1, 2) + struct.pack(">2f", 1, 2)]


def npy() -> list[bytes]:
    """NumPy arrays of several dtypes and orders."""
    arrays = (ARRAYS["w"], np.asfortranarray(np.ones((2, 3))), np.array(1, "i2"), np.array(["a"]))
    return [written(lambda path, a=a: np.save(path, a), "a.npy") for a in arrays]  # type: ignore[misc]


def npz() -> list[bytes]:
    """NumPy archives, packed and not."""
    some = {"x": ARRAYS["w"], "y": np.arange(20)}
    return [
        written(lambda path: np.savez(path, **some), "a.npz"),
        written(lambda path: np.savez_compressed(path, **some), "a.npz"),
    ]


def tables() -> list[bytes]:
    """CSV files of numbers and texts."""
    return [b"a,b,kind\n1,2.5,x\n3,-4e2,y\n", b'1,"2;"\n3,4\n', b"1,2\n3,4.5\n"]


def columns() -> list[bytes]:
    """CSV files with gaps as well."""
    return [*tables(), b"w,h\n1,NA\n?,2\n", b"a,b\nx,\n,y\n"]


def pictures() -> list[bytes]:
    """Images of each format that is read; none without pillow."""
    try:
        from PIL import Image
    except ImportError:
        return []
    found = []
    for kind, mode in (("PNG", "RGB"), ("JPEG", "L"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "L"),
                       ("WEBP", "RGB"), ("PPM", "L"), ("PNG", "LA")):  # fmt: skip
        stream = io.BytesIO()
        Image.effect_noise((5, 4), 90).convert(mode).save(stream, kind)
        found.append(stream.getvalue())
    return found


def records() -> list[bytes]:
    """Two pictures of CIFAR-10."""
    return [b"\3" + bytes(3072) + b"\7" + b"\xff" * 3072]


def archives() -> list[bytes]:
    """An archive with CIFAR-10's files, as a tar that is not packed yet."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in [*cifar.TRAIN, cifar.TEST]:
            info = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            info.size = cifar.RECORD
            tar.addfile(info, io.BytesIO(bytes(cifar.RECORD)))
    return [stream.getvalue()]


def network() -> nn.Sequential:
    """A network with a parameter, a buffer and a nested module."""
    gl.manual_seed(0)
    inner = nn.Sequential({"first": nn.Linear(3, 4), "relu": nn.ReLU()})
    return nn.Sequential(inner, nn.BatchNorm1d(4), nn.Conv1d(2, 2, 3, padding="same"))


def _saved(file: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save_model(network(), folder, classes=["a", "b"])
        return (Path(folder) / file).read_bytes()


def models() -> list[bytes]:
    """model.json of a network, with a checksum and without."""
    whole = _saved("model.json")
    plain = {k: v for k, v in json.loads(whole).items() if k not in ("sha256", "library")}
    return [whole, json.dumps(plain).encode()]


def _saved_by_keras(file: str) -> bytes:
    place = keras.Input((4,))
    dense = keras.layers.Dense(4, activation="relu", kernel_regularizer="l2", name="dense")
    model = keras.Model(place, keras.layers.Add(name="add")([dense(place), place]), name="small")
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        return (Path(folder) / file).read_bytes()


def _keras_model() -> Any:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])


def forms() -> list[bytes]:
    """What `torch.save` writes."""
    from glubina import torch

    checkpoint = {"model": {"w": torch.zeros(2, 3)}, "epoch": 3, "best": float("inf"), 5: (1, [2])}
    state = {"w": torch.zeros(2), "b": torch.ones(1)}
    found = []
    for value in (checkpoint, state, [torch.zeros(1), None, "x"]):
        stream = io.BytesIO()
        torch.save(value, stream)
        found.append(stream.getvalue())
    return found


def plans() -> list[bytes]:
    """A program's plan, as it stands in the cache."""
    from native_kernels import PLAN

    return [PLAN.to_json().encode()]


def cells() -> list[bytes]:
    """An entry of the cache, whole."""
    with tempfile.TemporaryDirectory() as folder:
        Cache(Path(folder)).write("kernel", "key", b"object code")
        return [next(p for p in Path(folder).rglob("*") if p.is_file()).read_bytes()]


# -- readers --------------------------------------------------------------------------------------


def _read_table(path: Path) -> None:
    with suppress(*FILES):
        load_csv(path, target=None, delimiter=";")
    load_csv(path)


def _read_folder(path: Path, saved: Callable[[str], bytes] = _saved) -> None:
    """The model in the folder of a file; the other file of it is a valid one."""
    for name in ("model.json", "model.safetensors"):
        if not (path.parent / name).exists():
            (path.parent / name).write_bytes(saved(name))
    load_model(path.parent)


def _read_torch(path: Path) -> None:
    from glubina import torch

    torch.load(path)


def _read_keras(path: Path) -> None:
    _keras_model().load_weights(path)


def keras_weights() -> list[bytes]:
    """What `save_weights` writes."""
    return [written(_keras_model().save_weights, "w.safetensors")]


def _read_settings(path: Path) -> None:
    RunFolder(path.parent).read_seed()


def settings() -> list[bytes]:
    """settings.json as it is now, and as it was first."""
    told = {"seed": 3, "versions": {"glubina": "0.1.0"}}
    new = written(lambda path: write_document(path, "glubina settings", 1, told))
    return [new, written(lambda path: write_json(path, told))]


def _read_cell(path: Path) -> None:
    cache = Cache(path.parent / "cache")
    cache.write("kernel", "key", b"")
    entry = next(p for p in (path.parent / "cache").rglob("*") if p.is_file())
    content = path.read_bytes()
    entry.write_bytes(content)
    found = cache.read("kernel", "key")
    assert found is None or (found == b"object code" and content in cells())


def _gzipped(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 1, mtime=0))


def _zipped(path: Path, content: bytes) -> None:
    """An archive of one array, whose bytes are the input."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)


def _with_new_checksum(path: Path, content: bytes) -> None:
    """A document whose checksum fits, so that what comes after the check is reached."""
    try:
        value = json.loads(content)
        head = {k: value.pop(k) for k in ("format", "version", "library", "sha256")}
        write_document(path, head["format"], head["version"], value)
    except Exception:
        path.write_bytes(content)


TARGETS = {
    target.name: target
    for target in (
        Target("tensors", tensors, read_with_metadata),
        Target("layout", tensors, read_layout),
        Target("json", lambda: [*documents(), *models()], read_json),
        Target("document", documents, lambda path: read_document(path, "test", 1)),
        Target("checkpoint", checkpoints, read_checkpoint),
        Target("idx", idx, read_idx),
        Target("idx.gz", idx, read_idx, write=_gzipped),
        Target("gzip", lambda: [gzip.compress(c, mtime=0) for c in idx()], read_idx),
        Target("npy", npy, load_npy),
        Target("npz", npz, load_npz),
        Target("npz member", npy, load_npz, write=_zipped),
        Target("csv", tables, _read_table, "file.csv"),
        Target("columns", columns, read_columns, "file.csv"),
        Target("csv.gz", tables, _read_table, "file.csv.gz", write=_gzipped),
        Target("picture", pictures, read_picture, "file.png", (*FILES, MissingExtraError)),
        Target("cifar", records, cifar.read_cifar),
        Target("tar", archives, lambda p: cifar.cifar10(p.parent), cifar.ARCHIVE, write=_gzipped),
        Target("model.json", models, _read_folder, "model.json", write=_with_new_checksum),
        Target("keras model", lambda: [_saved_by_keras("model.json")],
               lambda path: _read_folder(path, _saved_by_keras), "model.json",
               write=_with_new_checksum),
        Target("weights", lambda: [_saved("model.safetensors")], _read_folder, "model.safetensors"),
        Target("settings", settings, _read_settings, "settings.json", write=_with_new_checksum),
        Target("torch", forms, _read_torch, errors=(*FILES, ValueError)),
        Target("keras", keras_weights, _read_keras, errors=(*FILES, nn.StateError), named=False),
        Target("plan", plans, lambda p: Plan.from_json(p.read_bytes()), errors=(PlanError,),
               named=False),
        Target("bundle", lambda: [bundle([b"ab", b""])], lambda p: unbundle(p.read_bytes()),
               errors=(ValueError,), named=False),
        Target("cache", cells, _read_cell),
    )
}  # fmt: skip
