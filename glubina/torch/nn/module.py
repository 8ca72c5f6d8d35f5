"""`nn.Module` with PyTorch's hooks, state dicts and `.to(device)`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Self

import glubina.tensor as gl
from glubina import nn
from glubina.tensor.promotion import as_dtype
from glubina.torch.autograd import Handle
from glubina.torch.device import is_device, on_cpu
from glubina.torch.tensor import Parameter, Tensor, faced

FACES: dict[type[Any], type[Any]] = {}
"""The class of this face for each layer of `glubina.nn`."""


def adopt(module: nn.Module) -> None:
    """Give what a layer of `glubina.nn` made in its `__init__` the classes of this face."""
    for value in list(vars(module).values()):
        if isinstance(value, gl.Tensor):
            faced(value)
        elif isinstance(value, nn.Module) and not isinstance(value, Module):
            face = FACES.get(type(value))
            if face is not None:
                value.__class__ = face
            adopt(value)


class Module(nn.Module):
    """A layer or a network: subclass it, make parameters and layers in `__init__`, write `forward`.

    Everything of `glubina.nn.Module` is there too: `compile`, `fit`, `evaluate`, `summary`.
    """

    _before: tuple[Callable[..., Any], ...] = ()
    _after: tuple[Callable[..., Any], ...] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the hooks and `forward`."""
        args = tuple([faced(a) for a in args])
        for hook in self._before:
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = faced(super().__call__(*args, **kwargs))
        for hook in self._after:
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    def register_forward_hook(self, hook: Callable[..., Any]) -> Any:
        """Call `hook(module, inputs, output)` after each forward; what it returns replaces it."""
        self._after = (*self._after, hook)
        return Handle(lambda: self._drop("_after", hook))

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> Handle:
        """Call `hook(module, inputs)` before each forward; what it returns replaces the inputs."""
        self._before = (*self._before, hook)
        return Handle(lambda: self._drop("_before", hook))

    def _drop(self, name: str, hook: Callable[..., Any]) -> None:
        setattr(self, name, tuple(h for h in getattr(self, name) if h is not hook))

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Keep a tensor that is saved with the weights (if persistent) but never trained."""
        if persistent:
            super().register_buffer(name, faced(tensor))
        else:
            setattr(self, name, faced(tensor))

    def register_module(self, name: str, module: Any) -> None:
        """The same as `add_module`."""
        self.add_module(name, module)

    def get_parameter(self, target: str) -> Any:
        """The parameter of a dotted name."""
        found = dict(self.named_parameters())
        if target not in found:
            raise AttributeError(f"no parameter {target!r}; there are {', '.join(found) or 'none'}")
        return found[target]

    def to(self, *targets: Any, dtype: Any = None, device: Any = None, **options: Any) -> Self:
        """Convert floating parameters and buffers to another dtype; a device must be the CPU."""
        on_cpu(device)
        for target in targets:
            if is_device(target) or isinstance(target, int):
                on_cpu(target)
            else:
                dtype = target.dtype if isinstance(target, gl.Tensor) else target
        return self if dtype is None else super().to(as_dtype(dtype))

    def cuda(self, device: Any = None) -> Self:
        """RuntimeError: modules are on the CPU."""
        on_cpu("cuda")
        return self

    def cpu(self) -> Self:
        """The module itself."""
        return self

    def state_dict(self, *args: Any, prefix: str = "", **options: Any) -> Any:
        """Parameters and buffers by dotted name, in PyTorch's layouts; they share the memory."""
        named = super().state_dict()
        return OrderedDict((prefix + name, faced(value)) for name, value in named.items())

    def named_parameters(  # type: ignore[override]
        self, prefix: Any = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its dotted name."""
        if isinstance(prefix, bool):
            prefix, recurse = "", prefix
        start = f"{prefix}." if prefix else ""
        return ((start + name, faced(p)) for name, p in super().named_parameters(recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """Every parameter once: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def loaded(self) -> None:
        """Called after values were loaded; a lazy layer becomes the layer of this face."""
        super().loaded()
        face = FACES.get(type(self))
        if face is not None:
            self.__class__ = face

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = super().__deepcopy__(memo)
        adopt(other)
        return other


__all__ = ["FACES", "Module", "Parameter", "Tensor", "adopt"]
