"""Whether a layer computes a weight, and how to make it a parameter again."""

from __future__ import annotations

from typing import Any

from glubina.nn.reparametrised import remove, rules_of


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Whether the layer computes this weight (any weight) from other parameters."""
    return any(tensor_name in (None, rule.name) for rule in rules_of(module))


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Make the weight a parameter again, with the value that it has; returns the layer."""
    if not leave_parametrized:
        raise ValueError(
            "leave_parametrized=False is not supported: the weight keeps the value it has; call "
            "remove_parametrizations(module, tensor_name)"
        )
    return remove(module, tensor_name)


__all__ = ["is_parametrized", "remove_parametrizations"]
