"""JSON files in UTF-8: strict, bounded in size and in depth, written atomically."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

from glubina.files.atomic import write_text
from glubina.files.errors import DamagedFileError, FileError, reason

LARGEST = 64 * 2**20  # bytes; a model's description is a few kilobytes
DEEPEST = 64  # brackets within brackets


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value of dicts, lists, strings, numbers, booleans and None as indented JSON.

    Lists of numbers and texts stay on one line. NaN and the infinities have no place in JSON:
    they raise ValueError and nothing is written.
    """
    write_text(path, _text(value, "\n") + "\n")


def _text(value: Any, newline: str) -> str:
    """The value as JSON; `newline` is a line's end with the indentation of the next line."""
    deeper = newline + "  "
    if isinstance(value, dict) and value:
        lines = [f"{_plain(str(name))}: {_text(part, deeper)}" for name, part in value.items()]
        return "{" + deeper + ("," + deeper).join(lines) + newline + "}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list, tuple)) for v in value):
        lines = [_text(part, deeper) for part in value]
        return "[" + deeper + ("," + deeper).join(lines) + newline + "]"
    return _plain(value)


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises FileError if it is missing or too large, DamagedFileError if it is not strict JSON
    (NaN, a key given twice, nesting without measure, text after the end).
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise FileError(file, f"has {size} bytes; a JSON file may have up to {LARGEST}")
        content = file.read_bytes()
    except FileError:
        raise
    except OSError as error:
        raise FileError(file, f"cannot be read: {reason(error)}") from error
    try:
        text = content.decode("utf-8")
        _check_depth(text)
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are among them
        raise DamagedFileError(file, f"is damaged or is not JSON ({error})") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs; a key given twice would silently hide a value."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return made


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser recurses into it. Brackets in strings do not count."""
    depth, quoted, escaped = 0, False, False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"it nests deeper than {DEEPEST} levels")
        elif character in "]}":
            depth -= 1
