"""Where in a sequence an element stands, told to a network that would not see it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from glubina.graph import ShapeError
from glubina.graph.node import DType
from glubina.nn.architecture import register
from glubina.nn.checks import floating, positive
from glubina.nn.module import Module
from glubina.tensor import Tensor
from glubina.tensor.creation import tensor as held


@lru_cache(maxsize=64)
def _table(length: int, features: int, base: float, dtype: DType) -> Tensor:
    """The encodings (length, features); never written to."""
    place = np.arange(length)[:, None]
    rate = base ** (-(np.arange(features) // 2 * 2) / features)
    angle = place * rate
    even = np.arange(features) % 2 == 0
    return held(np.where(even, np.sin(angle), np.cos(angle)).astype(dtype))


@register
class SinusoidalPositionalEncoding(Module):
    """Adds sin(t / base^(2i/D)) to feature 2i, and the cosine to feature 2i + 1, at place t.

    From (batch, length, features) or (length, features) to the same shape; batch_first=False:
    (length, batch, features). No weights. Source: Vaswani et al., 2017, arXiv:1706.03762.
    """

    def __init__(self, features: int, base: float = 10000.0, *, batch_first: bool = True) -> None:
        self.features = positive("features", features)
        self.base = float(base)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        floating(x)
        if len(x.shape) not in (2, 3) or x.shape[-1] != self.features:
            layout = "(N, L, C)" if self.batch_first else "(L, N, C)"
            raise ShapeError(
                f"expected input of shape {layout} or (L, C) with C = {self.features}, "
                f"got {x.shape}"
            )
        first = not self.batch_first or len(x.shape) == 2
        length = x.shape[0 if first else 1]
        table = _table(length, self.features, self.base, x.dtype)
        if first and len(x.shape) == 3:
            table = table.reshape((length, 1, self.features))
        return x + table

    def extra_repr(self) -> str:
        """The number of features, and what is not the default."""
        text = str(self.features) + (f", base={self.base}" if self.base != 10000 else "")
        return text + ("" if self.batch_first else ", batch_first=False")
