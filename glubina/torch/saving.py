"""`torch.save` and `torch.load` of checkpoints, as safetensors; nothing is unpickled."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.files import DamagedFileError
from glubina.files.atomic import write_bytes
from glubina.files.json_file import parse_json
from glubina.files.tensors import decode_tensors, encode_tensors, read_bytes
from glubina.torch.tensor import faced

_FORM = "glubina.torch"
DEEPEST = 200  # dicts and lists in one another


def save(obj: Any, f: Any, **options: Any) -> None:
    """Write a state dict or a checkpoint to a file: a path, or an open binary file.

    obj: tensors, arrays, numbers, texts, None, and dicts, lists and tuples of them. A state dict
    (names to tensors) becomes a plain safetensors file. TypeError for whole models and other
    objects: those would be pickles, and a pickle runs code when it is loaded.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    if isinstance(obj, Mapping) and obj and all(_is_named_tensor(*item) for item in obj.items()):
        form = json.dumps({"names": [*obj], "ordered": isinstance(obj, OrderedDict)})
        content = encode_tensors({n: _array(v) for n, v in obj.items()}, {_FORM: form})
    else:
        form = json.dumps(_described(obj, arrays, "", 0))
        content = encode_tensors(arrays, {_FORM: form})
    if hasattr(f, "write"):
        f.write(content)
    else:
        write_bytes(Path(f), content)


def load(f: Any, map_location: Any = None, weights_only: bool = True, **options: Any) -> Any:
    """What `save` wrote, or the tensors of any safetensors file. Pickles (.pt) are refused.

    Raises FileError for a file that cannot be read, DamagedFileError for one that is damaged.
    """
    content = f.read() if hasattr(f, "read") else read_bytes(Path(f))
    name = "the file" if hasattr(f, "read") else str(f)
    if content[:2] == b"PK" or (content[:1] == b"\x80" and content[8:9] != b"{"):
        raise ValueError(
            f"load: {name} is a pickle of PyTorch's, and loading one can run any code. Convert it "
            "where PyTorch is: safetensors.torch.save_file(model.state_dict(), path)"
        )
    arrays, metadata = decode_tensors(content, name)
    if _FORM in metadata:
        try:
            return _rebuilt(
                parse_json(metadata[_FORM].encode(), 3 * DEEPEST, infinite=True), arrays
            )
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise DamagedFileError(
                name, f"is damaged: its description of what was saved makes no sense ({error!r})"
            ) from error
    return OrderedDict((n, faced(gl.tensor(a))) for n, a in arrays.items())


def _is_named_tensor(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, (gl.Tensor, np.ndarray))


def _array(value: Any) -> np.ndarray[Any, Any]:
    return np.array(value.numpy() if isinstance(value, gl.Tensor) else value)


def _described(value: Any, arrays: dict[str, np.ndarray[Any, Any]], place: str, depth: int) -> Any:
    """The value as JSON; its tensors go into `arrays`."""
    if depth >= DEEPEST:
        raise ValueError(f"save: there are more than {DEEPEST} dicts and lists in one another")
    inner = depth + 1
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (gl.Tensor, np.ndarray)):
        name = str(len(arrays))
        arrays[name] = _array(value)
        kind = "tensor" if isinstance(value, gl.Tensor) else "array"
        return {kind: name, "grad": bool(getattr(value, "requires_grad", False))}
    if isinstance(value, Mapping):
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        return {
            kind: [
                [
                    _described(k, arrays, place, inner),
                    _described(v, arrays, f"{place}[{k!r}]", inner),
                ]
                for k, v in value.items()
            ]
        }
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_described(v, arrays, f"{place}[{i}]", inner) for i, v in enumerate(value)]}
    where = f" at {place}" if place else ""
    raise TypeError(
        f"save: writes tensors, numbers, texts, and dicts and lists of them, got a "
        f"{type(value).__name__}{where}; of a model save model.state_dict() (or "
        "glubina.nn.save(model, folder), which keeps the architecture too)"
    )


def _rebuilt(form: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    if not isinstance(form, dict):
        return form
    if "names" in form:
        pairs = [(name, faced(gl.tensor(arrays[name]))) for name in form["names"]]
        return OrderedDict(pairs) if form["ordered"] else dict(pairs)
    if "tensor" in form:
        return faced(gl.tensor(arrays[form["tensor"]])).requires_grad_(form["grad"])
    if "array" in form:
        return arrays[form["array"]]
    ((kind, parts),) = form.items()
    if kind in ("dict", "ordered"):
        pairs = [(_rebuilt(k, arrays), _rebuilt(v, arrays)) for k, v in parts]
        return OrderedDict(pairs) if kind == "ordered" else dict(pairs)
    several = [_rebuilt(v, arrays) for v in parts]
    return several if kind == "list" else tuple(several)
