"""The names of tensors, as the program knows them that is running: paths in networks, variables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from glubina.graph.origins import outside
from glubina.tensor.base import TensorBase


def names_in_sight(networks: Iterable[Any]) -> dict[int, str]:
    """Names by the identities of tensors' cells, nodes and leaves.

    networks: whose parameters and buffers have their dotted paths. So have those of networks that
    are variables of the functions that are running; other tensors there have the variables' names.
    """
    frames = list(_variables())
    found = {id(network): network for network in networks}
    for variables in frames:
        for value in variables.values():
            if hasattr(value, "named_parameters") and hasattr(value, "named_buffers"):
                found.setdefault(id(value), value)
    names: dict[int, str] = {}
    for network in found.values():
        if isinstance(network, type):
            continue
        for path, tensor in (*network.named_parameters(), *network.named_buffers()):
            _give(names, tensor, path)
    for variables in frames:
        for name, value in variables.items():
            if isinstance(value, TensorBase):
                _give(names, value, name)
    return names


def _variables() -> Iterator[dict[str, Any]]:
    """The variables of the user's functions that are running, the innermost first."""
    frame = sys._getframe(1)
    seen = set()
    while frame is not None:
        if outside(frame):
            yield dict(frame.f_locals)
            if id(frame.f_globals) not in seen:
                seen.add(id(frame.f_globals))
                yield dict(frame.f_globals)
        frame = frame.f_back  # type: ignore[assignment]


def _give(names: dict[int, str], tensor: TensorBase, name: str) -> None:
    for held in (tensor._cell, tensor._cell.node, tensor._cell.leaf):
        if held is not None:
            names.setdefault(id(held), name)
