"""Helpers that users look for under this name: limits on gradients, normalised weights."""

from __future__ import annotations

from glubina.nn.utils import parametrizations as parametrizations
from glubina.nn.utils import parametrize as parametrize
from glubina.nn.weight_norm import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from glubina.optim.clip import clip_grad_norm_, clip_grad_value_

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "spectral_norm",
    "weight_norm",
]
