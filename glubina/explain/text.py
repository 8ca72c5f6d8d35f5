"""An explanation as text: a line for each vertex, with what it is, its value and derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.explain.formulas import shortened

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation


def table(explanation: Explanation, depth: int | None = None) -> str:
    """The vertices in their order, then the local derivatives along the edges."""
    from glubina.explain.view import view

    shown = view(explanation, depth)
    output = explanation.output.name
    head = ("", "value", f"∂{output}/∂·", "local derivatives")
    into: dict[object, list[str]] = {}
    for link in shown.links:
        if link.label:
            into.setdefault(link.target, []).append(f"∂/∂{link.source.name}: {link.label}")
    rows = [
        (shortened(box.title, 60), box.value, box.derivative, "; ".join(into.get(box, [])))
        for box in shown.boxes
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
    lines = []
    for row in (head, *rows):
        cells = [text.ljust(width) for text, width in zip(row[:3], widths, strict=True)]
        lines.append("  ".join((*cells, row[3])).rstrip())
    rule = "─" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:]])
