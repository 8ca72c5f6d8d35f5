"""Finds out whether a hand-written layer works on tensors or on NumPy arrays, by trying it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from glubina.graph import DTypeError, ops
from glubina.graph.errors import NoValueError
from glubina.graph.node import Shape
from glubina.nn.manual_slots import Slots
from glubina.tensor import Tensor
from glubina.tensor.base import wrap
from glubina.tensor.errors import TraceError
from glubina.tensor.function import apart
from glubina.tensor.mode import enable_grad, mode
from glubina.tensor.random import default_generator


def uses_arrays(layer: Any, args: Sequence[Any]) -> bool:
    """Whether the layer needs numbers or makes arrays, on tensors without values.

    Everything that is kept on the layer is as before afterwards. Other errors than those of NumPy
    mean that it works on tensors: the real call raises them.
    """
    slots = Slots(layer)
    kept = [(module, dict(vars(module))) for module in layer.modules()]
    state, trace, mode.trace = default_generator.get_state(), mode.trace, None
    try:
        with apart(), enable_grad():
            return _tried(slots, args)
    except (NoValueError, TraceError, AttributeError, AssertionError):
        return True
    except TypeError as error:
        return not isinstance(error, DTypeError)
    except Exception:
        return False
    finally:
        mode.trace = trace
        default_generator.set_state(state)
        for module, attributes in kept:
            vars(module).clear()
            vars(module).update(attributes)


def _tried(slots: Slots, args: Sequence[Any]) -> bool:
    layer = slots.layer
    held = [_empty(p.shape, p.dtype) for p in slots.parameters]
    for tensor in held:
        tensor.grad = _empty(tensor.shape, tensor.dtype)
    given = [_empty(a.shape, a.dtype) if isinstance(a, Tensor) else a for a in args]
    with slots.holding(held):
        results = _as_tuple(layer.forward(*given))
        if _has_arrays(results):
            return True
        gradients = [_empty(r.shape, r.dtype) for r in results if isinstance(r, Tensor)]
        found = _as_tuple(layer.backward(*gradients))
        return _has_arrays((*found, *(t.grad for t in held)))


def _empty(shape: Shape, dtype: np.dtype[Any]) -> Tensor:
    return wrap(ops.stand_in(shape, dtype), dtype.kind == "f")


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _has_arrays(values: Sequence[Any]) -> bool:
    return any(isinstance(v, (np.ndarray, np.generic)) for v in values)
