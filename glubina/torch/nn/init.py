"""`torch.nn.init`: Glubina's initialisers on weights in PyTorch's layout (out, in, *window)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import glubina.tensor as gl
from glubina.nn import init as plain
from glubina.nn.formula import fill
from glubina.nn.init import calculate_gain as calculate_gain
from glubina.torch.nn.layout import weight_last


def _turned(function: Callable[..., Any]) -> Callable[..., Any]:
    """The initialiser, which counts inputs and outputs of (*window, in, out), on (out, in, ...)."""

    @functools.wraps(function)
    def call(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("generator", None)
        if tensor.ndim < 3:
            return function(tensor, *args, **kwargs)
        rank = tensor.ndim
        drawn = function(gl.zeros(weight_last(tensor).shape), *args, **kwargs).numpy()
        return fill(tensor, drawn.transpose((rank - 1, rank - 2, *range(rank - 2))))

    return call


uniform_ = _turned(plain.uniform_)
normal_ = _turned(plain.normal_)
trunc_normal_ = _turned(plain.trunc_normal_)
constant_ = _turned(plain.constant_)
zeros_ = _turned(plain.zeros_)
ones_ = _turned(plain.ones_)
eye_ = _turned(plain.eye_)
xavier_uniform_ = _turned(plain.xavier_uniform_)
xavier_normal_ = _turned(plain.xavier_normal_)
kaiming_uniform_ = _turned(plain.kaiming_uniform_)
kaiming_normal_ = _turned(plain.kaiming_normal_)
orthogonal_ = _turned(plain.orthogonal_)
dirac_ = _turned(plain.dirac_)
sparse_ = _turned(plain.sparse_)
uniform, normal, constant = uniform_, normal_, constant_
xavier_uniform, xavier_normal = xavier_uniform_, xavier_normal_
kaiming_uniform, kaiming_normal, orthogonal = kaiming_uniform_, kaiming_normal_, orthogonal_
