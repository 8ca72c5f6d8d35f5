"""A part of a network whose activations are worked out again in the backward pass."""

from __future__ import annotations

from typing import Any

from glubina.nn.architecture import register
from glubina.nn.module import Module
from glubina.tensor.recompute import recompute


@register
class Recompute(Module):
    """A module (activation checkpointing): in training only what goes into it is kept.

    What it works out inside is forgotten and worked out again in the backward pass, which takes
    the memory of a single such part instead of all, and about a third more time. Values,
    derivatives, dropped elements and running statistics are those of the module itself; so are
    the names of its parameters, and files of weights fit with and without. See `gl.recompute`.

    >>> blocks = [nn.Recompute(nn.blocks.BasicBlock(16, 16)) for _ in range(50)]
    """

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"Recompute takes a module, got {type(module).__name__} {module!r}")
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return recompute(self.module, *args, **kwargs)

    def _name_below(self, prefix: str, name: str) -> str:
        """The module inside has this one's name: its parameters are named as without this one."""
        return prefix
