"""A report on a data set before training: counts, classes, spreads, doubles, gaps."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.opening import Opened, Part
from glubina.data.order import class_weights

ROWS = 4096  # examples looked at together: a large set is never copied whole
FEW = 20  # different whole numbers that are taken for classes in any case
LISTED = 5  # names in a note
Figures = dict[str, Any]


def report(data: Opened) -> Figures:
    """All figures of a data set as plain values that JSON can hold.

    "parts": for each part its examples, shape, dtype, range, mean and deviation (of each channel
    for images), missing and infinite values, and of the targets the classes' counts and weights or
    the range. "duplicates": exact doubles within and across the parts, and those with different
    targets. "columns": for a table, each column's figures over all parts. "notes": what deserves a
    look, in sentences.
    """
    made: Figures = {
        "name": data.name,
        "kind": kind(data),
        "parts": {name: _part(part, data) for name, part in data.parts.items()},
        "duplicates": duplicates(data.parts),
    }
    if made["kind"] == "table":
        made["columns"] = _columns(data)
    made["notes"] = _notes(made)
    return made


def kind(data: Opened) -> str:
    """What the inputs are: "images", "table" or "arrays"."""
    shape = next(iter(data.parts.values()))[0].shape[1:]
    if len(shape) == 1:
        return "table"
    pictures = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    return "images" if pictures and min(shape[:2]) > 3 else "arrays"


def is_labels(y: NDArray[Any], data: Opened) -> bool:
    """Whether targets are class numbers: named, or whole and few."""
    if y.ndim != 1 or y.dtype.kind not in "iu":
        return False
    return bool(data.classes) or len(np.unique(y)) <= max(FEW, math.isqrt(len(y)))


def _part(part: Part, data: Opened) -> Figures:
    x, y = part
    made: Figures = {"examples": len(x), "shape": list(x.shape[1:]), "dtype": str(x.dtype)}
    made |= _spread(x)
    if x.ndim == 4:
        spreads = [_spread(x[..., channel]) for channel in range(x.shape[3])]
        made["channels"] = [{"mean": s["mean"], "std": s["std"]} for s in spreads]
    if y is None:
        return made
    if is_labels(y, data):
        missing = int((y == -1).sum()) if data.classes else 0
        return made | {"missing_targets": missing, "classes": _classes(y, data.classes)}
    spread = _spread(y)
    target = {"shape": list(y.shape[1:]), "dtype": str(y.dtype), **spread}
    return made | {"missing_targets": spread["missing"], "target": target}


def _classes(y: NDArray[Any], names: tuple[str, ...]) -> list[Figures]:
    """Each class with its count, its share and its balanced weight; −1 is a missing target."""
    known = y[y != -1] if names else y
    values = np.arange(len(names)) if names else np.unique(y)
    counts = [int((known == value).sum()) for value in values]
    places = np.searchsorted(values, known)
    weights = class_weights(places, len(values)) if len(known) else np.zeros(len(values))
    return [
        {
            "name": names[value] if names and value < len(names) else str(value),
            "count": count,
            "share": round(count / max(len(y), 1), 6),
            "weight": round(float(weight), 6),
        }
        for value, count, weight in zip(values.tolist(), counts, weights)
    ]


def _pieces(x: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(x), ROWS):
        yield x[start : start + ROWS].astype(np.float64)


def _spread(x: NDArray[Any]) -> Figures:
    """Range, mean, deviation (population), missing and infinite values, in two passes."""
    count = total = missing = infinite = 0.0
    low, high = math.inf, -math.inf
    for piece in _pieces(x):
        finite = np.isfinite(piece)
        values = piece if finite.all() else piece[finite]
        missing += int(np.isnan(piece).sum())
        infinite += int(np.isinf(piece).sum())
        if values.size:
            count, total = count + values.size, total + float(values.sum())
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not count:
        return {"min": None, "max": None, "mean": None, "std": None,
                "missing": int(missing), "infinite": int(infinite)}  # fmt: skip
    mean = total / count
    squares = 0.0
    for piece in _pieces(x):
        away = piece - mean
        squares += float(np.square(away[np.isfinite(piece)]).sum())
    return {
        "min": low,
        "max": high,
        "mean": mean,
        "std": math.sqrt(squares / count),
        "missing": int(missing),
        "infinite": int(infinite),
    }


def duplicates(parts: dict[str, Part]) -> Figures:
    """Exact doubles: within each part, of later parts in earlier ones, with different targets.

    "within": by part the examples that equal an earlier one of it. "across": by pair of parts the
    examples of the second that are also in the first. "conflicting": the examples whose inputs
    occur with several targets, in all parts together.
    """
    prints = {name: _fingerprints(x) for name, (x, _) in parts.items()}
    seen = {name: set(found) for name, found in prints.items()}
    targets: dict[bytes, set[bytes]] = {}
    labelled = [
        (print_, y[row].tobytes())
        for name, (_, y) in parts.items()
        if y is not None
        for row, print_ in enumerate(prints[name])
    ]
    for print_, target in labelled:
        targets.setdefault(print_, set()).add(target)
    return {
        "within": {name: len(found) - len(seen[name]) for name, found in prints.items()},
        "across": {
            f"{first}, {second}": sum(print_ in seen[first] for print_ in prints[second])
            for first, second in combinations(prints, 2)
        },
        "conflicting": sum(len(targets[print_]) > 1 for print_, _ in labelled),
    }


def _fingerprints(x: NDArray[Any]) -> list[bytes]:
    """A hash of each example; equal examples have equal ones (and no others, for all purposes)."""
    whole = np.ascontiguousarray(x)
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in whole]


def _columns(data: Opened) -> list[Figures]:
    """A table's columns over all parts."""
    x = np.concatenate([part[0] for part in data.parts.values()])
    names = data.columns or tuple(str(column) for column in range(x.shape[1]))
    made = []
    for place, name in enumerate(names):
        column = x[:, place]
        values = column[~np.isnan(column)] if column.dtype.kind == "f" else column
        distinct = len(np.unique(values))
        figures: Figures = {"name": name, "distinct": distinct, "constant": distinct <= 1}
        texts = data.categories.get(name)
        figures |= _spread(column) if texts is None else {
            "missing": int(np.isnan(column).sum()), "categories": list(texts)
        }  # fmt: skip
        made.append(figures)
    return made


def _notes(made: Figures) -> list[str]:
    """What deserves a look before training."""
    notes = []
    for name, part in made["parts"].items():
        where = "" if name == "all" else f" in {name}"
        for what in ("missing", "infinite"):
            if part[what]:
                notes.append(f"{part[what]:,} {what} values{where}: fill them in or leave them out")
        if part.get("missing_targets"):
            notes.append(f"{part['missing_targets']:,} examples without a target{where}")
        counts = [entry["count"] for entry in part.get("classes", ())]
        if counts and min(counts) == 0:
            notes.append(f"{counts.count(0)} classes have no example{where}")
        elif counts and max(counts) > 3 * min(counts):
            notes.append(
                f"the classes are unbalanced{where} ({min(counts):,} to {max(counts):,} examples): "
                "class weights or another measure than accuracy"
            )
    double = made["duplicates"]
    for name, count in double["within"].items():
        if count:
            notes.append(f"{count:,} examples{'' if name == 'all' else f' of {name}'} occur twice")
    for pair, count in double["across"].items():
        if count:
            first, second = pair.split(", ")
            notes.append(f"{count:,} examples of {second} are also in {first}: a leak")
    if double["conflicting"]:
        notes.append(f"{double['conflicting']:,} examples occur with different targets")
    constant = [column["name"] for column in made.get("columns", ()) if column["constant"]]
    if constant:
        more = f" and {len(constant) - LISTED} more" if len(constant) > LISTED else ""
        notes.append(
            f"columns that never change, so nothing can be learnt from them: "
            f"{', '.join(constant[:LISTED])}{more}"
        )
    return notes
