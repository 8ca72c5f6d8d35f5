"""A mixture of experts: each token is sent to one of several feed-forward networks."""

from __future__ import annotations

import math

import numpy as np

from glubina.graph import ShapeError
from glubina.nn import init
from glubina.nn.activation import relu
from glubina.nn.architecture import register
from glubina.nn.checks import positive, same_dtype
from glubina.nn.linear import Linear
from glubina.nn.module import Module
from glubina.nn.parameter import Parameter
from glubina.tensor import (
    Tensor,
    arange,
    argmax,
    concat,
    cumulative_sum,
    index_add,
    less,
    one_hot,
    softmax,
    take,
    where,
    zeros,
)


@register
class SwitchFeedForward(Module):
    """y = p_e(x) · E_e(x), e = argmax p(x), p(x) = softmax(W_r x): one expert for each token.

    (..., width) to the same shape. Each of the `experts` is relu(x W₁ + b₁) W₂ + b₂ with `hidden`
    features between, and has room for capacity = ⌈capacity_factor · tokens / experts⌉ tokens of a
    call; tokens beyond it (the later ones) give zero, so the layer belongs into a residual branch.

    The call returns (y, balance): balance = experts · Σ_e f_e P_e, with f_e the share of the tokens
    sent to e and P_e the mean of p_e, is 1 where the load is even, and is to be added to the
    loss with a small factor (0.01 in the paper). Source: Fedus et al., 2021, arXiv:2101.03961.

    weight1: (experts, width, hidden), bias1: (experts, hidden), weight2: (experts, hidden, width),
    bias2: (experts, width), drawn as `Linear`'s; router.weight: (experts, width).
    """

    def __init__(
        self, width: int, hidden: int, experts: int, capacity_factor: float = 1.25
    ) -> None:
        self.width, self.hidden = positive("width", width), positive("hidden", hidden)
        self.experts = positive("experts", experts)
        if not capacity_factor > 0:
            raise ValueError(f"capacity_factor must be positive, got {capacity_factor!r}")
        self.capacity_factor = float(capacity_factor)
        self.router = Linear(width, experts, bias=False)
        self.weight1 = Parameter.of_shape((experts, width, hidden))
        self.bias1 = Parameter.of_shape((experts, hidden))
        self.weight2 = Parameter.of_shape((experts, hidden, width))
        self.bias2 = Parameter.of_shape((experts, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        self.router.reset_parameters()
        for parameters, features in (
            ((self.weight1, self.bias1), self.width),
            ((self.weight2, self.bias2), self.hidden),
        ):
            for parameter in parameters:
                init.uniform_(parameter, -1 / math.sqrt(features), 1 / math.sqrt(features))

    def capacity(self, tokens: int) -> int:
        """How many of so many tokens an expert has room for."""
        return math.ceil(self.capacity_factor * tokens / self.experts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The result, shaped as x, and the load-balancing loss, a number."""
        same_dtype(x, self.weight1)
        if not x.shape or x.shape[-1] != self.width:
            raise ShapeError(f"expected input of shape (..., {self.width}), got {x.shape}")
        rows = x.reshape((-1, self.width))
        tokens = rows.shape[0]
        shares = softmax(self.router(rows), axis=-1)
        expert = argmax(shares.detach(), axis=1)
        sent = one_hot(expert, self.experts, np.int64)
        balance = (sent.astype(x.dtype).mean(axis=0) * shares.mean(axis=0)).sum() * self.experts
        place, fits = self._places(sent, expert, self.capacity(tokens))
        y = take(self._run(rows, place, self.capacity(tokens)), place, axis=0)
        chosen = (shares * sent.astype(x.dtype)).sum(axis=1)
        gate = where(fits, chosen, 0.0).reshape((tokens, 1))
        return (y * gate).reshape(x.shape), balance

    def _places(self, sent: Tensor, expert: Tensor, capacity: int) -> tuple[Tensor, Tensor]:
        """Each token's place among experts · capacity, and whether it has one of its own."""
        before = ((cumulative_sum(sent, axis=0) - sent) * sent).sum(axis=1)
        fits = less(before, capacity)
        return where(fits, expert * capacity + before, self.experts * capacity), fits

    def _run(self, rows: Tensor, place: Tensor, capacity: int) -> Tensor:
        """What the experts make of the tokens at their places; the last row is for the rest."""
        count = self.experts * capacity
        tokens = rows.shape[0]
        # Places that nobody took look at token 0; their results are never read.
        whose = index_add(zeros(count + 1, dtype=np.int64), place, arange(tokens))
        inside = take(rows, whose[:count], axis=0).reshape((self.experts, capacity, self.width))
        between = relu(inside @ self.weight1 + self.bias1.reshape((self.experts, 1, self.hidden)))
        y = between @ self.weight2 + self.bias2.reshape((self.experts, 1, self.width))
        flat = y.reshape((count, self.width))
        last = zeros((1, self.width), dtype=rows.dtype)
        return concat([flat, last], axis=0)

    def extra_repr(self) -> str:
        """The sizes."""
        return (
            f"{self.width}, {self.hidden}, experts={self.experts}, "
            f"capacity_factor={self.capacity_factor}"
        )
