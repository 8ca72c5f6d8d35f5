"""The errors that tensors raise, gathered under one name."""

from __future__ import annotations

from glubina.graph.errors import DTypeError, GraphError, IndexRangeError, ShapeError


class GradientError(RuntimeError):
    """Gradients were asked for where there are none, or an update would make them wrong."""


class TraceError(RuntimeError):
    """A compiled function did something that a replay could not do again."""


__all__ = [
    "DTypeError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "ShapeError",
    "TraceError",
]
