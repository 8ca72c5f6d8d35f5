"""`torch.autograd`: derivatives, functions with a derivative of their own, checks of them."""

from __future__ import annotations

from typing import Any

import glubina.tensor as gl
from glubina.tensor.mode import enable_grad, is_grad_enabled, no_grad
from glubina.torch.autograd import functional as functional
from glubina.torch.autograd.checks import gradcheck, gradgradcheck
from glubina.torch.autograd.derivatives import backward as _backward
from glubina.torch.autograd.derivatives import grad
from glubina.torch.autograd.function import Function
from glubina.torch.tensor import faced


def Variable(data: Any, requires_grad: bool = False) -> Any:
    """The tensor itself, as older code writes it; `requires_grad` is set on it."""
    tensor = faced(data.detach() if requires_grad and isinstance(data, gl.Tensor) else data)
    return tensor.requires_grad_() if requires_grad else tensor


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:  # fmt: skip
    """`tensor.backward()` of one tensor, or of each of several."""
    if isinstance(tensors, gl.Tensor):
        _backward(faced(tensors), grad_tensors, retain_graph, create_graph)
        return
    seeds = [None] * len(tensors) if grad_tensors is None else list(grad_tensors)
    last = len(tensors) - 1
    for place, (tensor, seed) in enumerate(zip(tensors, seeds, strict=True)):
        _backward(faced(tensor), seed, retain_graph or place < last, create_graph)


class set_grad_enabled:
    """Records derivatives from now on or not; as a context manager only inside."""

    def __init__(self, enabled: bool) -> None:
        from glubina.tensor.mode import mode

        self._mode, self._before = mode, mode.grad
        mode.grad = bool(enabled)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self._mode.grad = self._before


class detect_anomaly:
    """Accepted: an error in a backward pass names its place here anyway."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


def set_detect_anomaly(mode: bool, check_nan: bool = True) -> detect_anomaly:
    """Accepted; `glubina.debug` finds where NaN comes from."""
    return detect_anomaly(check_nan)


__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_grad_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
