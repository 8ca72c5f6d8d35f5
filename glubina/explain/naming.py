"""The names that a person gave to tensors: variables, and parameters of networks."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from glubina.graph.node import Node, topological
from glubina.graph.origins import Origin, Place
from glubina.nn import Module
from glubina.tensor import Tensor


def names_in(variables: Mapping[str, Any]) -> dict[Node, str]:
    """The nodes of tensors among variables, and of parameters of networks among them.

    A parameter has its dotted path; the variable's name before it where there are several networks.
    """
    names: dict[Node, str] = {}
    networks = {id(v): (k, v) for k, v in variables.items() if isinstance(v, Module)}
    children = {id(m) for _, v in networks.values() for m in v.modules() if m is not v}
    roots = [(k, v) for k, v in networks.values() if id(v) not in children]
    holders = sum(any(True for _ in network.parameters()) for _, network in roots)
    for variable, network in roots:
        prefix = f"{variable}." if holders > 1 else ""
        for path, tensor in (*network.named_parameters(), *network.named_buffers()):
            _give(names, tensor, prefix + path)
    for variable, value in variables.items():
        if variable.startswith("_"):
            continue
        if isinstance(value, Tensor):
            _give(names, value, variable)
        elif isinstance(value, (list, tuple)) and len(value) <= 64:
            for number, item in enumerate(value):
                if isinstance(item, Tensor):
                    _give(names, item, f"{variable}[{number}]")
    return names


def _give(names: dict[Node, str], tensor: Tensor, name: str) -> None:
    cell = tensor._cell
    names.setdefault(cell.node, name)
    if cell.leaf is not None:
        names.setdefault(cell.leaf, name)


def visible_from(frame: FrameType | None) -> dict[str, Any]:
    """The variables that a line of a program can see: local ones hide global ones."""
    if frame is None:
        return {}
    local = dict(frame.f_locals)
    return {**local, **{k: v for k, v in frame.f_globals.items() if k not in local}}


def assigned(output: Node, origins: Mapping[Node, Origin], taken: Iterable[str]) -> dict[Node, str]:
    """Names from the lines that made the nodes: `h = x @ w` calls its last node h.

    A variable that several lines, or several nodes in turn, are assigned to names none of them.
    """
    last: dict[Place, Node] = {}
    for node in topological([output]):
        origin = origins.get(node)
        if origin is not None and origin.user is not None and node.sources:
            last[origin.user] = node
    named: dict[str, list[Node]] = {}
    for place, node in last.items():
        name = _target(place)
        if name is not None:
            named.setdefault(name, []).append(node)
    used = set(taken)
    return {nodes[0]: n for n, nodes in named.items() if len(nodes) == 1 and n not in used}


def _target(place: Place) -> str | None:
    """The variable that a line assigns to, if that is all it does."""
    line = linecache.getline(place.file, place.line).strip()
    try:
        statement = ast.parse(line).body[0]
    except (SyntaxError, IndexError, ValueError):
        return None
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name) and not isinstance(statement.value, (ast.Name, ast.Lambda)):
            return target.id
    return None
