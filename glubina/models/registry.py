"""The list of the networks: each one's name, its class with arguments, and its paper."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glubina.graph.node import Shape
from glubina.nn import Module


class UnknownModelError(ValueError):
    """There is no network of this name; the message suggests near ones."""


@dataclass(frozen=True)
class Entry:
    """One network of the list.

    kind: its class. source: the paper. input_shape: one example's, as the paper has it, without
    the batch axis. arguments: what the class is given unless told otherwise. input_dtype: of the
    input, float32 or (for symbols) int64.
    """

    name: str
    kind: type[Module]
    source: str
    input_shape: Shape
    arguments: dict[str, Any] = field(default_factory=dict)
    input_dtype: Any = np.float32

    @property
    def year(self) -> int:
        """Of the paper."""
        return int(re.search(r"\d{4}", self.source)[0])  # type: ignore[index]

    def make(self, **arguments: Any) -> Module:
        """A new network, freshly drawn; `arguments` go before the entry's own."""
        known = list(inspect.signature(self.kind).parameters)
        wrong = [n for n in arguments if n not in known]
        if wrong:
            raise TypeError(
                f"{self.name!r} ({self.kind.__name__}) has no argument {', '.join(wrong)}; it "
                f"takes {', '.join(known)}"
            )
        return self.kind(**{**self.arguments, **arguments})


_ENTRIES: dict[str, Entry] = {}


def add(
    name: str,
    kind: type[Module],
    source: str,
    input_shape: Shape,
    input_dtype: Any = np.float32,
    **arguments: Any,
) -> None:
    """Put a network into the list, under a name of lower-case words."""
    _ENTRIES[name] = Entry(name, kind, source, input_shape, arguments, np.dtype(input_dtype))


def names() -> list[str]:
    """The names of all networks, in the order of their papers."""
    return sorted(_ENTRIES, key=lambda name: _ENTRIES[name].year)


def find(name: str) -> Entry:
    """What the list knows of a network. Raises UnknownModelError with suggestions."""
    known = str(name).lower().replace("_", "-")
    if known in _ENTRIES:
        return _ENTRIES[known]
    near = difflib.get_close_matches(known, _ENTRIES, n=3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise UnknownModelError(f"unknown network {name!r}.{meant} Networks: {', '.join(names())}")


def make(name: str, **arguments: Any) -> Module:
    """A new network by its name, freshly drawn: `make("resnet20", num_classes=100)`.

    arguments: the class's, instead of the paper's values. Raises UnknownModelError for a name that
    is not in the list, TypeError for an argument that the class does not have.
    """
    return find(name).make(**arguments)


def count(model: Module) -> int:
    """The number of trained parameters."""
    return sum(math.prod(p.shape) for p in model.parameters() if p.requires_grad)


def table(parameters: Mapping[str, int] | None = None) -> str:
    """All networks as a table in Markdown: name, class, source, one example's shape, parameters.

    parameters: the counts by name. Without it every network is made, which takes a few seconds.
    """
    lines = ["| name | class | source | input | parameters |", "| --- | --- | --- | --- | ---: |"]
    for name in names():
        entry = _ENTRIES[name]
        shape = " × ".join(map(str, entry.input_shape))
        number = count(entry.make()) if parameters is None else parameters[name]
        lines.append(
            f"| `{name}` | `{entry.kind.__name__}` | {entry.source} | {shape} | {number:,} |"
        )
    return "\n".join(lines) + "\n"
