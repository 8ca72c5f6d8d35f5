"""`torch.nn.utils`: limits on gradients, parameters as one vector, normalised weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import glubina.tensor as gl
from glubina.nn.utils import parametrizations as parametrizations
from glubina.nn.utils import parametrize as parametrize
from glubina.nn.utils import remove_spectral_norm as remove_spectral_norm
from glubina.nn.utils import remove_weight_norm as remove_weight_norm
from glubina.nn.utils import spectral_norm as spectral_norm
from glubina.nn.utils import weight_norm as weight_norm
from glubina.optim import clip
from glubina.torch.nn.utils import rnn as rnn
from glubina.torch.reductions import norm
from glubina.torch.tensor import faced


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: Any = None,
) -> Any:  # fmt: skip
    """Scale all gradients so that their norm together is at most max_norm; returns it as it was."""
    several = [parameters] if isinstance(parameters, gl.Tensor) else list(parameters)
    gradients = [p.grad for p in several if p.grad is not None]
    if not gradients:
        return faced(gl.zeros(()))
    if float(norm_type) == 2.0:
        return faced(clip.clip_grad_norm_(several, max_norm))
    total = norm(gl.stack([norm(g, norm_type) for g in gradients]), norm_type)
    factor = gl.clip(max_norm / (total + 1e-6), None, 1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError("clip_grad_norm_: the norm of the gradients is not finite")
    return total


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Move every element of the gradients into ±clip_value."""
    clip.clip_grad_value_(parameters, clip_value)


def parameters_to_vector(parameters: Iterable[Any]) -> Any:
    """All parameters as one vector."""
    return faced(gl.concat([p.reshape(-1) for p in parameters]))


def vector_to_parameters(vec: Any, parameters: Iterable[Any]) -> None:
    """Put the numbers of a vector into the parameters, one after the other."""
    at = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.data.copy_(vec[at : at + count].reshape(tuple(parameter.shape)))
        at += count


__all__ = [
    *("clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "parametrizations"),
    *("parametrize", "remove_spectral_norm", "remove_weight_norm", "rnn", "spectral_norm"),
    *("vector_to_parameters", "weight_norm"),
]
