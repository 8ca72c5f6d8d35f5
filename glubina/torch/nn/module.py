"""`nn.Module` with PyTorch's hooks, state dicts and `.to(device)`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np

import glubina.tensor as gl
from glubina import nn
from glubina.nn.errors import StateError
from glubina.tensor.promotion import as_dtype
from glubina.torch.autograd.derivatives import Handle, after_backward
from glubina.torch.device import is_device, on_cpu
from glubina.torch.nn.description import module_text
from glubina.torch.nn.proxies import Held
from glubina.torch.tensor import Parameter, Size, Tensor, faced

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


class IncompatibleKeys(NamedTuple):
    """Names that a state dict lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, " \
               f"unexpected_keys={self.unexpected_keys})"  # fmt: skip


class StateDictError(StateError, RuntimeError):
    """A state dict does not fit a module."""


def _misfit(module: Module, have: dict[str, Any], given: Any, strict: bool) -> str:
    """What does not fit, in PyTorch's words."""
    lines = [f"Error(s) in loading state_dict for {type(module).__name__}:"]
    for word, names in (
        ("Missing", [n for n in have if n not in given]),
        ("Unexpected", [n for n in given if n not in have]),
    ):
        if strict and names:
            listed = ", ".join(f'"{name}"' for name in names)
            lines.append(f"{word} key(s) in state_dict: {listed}. ")
    for name, value in given.items():
        shape = Size(np.shape(value)) if not hasattr(value, "shape") else Size(value.shape)
        if name in have and shape != have[name].shape:
            lines.append(
                f"size mismatch for {name}: copying a param with shape {shape} from checkpoint, "
                f"the shape in current model is {have[name].shape}."
            )
    return "\n\t".join(lines)


class Module(nn.Module):
    """A layer or a network: subclass it, make parameters and layers in `__init__`, write `forward`.

    Everything of `glubina.nn.Module` is there too: `compile`, `fit`, `evaluate`, `summary`.
    """

    _before: tuple[Callable[..., Any], ...] = ()
    _after: tuple[Callable[..., Any], ...] = ()
    _backward: tuple[Callable[..., Any], ...] = ()
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the hooks and `forward`."""
        args = tuple([faced(a) for a in args])
        for hook in self._before:
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = faced(super().__call__(*args, **kwargs))
        if self._backward:
            result = self._watched(args, result)
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

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Any:
        """Call `hook(module, grad_input, grad_output)` in backward, with tuples of gradients.

        What it returns is not taken for the gradient: hooks of tensors can replace it.
        """
        self._backward = (*self._backward, hook)
        return Handle(lambda: self._drop("_backward", hook))

    register_backward_hook = register_full_backward_hook

    def _watched(self, args: tuple[Any, ...], result: Any) -> Any:
        """The result, whose gradients the backward hooks will see."""
        inputs = [a for a in args if isinstance(a, gl.Tensor)]
        outputs = [r for r in (result if isinstance(result, tuple) else (result,))
                   if isinstance(r, gl.Tensor) and r.requires_grad]  # fmt: skip
        hooks = self._backward
        seen: dict[int, Any] = {}

        def report() -> None:
            given = tuple(seen.get(id(a)) for a in inputs)
            gained = tuple(seen.get(id(r)) for r in outputs)
            seen.clear()
            for hook in hooks:
                hook(self, given, gained)

        def keeper(tensor: Any) -> Callable[[Any], None]:
            def keep(gradient: Any) -> None:
                if not seen:
                    after_backward(report)
                seen[id(tensor)] = gradient

            return keep

        for tensor in (*inputs, *outputs):
            if tensor.requires_grad:
                tensor.register_hook(keeper(tensor))  # type: ignore[attr-defined]
        return result

    @property
    def _modules(self) -> Held:
        """The children by name, as a dict that can be written to."""
        return Held(self, lambda: [n for n, _ in self.named_children()],
                    lambda name, module: setattr(self, name, module))  # fmt: skip

    @property
    def _parameters(self) -> Held:
        """The module's own parameters by name."""
        own = lambda: [n for n, v in vars(self).items() if isinstance(v, Parameter)]  # noqa: E731
        return Held(self, own, lambda name, value: setattr(self, name, value))

    @property
    def _buffers(self) -> Held:
        """The module's own buffers by name."""
        return Held(self, lambda: [*self._buffer_names], self.register_buffer)

    def get_buffer(self, target: str) -> Any:
        """The buffer of a dotted name."""
        return dict(self.named_buffers())[target]

    def type(self, dtype: Any) -> Self:
        """In another dtype."""
        return self.to(getattr(dtype, "dtype", dtype))

    def half(self) -> Self:
        """TypeError: there is no float16."""
        raise TypeError("half: modules are float32 or float64 here; there is no float16")

    bfloat16 = half

    def share_memory(self) -> Self:
        """The module itself."""
        return self

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

    def _get_name(self) -> str:
        """The class's name, as it is printed."""
        return type(self).__name__

    def __repr__(self) -> str:
        return module_text(self)

    def state_dict(self, *args: Any, prefix: str = "", **options: Any) -> Any:
        """Parameters and buffers by dotted name, in PyTorch's layouts; they share the memory."""
        found: OrderedDict[str, Any] = OrderedDict()
        for path, module in self.named_modules():
            start = prefix + (f"{path}." if path else "")
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    found[start + name] = faced(value.detach())
            for name, value in module.named_buffers(recurse=False):
                found[start + name] = faced(value.detach())
        return found

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Copy tensors by dotted name into parameters and buffers; RuntimeError if they do not fit.

        Returns `missing_keys` and `unexpected_keys`, which are errors if strict.
        """
        have = self.state_dict()
        missing = [n for n in have if n not in state_dict]
        unexpected = [n for n in state_dict if n not in have]
        once = super().state_dict()  # a parameter that two modules share has two names above
        given = {n: v for n, v in state_dict.items() if n in once or n not in have}
        try:
            super().load_state_dict(given, strict)
        except StateError as error:
            raise StateDictError(_misfit(self, have, state_dict, strict)) from error
        return IncompatibleKeys(missing, unexpected)

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
