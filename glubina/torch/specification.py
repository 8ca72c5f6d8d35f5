"""PyTorch's signatures as short texts, turned into calls of Glubina's functions and layers.

A text lists the arguments in PyTorch's order: `"p=0.5 inplace~"`. `name` or `name=default` goes on
under its name, `name:other=default` under another one; `name~` is accepted and asks for nothing;
`name!default` is accepted with its default only, other values are an error.
"""

from __future__ import annotations

import ast
import inspect
from typing import Any, NamedTuple

from glubina.torch.device import on_cpu

_NOTHING = inspect.Parameter.empty


class _Argument(NamedTuple):
    name: str
    to: str | None
    default: Any
    fixed: bool


class Specification:
    """The arguments that a function or layer takes; `bind` gives those that go on."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.arguments = [_read(word) for word in text.split()]
        self.order = [a.name for a in self.arguments]
        self._by_name = {a.name: a for a in self.arguments}

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by their names in Glubina; TypeError for unknown or missing ones."""
        if len(args) > len(self.order):
            raise TypeError(f"{self.name} takes {len(self.order)} arguments "
                            f"({', '.join(self.order)}), got {len(args)}")  # fmt: skip
        given = dict(zip(self.order, args))
        for key, value in kwargs.items():
            if key in given or key not in self._by_name:
                fault = "was given twice" if key in given else "is unknown"
                raise TypeError(f"{self.name}: {key!r} {fault}; it takes {', '.join(self.order)}")
            given[key] = value
        missing = [a.name for a in self.arguments if a.default is _NOTHING and a.name not in given]
        if missing:
            raise TypeError(f"{self.name}: {', '.join(missing)} must be given")
        found = ((a, given[a.name]) for a in self.arguments if a.name in given)
        return {a.to or "": value for a, value in found if self._goes_on(a, value)}

    def _goes_on(self, argument: _Argument, value: Any) -> bool:
        if argument.fixed and value != argument.default:
            raise NotImplementedError(
                f"{self.name}: {argument.name} can only be {argument.default!r} here, got {value!r}"
            )
        return argument.to is not None

    def signature(self, method: bool = False) -> inspect.Signature:
        """As `help` shows it, of a function or of a method."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        listed = [inspect.Parameter(a.name, kind, default=a.default) for a in self.arguments]
        return inspect.Signature([own, *listed] if method else listed)


def _read(word: str) -> _Argument:
    if word.endswith("~"):
        return _Argument(word[:-1], None, None, False)
    fixed = "!" in word
    name, _, text = word.partition("!" if fixed else "=")
    name, _, to = name.partition(":")
    default = ast.literal_eval(text) if text else _NOTHING
    return _Argument(name, None if fixed else to or name, default, fixed)


def take_options(kwargs: dict[str, Any]) -> Any:
    """Take `device` (the CPU) and `dtype` out of a layer's arguments; returns the dtype."""
    on_cpu(kwargs.pop("device", None))
    return kwargs.pop("dtype", None)
