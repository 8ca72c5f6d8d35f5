"""Local response normalisation: each channel divided by the activity of those beside it."""

from __future__ import annotations

from glubina.graph import Node, ShapeError, ops
from glubina.graph.ops import Formula
from glubina.nn.architecture import register
from glubina.nn.checks import floating, positive
from glubina.nn.formula import apply, number, scaled
from glubina.nn.module import Module
from glubina.tensor import Tensor


@Formula
def _by_response(size: int, alpha: float, beta: float, k: float, x: Node) -> Node:
    last = len(x.shape) - 1
    square = ops.multiply(x, x)
    low, high = [0] * len(x.shape), [0] * len(x.shape)
    low[last], high[last] = size // 2, (size - 1) // 2
    wide = ops.pad(square, tuple(low), tuple(high), (0,) * len(x.shape))
    total = None
    for place in range(size):
        starts = [0] * len(x.shape)
        starts[last] = place
        part = ops.slice(wide, tuple(starts), x.shape, (1,) * len(x.shape))
        total = part if total is None else ops.add(total, part)
    assert total is not None
    return ops.multiply(x, _power(ops.add(scaled(total, alpha / size), number(x, k)), beta))


def _power(d: Node, beta: float) -> Node:
    """d^−β, by roots for the paper's ¾ and its like, which are exact and quick."""
    if beta == 1:
        return ops.divide(number(d, 1), d)
    if beta not in (0.5, 0.75):
        return ops.power(d, number(d, -beta))
    root = ops.divide(number(d, 1), ops.sqrt(d))
    return root if beta == 0.5 else ops.multiply(root, ops.sqrt(root))


def local_response_norm(
    x: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x_c / (k + α/size · Σ x_j²)^β, over the `size` channels j around c.

    x: (N, *, C). Before channel c count ⌊size / 2⌋ channels, after it ⌊(size − 1) / 2⌋; beyond the
    first and the last there are none. As in PyTorch α is divided by size; the papers' α is not.
    Source: Krizhevsky et al., 2012, section 3.3.
    """
    count = positive("size", size)
    if len(floating(x).shape) < 3:
        raise ShapeError(f"expected input of shape (N, *, C), got {x.shape}")
    return apply(_by_response, x, settings=(count, float(alpha), float(beta), float(k)))


@register
class LocalResponseNorm(Module):
    """Each channel divided by the activity of those beside it; see `local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = positive("size", size)
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
