"""`torch.save` and `torch.load` of state dicts, as safetensors files; nothing is unpickled."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.files.tensors import read_tensors, write_tensors
from glubina.torch.tensor import faced


def save(obj: Any, f: str | Path) -> None:
    """Write a state dict (names to tensors) to a safetensors file.

    TypeError for anything else: whole models and checkpoints would be pickles, and a pickle runs
    code when it is loaded.
    """
    if not isinstance(obj, Mapping) or not obj:
        what = "an empty dict" if isinstance(obj, Mapping) else f"a {type(obj).__name__}"
        raise TypeError(
            f"save: writes state dicts (names to tensors) as safetensors, got {what}; "
            "use torch.save(model.state_dict(), path)"
        )
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, value in obj.items():
        if not isinstance(value, (gl.Tensor, np.ndarray)):
            raise TypeError(
                f"save: {name!r} is a {type(value).__name__}; only tensors are written. Save the "
                "state dict on its own, and numbers of a checkpoint as tensors or in a JSON file"
            )
        arrays[str(name)] = np.array(value.numpy() if isinstance(value, gl.Tensor) else value)
    write_tensors(Path(f), arrays)


def load(f: str | Path, map_location: Any = None, weights_only: bool = True) -> Any:
    """The state dict in a safetensors file. Pickles (.pt of PyTorch itself) are refused."""
    path = Path(f)
    with path.open("rb") as file:
        head = file.read(9)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        raise ValueError(
            f"load: {path} is a pickle of PyTorch's, and loading one can run any code. Convert it "
            "where PyTorch is: safetensors.torch.save_file(model.state_dict(), path)"
        )
    return OrderedDict((n, faced(gl.tensor(a))) for n, a in read_tensors(path).items())
