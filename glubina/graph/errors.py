"""The errors that a wrong graph gives: they say what came and what was expected."""

from __future__ import annotations


class GraphError(ValueError):
    """A node that cannot exist; the base of the others."""


class ShapeError(GraphError, RuntimeError):
    """Shapes that do not fit together (a RuntimeError too: PyTorch's users catch that)."""


class DTypeError(GraphError, TypeError, RuntimeError):
    """Element types that do not fit together."""


class IndexRangeError(GraphError, IndexError):
    """An index that lies outside the axis it points into."""


class NoValueError(GraphError):
    """The value of a placeholder was asked for."""
