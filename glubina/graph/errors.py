"""The errors that a wrong graph gives: they say what came, what was expected, and at which line."""

from __future__ import annotations

import sys

from glubina.graph.origins import Place, user_place


class PlacedError(Exception):
    """An error that knows the line of the user's program that led to it.

    place: that line; None where there is none, as in a command. `args[0]` is the text without it.
    """

    place: Place | None

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.place = user_place(sys._getframe(1))

    @property
    def text(self) -> str:
        """What happened, without the line."""
        return super().__str__()

    def __str__(self) -> str:
        return self.text if self.place is None else f"{self.text} (at {self.place.short})"


class GraphError(PlacedError, ValueError):
    """A node that cannot exist; the base of the others."""


class ShapeError(GraphError, RuntimeError):
    """Shapes that do not fit together (a RuntimeError too: PyTorch's users catch that)."""


class DTypeError(GraphError, TypeError, RuntimeError):
    """Element types that do not fit together."""


class IndexRangeError(GraphError, IndexError):
    """An index that lies outside the axis it points into.

    position: where among the indices it is, if it was found when a program ran.
    """

    position: tuple[int, ...] = ()


class NoValueError(GraphError):
    """The value of a placeholder was asked for."""
