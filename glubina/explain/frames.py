"""A computation step by step: forward one vertex at a time, then backward one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glubina.explain import svg
from glubina.explain.formulas import number
from glubina.explain.view import Box, View, described, view

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation


@dataclass(frozen=True, repr=False)
class Frame:
    """One step. direction: "forward" or "backward"; name: of what is worked out; text: how."""

    direction: str
    name: str
    text: str
    _view: View
    _moment: svg.Moment

    def svg(self) -> str:
        """The drawing at this step: with what is known so far."""
        return svg.drawing(self._view, moment=self._moment)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        return self.svg()


def frames(explanation: Explanation, depth: int | None = None) -> list[Frame]:
    """All steps: the values in the order of evaluation, then the derivatives in reverse."""
    shown = view(explanation, depth)
    found: list[Frame] = []
    values: set[Box] = set()
    for box in shown.boxes:
        values.add(box)
        moment = svg.Moment(frozenset(values), frozenset(), box)
        text = f"{box.title} = {box.value}" if box.shown.incoming else f"{box.name} = {box.value}"
        found.append(Frame("forward", box.name, text, shown, moment))
    known: set[Box] = set()
    for box in reversed(shown.boxes):
        if not box.derivative:
            continue
        known.add(box)
        moment = svg.Moment(frozenset(values), frozenset(known), box)
        found.append(Frame("backward", box.name, _backward(explanation, box), shown, moment))
    return found


def _backward(explanation: Explanation, box: Box) -> str:
    """∂Q/∂x = Σ over what it leads to of (∂Q/∂that) · (∂that/∂x), with the numbers if scalars."""
    output, vertex = explanation.output, box.shown
    head = f"∂{output.name}/∂{vertex.name}"
    edges = [e for e in vertex.outgoing if e.smooth]
    if vertex is output or not edges:
        return f"{head} = {box.derivative}"
    terms = [f"∂{output.name}/∂{e.target.name} · ∂{e.target.name}/∂{vertex.name}" for e in edges]
    written = f"{head} = {' + '.join(terms)}"
    slopes = [e.local for e in edges]
    if vertex.value.size == 1 and all(s is not None and s.size == 1 for s in slopes):
        numbers = []
        for edge, slope in zip(edges, slopes, strict=True):
            seed = edge.target.derivative
            if seed is not None and slope is not None:
                numbers.append(f"{number(seed.reshape(()))}·{number(slope.reshape(()))}")
        written += f" = {' + '.join(numbers)}"
    found = vertex.derivative
    return written if found is None else f"{written} = {described(found)}"


def animation(explanation: Explanation, depth: int | None = None, seconds: float = 0.8) -> str:
    """All steps in one SVG drawing that plays by itself."""
    made = frames(explanation, depth)
    return svg.animation(made[0]._view, [frame._moment for frame in made], seconds=seconds)
