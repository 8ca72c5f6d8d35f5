"""The errors that tensors raise, gathered under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.graph.errors import DTypeError, GraphError, IndexRangeError, PlacedError, ShapeError
from glubina.runtime.limits import OutOfMemoryError

if TYPE_CHECKING:
    from glubina.tensor.findings import Finding


class GradientError(PlacedError, RuntimeError):
    """Gradients were asked for where there are none, or an update would make them wrong."""


class TraceError(PlacedError, RuntimeError):
    """A compiled function did something that a replay could not do again."""


class AnomalyError(FloatingPointError):
    """A value became NaN or infinite; the text says which one was the first, where, and from what.

    finding: the same as data (`glubina.tensor.findings.Finding`).
    """

    finding: Finding

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


__all__ = [
    "AnomalyError",
    "DTypeError",
    "GradientError",
    "GraphError",
    "IndexRangeError",
    "OutOfMemoryError",
    "ShapeError",
    "TraceError",
]
