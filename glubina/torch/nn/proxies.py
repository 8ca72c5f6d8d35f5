"""`module._modules` and its like: what a module holds, as dicts that can be written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any


class Held(MutableMapping[str, Any]):
    """The attributes of a module that are of one kind, by name."""

    def __init__(
        self, module: Any, names: Callable[[], list[str]], put: Callable[..., Any]
    ) -> None:
        self._module, self._names, self._put = module, names, put

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return vars(self._module)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return repr(dict(self))
