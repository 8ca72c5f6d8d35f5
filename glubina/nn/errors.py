"""The errors of layers: each says where in the network, what came and what was expected."""

from __future__ import annotations

from typing import Any

from glubina.graph import GraphError


class StateError(ValueError):
    """A state that does not fit the module: lists every difference."""


class ArchitectureError(ValueError):
    """A description of a network that cannot be written or built."""


def place(error: GraphError, module: Any) -> None:
    """Tell in an error's text which layer it came from; called by each module on the way out.

    The innermost module names itself; each module around it adds its name for the one that
    failed, so that the text ends up as "layer '3.conv' (Conv2d(...)): what came, ...".
    """
    trail: dict[str, Any] = error.__dict__.setdefault("trail", {"path": [], "text": error.text})
    if "layer" in trail:
        return  # it came up when the value was worked out: of a layer that was called before
    if "inner" not in trail:
        trail["inner"] = trail["last"] = module
    else:
        last = trail["last"]
        name = next((name for name, child in module.named_children() if child is last), None)
        if name is not None:
            trail["path"].insert(0, name)
        trail["last"] = module
    path = ".".join(trail["path"])
    where = f"layer '{path}' ({_head(trail['inner'])})" if path else _head(trail["inner"])
    error.args = (f"{where}: {trail['text']}",)


def _head(module: Any) -> str:
    """The module on one line."""
    arguments = module.extra_repr()
    return f"{type(module).__name__}({arguments})"
