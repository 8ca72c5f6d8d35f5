"""Modules that hold modules: one after another, in a list, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from glubina.nn.architecture import register
from glubina.nn.module import Module


class _Ordered(Module):
    """Children under the names "0", "1", ..., in order."""

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self.children()))

    def _names(self) -> list[str]:
        return [name for name, _ in self.named_children()]

    def _name(self, index: int) -> str:
        names = self._names()
        if not -len(names) <= index < len(names):
            raise IndexError(f"{type(self).__name__} has {len(names)} modules, no index {index}")
        return names[index]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __delitem__(self, index: int) -> None:
        gone = self._name(index)
        kept = [(name, child) for name, child in self.named_children() if name != gone]
        self._replace(kept)

    def _replace(self, named: list[tuple[str, Module]]) -> None:
        """Hold these modules instead, numbered anew where the names are numbers."""
        for name in self._names():
            delattr(self, name)
        for position, (name, child) in enumerate(named):
            self.add_module(str(position) if name.isdigit() else name, child)

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns the container itself."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end; returns the container itself."""
        for place, module in enumerate(modules, len(self)):
            self.add_module(str(place), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Put a module before the one at `index`; returns the container itself."""
        self._check_child("0", module)
        named = list(self.named_children())
        named.insert(index, ("0", module))
        self._replace(named)
        return self


@register
class Sequential(_Ordered):
    """Modules that run one after another: `Sequential(a, b, c)(x)` is `c(b(a(x)))`.

    Takes modules, or one ordered dict of name: module. Indexing gives a module, a slice gives a
    Sequential that shares the modules.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        named: Mapping[str, Any] = {str(i): module for i, module in enumerate(modules)}
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0]
        for name, module in named.items():
            self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        """Each module on the result of the one before."""
        for module in self.children():
            x = module(x)
        return x

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            named = list(self.named_children())[index]
            return Sequential({str(i) if n.isdigit() else n: m for i, (n, m) in enumerate(named)})
        child: Module = getattr(self, self._name(index))
        return child

    def config(self) -> dict[str, Any]:
        """The modules by name, as they are now."""
        return {"modules": dict(self.named_children())}

    @classmethod
    def from_config(cls, modules: Mapping[str, Module]) -> Sequential:
        """The opposite of `config`."""
        return cls(modules)


@register
class ModuleList(_Ordered):
    """A list of modules whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return ModuleList(list(self.children())[index])
        child: Module = getattr(self, self._name(index))
        return child

    def config(self) -> dict[str, Any]:
        """The modules, as they are now."""
        return {"modules": list(self.children())}


@register
class ModuleDict(Module):
    """Modules by name whose parameters are found; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self.update(modules or {})

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __getitem__(self, name: str) -> Module:
        found = dict(self.named_children())
        if name not in found:
            raise KeyError(f"ModuleDict has no {name!r}; it has {', '.join(found) or 'nothing'}")
        return found[name]

    def __delitem__(self, name: str) -> None:
        delattr(self, name) if name in self else self[name]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        """The modules."""
        return list(self.children())

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return list(self.named_children())

    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules by name."""
        for name, module in modules.items():
            self[name] = module

    def config(self) -> dict[str, Any]:
        """The modules by name, as they are now."""
        return {"modules": dict(self.named_children())}
