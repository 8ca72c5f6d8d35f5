"""Weights that are computed from other parameters whenever a layer runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any

from glubina.nn.architecture import rename
from glubina.nn.parameter import Parameter
from glubina.tensor import Tensor


class Rule(ABC):
    """How a layer's parameter `name` is computed from others, which take its place.

    Rules are compared by their arguments: equal rules give layers of one class.
    """

    registered: str
    """The function that `describe` names and `build` calls."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self.name, self.arguments = name, arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rule) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return type(self), self.name, tuple(self.arguments.items())

    @abstractmethod
    def split(self, module: Any, weight: Tensor) -> dict[str, Any]:
        """The parameters that take the weight's place, by name, as arrays."""

    def state(self, module: Any, weight: Tensor) -> dict[str, Any]:
        """The buffers that the rule needs, by name."""
        return {}

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the parameters and the buffers."""

    @abstractmethod
    def weight(self, module: Any, move: bool) -> Tensor:
        """The weight. move: a forward in training is beginning, and what follows it may move."""


class _Computed:
    """The weights of the forward that is running: each is worked out once in it."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}


def install(module: Any, rule: Rule) -> Any:
    """Let the layer compute its parameter `rule.name`; returns the layer.

    ValueError where there is no such parameter, or where it is computed or has no shape yet.
    """
    kind, name = type(module).__name__, rule.name
    if any(name == other.name for other in rules_of(module)):
        raise ValueError(f"{rule.registered}: {kind}.{name} is computed by a rule already")
    weight = vars(module).get(name)
    if not isinstance(weight, Parameter):
        known = ", ".join(n for n, v in vars(module).items() if isinstance(v, Parameter))
        raise ValueError(
            f"{rule.registered}: {kind} has no parameter {name!r}; it has {known or 'none'}"
        )
    if weight.is_uninitialised:
        raise ValueError(
            f"{rule.registered}: the shape of {kind}.{name} is not known yet; run the layer once "
            "on data, or give its sizes"
        )
    parameters, buffers = rule.split(module, weight), rule.state(module, weight)
    delattr(module, name)
    for own, values in parameters.items():
        setattr(module, own, _like(weight, values, weight.requires_grad))
    for own, value in buffers.items():
        module.register_buffer(own, value)
    if not hasattr(module, "_computed"):
        module._computed = _Computed()
    made: Any = _kind
    module.__class__ = made(type(module), rule)
    return module


def remove(module: Any, name: str = "weight", kind: type[Rule] = Rule) -> Any:
    """Make the weight a parameter again, with its present value; returns the layer."""
    found = type(module)
    rule = getattr(found, "_rule", None)
    if rule is None or rule.name != name or not isinstance(rule, kind):
        raise ValueError(
            f"{found.__name__}.{name} is not computed by such a rule (the last one that was added "
            "is removed first)"
        )
    weight, names = rule.weight(module, False).detach(), rule.names()
    trained = any(p.requires_grad for p in (getattr(module, own) for own in names))
    module._buffer_names = tuple(own for own in module._buffer_names if own not in names)
    kind_of = next(p for p in (getattr(module, own) for own in names) if isinstance(p, Parameter))
    weight.numpy()  # while there is what it is computed from
    for own in names:
        delattr(module, own)
    module.__class__ = found.__mro__[1]
    setattr(module, name, _like(kind_of, weight, trained))
    return module


def _like(parameter: Parameter, values: Any, trained: bool) -> Parameter:
    """A parameter of the same class, which is another in the faces."""
    made = Parameter(values, trained)
    made.__class__ = type(parameter)
    return made


def rules_of(module: Any) -> list[Rule]:
    """The rules by which a layer computes its weights, the last one first."""
    return [vars(kind)["_rule"] for kind in type(module).__mro__ if "_rule" in vars(kind)]


@cache
def _kind(base: Any, rule: Rule) -> Any:
    """The class of layers of this class whose weight the rule computes."""
    name = rule.name

    def get(self: Any) -> Tensor:
        running: Tensor | None = self._computed.weights.get(name)
        return rule.weight(self, False) if running is None else running

    def put(self: Any, value: Any) -> None:
        given = value if isinstance(value, Tensor) else Parameter(value)
        for own, values in rule.split(self, given.detach()).items():
            getattr(self, own).detach().copy_(Parameter(values))

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        weights = self._computed.weights
        weights[name] = rule.weight(self, self.training)
        try:
            return base.forward(self, *args, **kwargs)
        finally:
            weights.pop(name, None)

    def config(self: Any) -> dict[str, Any]:
        plain = object.__new__(base)
        vars(plain).update(vars(self))
        return {"module": plain, "name": name, **rule.arguments}

    def extra_repr(self: Any) -> str:
        text = base.extra_repr(self)
        return f"{text}, {rule.registered}" if text else rule.registered

    fields: dict[str, Any] = {"_rule": rule, "config": config, "extra_repr": extra_repr}
    fields |= {"forward": forward, name: property(get, put), "__module__": base.__module__}
    fields["__doc__"] = base.__doc__
    kind = type(base.__name__, (base,), fields)
    rename(kind, rule.registered, base)
    return kind
