"""How a tensor is printed: as PyTorch prints it, to the letter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import glubina.tensor as gl
from glubina.tensor import printing as plain
from glubina.tensor.mode import mode

_DEFAULT = ("float32", "int64", "bool")
_START = len("tensor(")


@dataclass
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_options = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Say how tensors are printed; what is left out stays, but `sci_mode`: None chooses.

    precision: digits after the point. threshold: with more elements only the `edgeitems` first
    and last of each axis are shown. profile: "default", "short" or "full".
    """
    if profile is not None and profile not in _PROFILES:
        raise ValueError(f"set_printoptions: profile is one of {[*_PROFILES]}, got {profile!r}")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems}
    given |= {"linewidth": linewidth}
    found = _PROFILES[profile] if profile else {}
    for name, value in (*found.items(), *given.items()):
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


class _Style:
    """How all the numbers of a tensor are written: with one width, as 1., 1.0000 or 1.0000e+00."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.kind = values.dtype.kind
        self.whole, self.scientific, self.width = True, False, 1
        if self.kind != "f":
            self.width = max((len(str(v)) for v in values.flat), default=1)
            return
        digits = _options.precision
        shown = values[np.isfinite(values) & (values != 0)].astype(np.float64)
        if shown.size:
            sizes = np.abs(shown)
            self.whole = bool((shown == np.ceil(shown)).all())
            self.scientific = bool(sizes.max() / sizes.min() > 1000 or sizes.max() > 1e8)
            self.scientific |= not self.whole and bool(sizes.min() < 1e-4)
        if _options.sci_mode is not None:
            self.scientific = _options.sci_mode
        form = f".{digits}e" if self.scientific else ".0f" if self.whole else f".{digits}f"
        self._form = form
        more = self.whole and not self.scientific
        self.width = max((len(format(float(v), form)) + more for v in shown), default=1)

    def write(self, value: Any) -> str:
        """One number, at the right of its column."""
        if self.kind != "f":
            return str(value).rjust(self.width)
        text = format(float(value), self._form)
        point = self.whole and not self.scientific and math.isfinite(value)
        return (text + "." * point).rjust(self.width)


def _edges(count: int, several: bool) -> list[int | None]:
    """Which places along an axis are shown; None stands for `...`."""
    edge = _options.edgeitems
    if several and count > 2 * edge:
        return [*range(edge), None, *range(count - edge, count)]
    return list(range(count))


def _shown(array: NDArray[Any], short: bool) -> NDArray[Any]:
    for axis, extent in enumerate(array.shape):
        places = [p for p in _edges(extent, short) if p is not None]
        if len(places) < extent:
            array = np.take(array, places, axis)
    return array


def _text(array: NDArray[Any], indent: int, short: bool, style: _Style) -> str:
    if array.ndim == 0:
        return style.write(array.item() if style.kind != "f" else array[()])
    places = _edges(array.shape[0], short)
    if array.ndim == 1:
        each = max(1, (_options.linewidth - indent) // (style.width + 2))
        words = [" ..." if p is None else style.write(array[p]) for p in places]
        lines = [", ".join(words[i : i + each]) for i in range(0, len(words), each)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = ["..." if p is None else _text(array[p], indent + 1, short, style) for p in places]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _with_notes(text: str, notes: list[str]) -> str:
    """The notes after the numbers, on a line of their own where they do not fit."""
    last = len(text) - text.rfind("\n") + 1
    for note in notes:
        if last + len(note) + 2 > _options.linewidth:
            text, last = f"{text},\n{' ' * _START}{note}", _START + len(note)
        else:
            text, last = f"{text}, {note}", last + len(note) + 2
    return text + ")"


def tensor_text(tensor: gl.Tensor) -> str:
    """`tensor([[1., 2.]], grad_fn=<AddBackward0>)`; of a tensor being traced only its form."""
    if mode.trace is not None:
        return plain.tensor_repr(tensor)
    array = tensor.numpy(copy=False)
    notes = []
    if not array.size:
        text = "tensor([]"
        if array.ndim != 1:
            notes.append(f"size={tuple(array.shape)}")
    else:
        short = array.size > _options.threshold
        style = _Style(_shown(array, short))
        text = "tensor(" + _text(array, _START, short, style)
    if array.dtype.name not in _DEFAULT or (not array.size and array.dtype.name != "float32"):
        notes.append(f"dtype=torch.{array.dtype.name}")
    maker: Any = getattr(tensor, "grad_fn", None)
    if maker is not None:
        notes.append(f"grad_fn=<{maker.name()}>")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(text, notes)
