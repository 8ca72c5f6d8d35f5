"""JSON files in UTF-8: strict, bounded in size and in depth, written atomically."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from glubina.files.atomic import write_text
from glubina.files.errors import DamagedFileError
from glubina.files.reading import read_bytes

LARGEST = 32 * 2**20  # bytes; a model's description is a few kilobytes
DEEPEST = 64  # brackets within brackets
MOST = 10**6  # brackets: an empty list takes thirty times more memory than text

# A text (to its end, or to the end of all) or a bracket; possessive, so in time that is linear.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


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
    content = read_bytes(path, LARGEST)
    try:
        return parse_json(content)
    except ValueError as error:
        raise DamagedFileError(Path(path), f"is damaged or is not JSON ({error})") from error


def parse_json(content: bytes, deepest: int = DEEPEST, *, infinite: bool = False) -> Any:
    """The value of a JSON text in UTF-8; ValueError says why it is none that is read here.

    deepest: how many brackets may stand in brackets. infinite: NaN and the infinities are let pass.
    """
    text = content.decode("utf-8")  # its error is a ValueError, and so is the parser's
    require_shallow(text, deepest)
    strict: Any = {} if infinite else {"parse_constant": _no_constant, "parse_float": _finite}
    try:
        value = json.loads(text, object_pairs_hook=_unique, **strict)
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):  # Python's advice is none for this
            raise ValueError("it has an integer of thousands of digits") from error
        raise
    if "\\u" in text:  # half of a pair of UTF-16 is no text, and cannot be written anywhere
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text:.40} is beyond the largest number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of the pairs; a key given twice would silently hide a value."""
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the key {name[:80]!r} is given twice")
            seen.add(name)
    return made


def require_shallow(text: str, deepest: int = DEEPEST) -> None:
    """Raise ValueError for deep nesting, before a parser recurses into it, and for too many parts.

    Brackets in strings do not count.
    """
    depth = count = 0
    for found in _TOKEN.finditer(text):
        bracket = found[0]
        if bracket in ("[", "{"):
            depth, count = depth + 1, count + 1
            if depth > deepest:
                raise ValueError(f"it nests deeper than {deepest} levels")
            if count > MOST:
                raise ValueError(f"it has more than {MOST} lists and objects")
        elif bracket in ("]", "}"):
            depth -= 1
