"""The base of every layer and network: finds its parameters, buffers and children by itself."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from glubina.graph import GraphError, origins
from glubina.graph.names import check_arguments, lacking, suggestion
from glubina.nn import state
from glubina.nn.budget import count_module
from glubina.nn.errors import place
from glubina.nn.parameter import Parameter, put
from glubina.nn.training import Trainable
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held
from glubina.tensor.mode import mode
from glubina.tensor.trace import guard

Hook = Callable[["Module", tuple[Any, ...], Any], None]


class Module(Trainable):
    """A layer or a network.

    Subclass it, assign parameters and other modules to attributes in `__init__`, and write
    `forward`; calling the module calls `forward`. Attributes are plain Python attributes: a
    `Parameter` among them is trained, a `Module` is a child, and what `register_buffer` names is
    saved but not trained.
    """

    training: bool = True
    forward: Callable[..., Any]
    _buffer_names: tuple[str, ...] = ()
    _hooks: tuple[Hook, ...] = ()
    _arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments, which `config` gives for the architecture file."""
        if kwargs:
            check_arguments(cls, kwargs)
        count_module()
        self = super().__new__(cls)
        self._arguments = (args, kwargs)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`; an error about shapes or dtypes names the layer it came from."""
        if mode.trace is not None:
            guard(lambda: self.training, ("training", self))  # recorded anew when it changes
        try:
            watch = origins.current() if origins.watched else None
            if watch is None:
                result = self.forward(*args, **kwargs)
            else:
                with watch.inside(self):
                    result = self.forward(*args, **kwargs)
        except GraphError as error:
            place(error, self)
            raise
        for hook in self._hooks:
            hook(self, args, result)
        return result

    if not TYPE_CHECKING:  # who checks types knows the names

        def __getattr__(self, name: str) -> Any:
            own = type(self).__name__
            if name == "forward":
                raise lacking(f"{own} has no forward: write `def forward(self, x)` in it")
            hint = "" if name.startswith("_") else suggestion(name, (*vars(self), *dir(type(self))))
            raise lacking(f"{own} has no attribute {name!r}{hint}")

    def register_forward_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(module, arguments, result)` after each forward; returns how to stop that."""
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            self._hooks = tuple(h for h in self._hooks if h is not hook)

        return remove

    # -- what the module consists of ------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that are attributes of this one, with their names."""
        for name, value in list(vars(self).items()):
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules that are attributes of this one."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, prefix: str = "", seen: set[Module] | None = None
    ) -> Iterator[tuple[str, Module]]:
        """This module (named "") and all below it, each once, with dotted names."""
        seen = set() if seen is None else seen
        if self in seen:
            return
        seen.add(self)
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(self._name_below(prefix, name), seen)

    def _name_below(self, prefix: str, name: str) -> str:
        """The dotted name of the child of this name, where this module has the name `prefix`."""
        return f"{prefix}.{name}" if prefix else name

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, with its dotted name."""
        seen: set[int] = set()
        for prefix, module in self.named_modules() if recurse else [("", self)]:
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse))

    def named_buffers(self, recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Every buffer (saved, not trained), with its dotted name."""
        for prefix, module in self.named_modules() if recurse else [("", self)]:
            for name in module._buffer_names:
                value = getattr(module, name)
                if value is not None:
                    yield (f"{prefix}.{name}" if prefix else name), value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer (saved, not trained)."""
        return (buffer for _, buffer in self.named_buffers(recurse))

    def register_buffer(self, name: str, value: Tensor | None) -> None:
        """Keep a tensor as an attribute that is saved with the weights but never trained."""
        if name not in self._buffer_names:
            self._buffer_names = (*self._buffer_names, name)
        setattr(self, name, value)

    def register_parameter(self, name: str, value: Parameter | None) -> None:
        """The same as assigning the attribute."""
        setattr(self, name, value)

    def add_module(self, name: str, module: Module) -> None:
        """The same as assigning the attribute, with a check of the name and of the module."""
        self._check_child(name, module)
        setattr(self, name, module)

    def _check_child(self, name: str, module: Any) -> None:
        own = type(self).__name__
        if not isinstance(name, str):
            raise TypeError(f"{own} holds modules by names, got {name!r} for one; a name is a text")
        if not isinstance(module, Module):
            raise TypeError(f"{own} holds modules, got {_described(module, own)}")
        if not name or "." in name or hasattr(type(self), name):
            raise KeyError(f"{own} cannot hold a module under the name {name!r}")

    def get_submodule(self, path: str) -> Module:
        """The module of a dotted name, as `named_modules` gives it."""
        for name, module in self.named_modules():
            if name == path:
                return module
        known = ", ".join(repr(name) for name, _ in self.named_modules() if name)
        raise AttributeError(f"no module {path!r}; there are {known or 'none'}")

    # -- changing all of it ---------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set the training behaviour (dropout drops, batch norm uses the batch) everywhere."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set the behaviour of use: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train the parameters from now on, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zero."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module, children before parents (to initialise weights)."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, dtype: Any) -> Self:
        """Convert floating parameters and buffers to another floating dtype, in place."""
        if isinstance(dtype, str) and dtype == "cpu":
            return self
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            raise TypeError(
                f"a module runs on the CPU, in float32 or float64; there is no {dtype!r} here"
            ) from None
        if wanted.kind != "f":
            raise TypeError(f"a module's dtype is float32 or float64, got {wanted}")
        for value in (*self.parameters(), *self.buffers()):
            if value.dtype.kind == "f" and value.dtype != wanted:
                put(value, value.numpy().astype(wanted))
                value.grad = None
        return self

    def float(self) -> Self:
        """The parameters as float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """The parameters as float64."""
        return self.to(np.float64)

    # -- state and description ------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers by dotted name. They share the module's memory: copy to keep."""
        named = (*self.named_parameters(), *self.named_buffers())
        return {name: value.detach() for name, value in named}

    def load_state_dict(self, values: Any, strict: bool = True) -> state.Differences:
        """Copy values (tensors or arrays by dotted name) into parameters and buffers.

        With `strict` missing and unexpected names are errors; without it they are returned.
        Shapes that differ are always an error. Nothing is changed when there is an error.
        """
        return state.load(self, values, strict)

    def loaded(self) -> None:
        """Called after values were loaded; layers that waited for their sizes have them now."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        for buffer in self.buffers():
            if id(buffer) not in memo:
                memo[id(buffer)] = held(buffer.numpy())
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        kept = {name: value for name, value in vars(self).items() if name != "_trainer"}
        vars(other).update(copy.deepcopy(kept, memo))
        return other

    def config(self) -> dict[str, Any]:
        """The arguments that this module was made with, by name; defaults are left out."""
        given, named = self._arguments
        signature = inspect.signature(type(self).__init__)
        bound = signature.bind(self, *given, **named)
        own = next(iter(signature.parameters))
        return {name: value for name, value in bound.arguments.items() if name != own}

    def extra_repr(self) -> str:
        """The arguments as they stand in the printed form; layers say what matters."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, child in self.named_children():
            body = repr(child).replace("\n", "\n  ")
            lines.append(f"  ({name}): {body}\n")
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "".join(lines) if lines else "") + ")"


def _described(value: Any, holder: str) -> str:
    """What was given in place of a module, and what to give."""
    if isinstance(value, type):
        return f"type {value!r}; did you mean {value.__name__}()?"
    if isinstance(value, (list, tuple)) and any(isinstance(v, Module) for v in value):
        return f"a {type(value).__name__} of them; give them one by one: {holder}(*layers)"
    if inspect.isroutine(value):
        return f"the function {value.__name__}; a module is a class with forward, made: nn.ReLU()"
    return f"{type(value).__name__} {value!r}"


origins.layer_calls.add(Module.__call__.__code__)
