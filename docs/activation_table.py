"""Writes the table of docs/lectures/activations.md from the layers: `make pictures`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glubina import nn
from glubina.nn.activation import Activation
from glubina.nn.architecture import CLASSES

PAGE = Path(__file__).resolve().parent / "lectures" / "activations.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of the table -->\n"
MANY = ("Softmax", "LogSoftmax", "Softmin", "GLU")
"""Functions of a whole axis, which no curve can show."""


def elementwise() -> dict[str, Any]:
    """The activation functions of single elements by name, as layers with their defaults."""
    assert nn.RReLU  # loaded when it is asked for
    names = [
        name
        for name, kind in CLASSES.items()
        if isinstance(kind, type)
        and issubclass(kind, Activation)
        and kind.__module__.startswith("glubina.nn.")
    ]
    given = {"Threshold": (0.5, 0.0)}
    return {name: CLASSES[name](*given.get(name, ())) for name in sorted(names, key=str.lower)}


def _cell(text: str) -> str:
    return "`" + text.replace("|", r"\|") + "`"


def table() -> str:
    """The table in Markdown: name, formula, derivative."""
    layers = {**elementwise(), **{name: getattr(nn, name)() for name in MANY}}
    rows = ["", "| layer | formula | derivative |", "| --- | --- | --- |"]
    rows += [
        f"| `nn.{name}` | {_cell(layer.formula)} | {_cell(layer.derivative)} |"
        for name, layer in layers.items()
    ]
    return "\n".join(rows) + "\n\n"


def with_table(text: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
