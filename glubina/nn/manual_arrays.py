"""Hand-written layers in NumPy: both passes as calls of Python functions in the graph.

What `forward` kept on the layer is remembered under a number, which goes with its result; before
`backward` it is put back. So a layer may be used several times in one network.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import ShapeError, ops
from glubina.graph.node import DType, Shape
from glubina.nn.manual_slots import Slots, returned_gradients
from glubina.tensor import Function, Tensor, tensor
from glubina.tensor.base import consume, consume_value, wrap
from glubina.tensor.errors import GradientError
from glubina.tensor.mode import mode
from glubina.tensor.trace import is_recording

Array = NDArray[Any]

_KEPT = 256  # calls of forward that wait for their backward
_AGAIN = 8  # calls of backward after which it can still be called again
_kept: OrderedDict[int, list[tuple[Any, dict[str, Any]]]] = OrderedDict()
_used: deque[int] = deque()
_numbers = itertools.count(1)
_sites = itertools.count()


class HeldArray(np.ndarray[Any, Any]):
    """A parameter's numbers as an array that has a `grad`."""

    grad: Any

    def __array_finalize__(self, other: Any) -> None:
        """Results of arithmetic have no gradient."""
        self.grad = None


def _held(array: Array) -> HeldArray:
    held = np.array(array).view(HeldArray)
    held.grad = np.zeros(array.shape, array.dtype)
    return held


@dataclass(frozen=True)
class _Forward:
    """One call of `forward` on arrays: the outputs and the number of what was kept, as a vector."""

    layer: Any
    args: tuple[Any, ...]
    dtype: DType
    shapes: tuple[Shape, ...]
    keep: bool
    site: int = field(default_factory=lambda: next(_sites))

    def __repr__(self) -> str:
        return f"{type(self.layer).__name__}.forward"

    def __call__(self, *arrays: Array) -> Array:
        """The vector."""
        results, _ = _forward(self.layer, self.args, arrays)
        if tuple(r.shape for r in results) != self.shapes:
            raise ShapeError(
                f"{self!r} gave the shapes {[r.shape for r in results]}, but {list(self.shapes)} "
                "for inputs of these shapes when it was recorded"
            )
        number = _keep(self.layer) if self.keep else 0
        return _vector([*results, np.array(number)], self.dtype)


@dataclass(frozen=True)
class _Backward:
    """One call of `backward` on arrays: the gradients of arguments and parameters, as a vector."""

    layer: Any
    args: tuple[Any, ...]
    shapes: tuple[Shape, ...]
    outputs: int
    dtype: DType

    def __repr__(self) -> str:
        return f"{type(self.layer).__name__}.backward"

    def __call__(self, *arrays: Array) -> Array:
        """The vector; the arrays: the number, the gradients, the parameters, the arguments."""
        gradients = arrays[1 : 1 + self.outputs]
        _put_back(int(arrays[0]), repr(self))
        slots = Slots(self.layer)
        values = arrays[1 + self.outputs :][: len(slots.parameters)]
        held = [_held(a) for a in values]
        with slots.holding(held):
            returned = self.layer.backward(*[np.array(g) for g in gradients])
            found = [h.grad for h in held]
        own = returned_gradients(self.layer, [isinstance(a, _Place) for a in self.args], returned)
        slots.check(found)
        parts = [g for g, a in zip(own, self.args, strict=True) if isinstance(a, _Place)]
        self._check(parts)
        whole = [
            np.zeros(shape, self.dtype) if part is None else np.asarray(part)
            for part, shape in zip([*parts, *found], self.shapes, strict=True)
        ]
        return _vector(whole, self.dtype)

    def _check(self, parts: Sequence[Any]) -> None:
        for part, shape in zip(parts, self.shapes, strict=False):
            if part is not None and np.shape(part) != shape:
                raise ShapeError(
                    f"{self!r}: the gradient of the input has the shape {np.shape(part)}, the "
                    f"input {shape}"
                )


@dataclass(frozen=True)
class _Place:
    """Stands for an argument that is a tensor."""

    number: int


def _vector(parts: Sequence[Array], dtype: DType) -> Array:
    return np.concatenate([np.asarray(p).ravel().astype(dtype) for p in parts])


def _keep(layer: Any) -> int:
    """Remember what is on the layer, and give the number of it."""
    number = next(_numbers) % (1 << 20) or next(_numbers)  # exact in every floating dtype
    slots = {id(p) for p in layer.parameters()}
    _kept[number] = [
        (module, {n: v for n, v in vars(module).items() if id(v) not in slots})
        for module in layer.modules()
    ]
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return number


def _put_back(number: int, name: str) -> None:
    """The layer's attributes as they were after the call of forward with this number."""
    kept = _kept.get(number)
    if kept is None:
        raise GradientError(f"{name}: what forward kept is gone, after many more calls of forward")
    for module, attributes in kept:
        vars(module).update(attributes)
    _used.append(number)
    while len(_used) > _AGAIN:
        _kept.pop(_used.popleft(), None)


def _forward(layer: Any, args: Sequence[Any], arrays: Sequence[Array]) -> tuple[list[Array], bool]:
    """The outputs on arrays of the arguments and then the parameters; whether they are a tuple."""
    slots = Slots(layer)
    given = [np.array(arrays[a.number]) if isinstance(a, _Place) else a for a in args]
    count = len(arrays) - len(slots.parameters)
    with slots.holding([_held(a) for a in arrays[count:]]):
        returned = layer.forward(*given)
    several = isinstance(returned, tuple)
    results = []
    for result in returned if several else (returned,):
        if isinstance(result, Tensor) or not isinstance(
            result, (np.ndarray, np.generic, float, int)
        ):
            raise TypeError(
                f"{type(layer).__name__}.forward, which works on NumPy arrays, returned "
                f"{type(result).__name__}"
            )
        results.append(np.asarray(result))
    return results, several


def applied(layer: Any, args: tuple[Any, ...]) -> Any:
    """The layer's outputs for tensors: at once, or as a call in the function being recorded."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    places = itertools.count()
    form = tuple([_Place(next(places)) if isinstance(a, Tensor) else a for a in args])
    slots = Slots(layer)
    floats = [t.dtype for t in (*tensors, *slots.parameters) if t.dtype.kind == "f"]
    dtype = floats[0] if floats else np.dtype(np.float32)
    keep = mode.grad and any(t.requires_grad for t in (*tensors, *slots.parameters))
    make = _recorded if is_recording() else _at_once
    results, number, several = make(layer, form, [*tensors, *slots.parameters], dtype, keep)
    if keep:
        call = _Call(layer, form, args, slots, number, dtype)
        results = _hosted(type(layer).__name__).apply(*args, call, *slots.parameters, *results)
        results = list(results)
    return tuple(results) if several else results[0]


def _at_once(
    layer: Any, form: tuple[Any, ...], sources: list[Any], dtype: DType, keep: bool
) -> tuple[list[Tensor], Tensor, bool]:
    arrays, several = _forward(layer, form, [t.numpy(copy=False) for t in sources])
    number = tensor(np.array(_keep(layer) if keep else 0, dtype))
    return [tensor(a.astype(dtype)) for a in arrays], number, several


def _recorded(
    layer: Any, form: tuple[Any, ...], sources: list[Any], dtype: DType, keep: bool
) -> tuple[list[Tensor], Tensor, bool]:
    """The shapes are found out on ones (zeros for integers)."""
    before = [(module, dict(vars(module))) for module in layer.modules()]
    ones = [(np.ones if t.dtype.kind == "f" else np.zeros)(t.shape, t.dtype) for t in sources]
    try:
        with np.errstate(all="ignore"):
            arrays, several = _forward(layer, form, ones)
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
    shapes = tuple([a.shape for a in arrays])
    call = _Forward(layer, form, dtype, shapes, keep)
    nodes = [consume_value(t) for t in sources]
    vector = wrap(ops.host(call, nodes, sum(map(prod, shapes)) + 1, dtype))
    *parts, number = _parts(vector, [*shapes, ()])
    return parts, number, several


def _parts(vector: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """The vector cut into pieces of these shapes."""
    found, start = [], 0
    for shape in shapes:
        found.append(vector[start : start + prod(shape)].reshape(shape))
        start += prod(shape)
    return found


@dataclass(frozen=True)
class _Call:
    """What the backward of one call needs."""

    layer: Any
    form: tuple[Any, ...]
    args: tuple[Any, ...]
    slots: Slots
    number: Tensor
    dtype: DType


class _Hosted(Function):
    """Arguments, the call, parameters, and the results that are there already."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        ctx.call = next(g for g in given if isinstance(g, _Call))
        count = len(ctx.call.args) + 1 + len(ctx.call.slots.parameters)
        ctx.results = len(given) - count
        return tuple(given[count:])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        call: _Call = ctx.call
        tensors = [a for a in call.args if isinstance(a, Tensor)]
        parameters = call.slots.parameters
        shapes = tuple([t.shape for t in (*tensors, *parameters)])
        function = _Backward(call.layer, call.form, shapes, len(gradients), call.dtype)
        # the arguments are there so that nobody takes the gradient for independent of them
        sources = [call.number, *gradients, *parameters, *tensors]
        nodes = [consume(t) for t in sources]
        vector = wrap(ops.host(function, nodes, sum(map(prod, shapes)), call.dtype), True)
        parts = _parts(vector, shapes)
        own = iter(parts[: len(tensors)])
        first = [next(own) if isinstance(a, Tensor) else None for a in call.args]
        return (*first, None, *parts[len(tensors) :], *[None] * ctx.results)


def _hosted(name: str) -> type[Function]:
    return type(name, (_Hosted,), {})
