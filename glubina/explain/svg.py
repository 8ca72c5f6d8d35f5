"""A view of a computation as an SVG drawing that stands alone: no script, no outside file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from glubina.explain import heat
from glubina.explain.layout import Arranged, arrange
from glubina.explain.view import Box, Link, View

_CHARACTER = 7.25  # the width of one, at a size of 12
_SMALL = 6.7  # of one in a label
_LABEL = 13.0  # the height of a label
_LINE = 16.0
_MARGIN = 16.0
_PICTURE = 48.0
_WIDE = 2400.0  # from which on a drawing goes down instead of to the right

_STYLE = """
text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1b1f24; }
.name { font-weight: 600; }
.derivative { fill: #b2182b; }
.label { font-size: 11px; fill: #57606a; }
.line { fill: none; stroke: #8c959f; stroke-width: 1.3; }
.box { stroke: #57606a; stroke-width: 1.2; }
.input { fill: #f6f8fa; } .parameter { fill: #ddf4ff; } .operation { fill: #ffffff; }
.layer { fill: #fff8c5; } .output { fill: #dafbe1; } .now { stroke: #d4790b; stroke-width: 3; }
"""


@dataclass(frozen=True)
class Moment:
    """What of a drawing is there at one moment of the run: forward values, then derivatives."""

    values: frozenset[Box]
    derivatives: frozenset[Box]
    now: Box | None


def drawing(view: View, *, direction: str = "auto", moment: Moment | None = None) -> str:
    """The whole drawing. direction: "right", "down", or "auto" by its length."""
    return _Drawing(view, direction).text(moment)


def animation(view: View, order: Sequence[Moment], *, seconds: float = 0.8) -> str:
    """The drawing with what is known appearing moment by moment, again and again."""
    return _Drawing(view, "auto").animated(order, seconds)


class _Drawing:
    def __init__(self, view: View, direction: str) -> None:
        if direction not in ("auto", "right", "down"):
            raise ValueError(f"direction must be 'auto', 'right' or 'down', got {direction!r}")
        self.view = view
        self.last = view.boxes[-1]
        self.lines = {box: _texts(box) for box in view.boxes}
        self.pictures = {box: box.shown.value.size >= 16 for box in view.boxes}
        self.arriving: dict[Box, list[Link]] = {box: [] for box in view.boxes}
        for link in view.links:
            self.arriving[link.target].append(link)
        self.down = direction == "down"
        self._place()
        if direction == "auto" and self.placed.length > _WIDE:
            self.down = True
            self._place()

    def _size(self, box: Box) -> tuple[float, float]:
        longest = max(len(text) for _, text in self.lines[box])
        width = longest * _CHARACTER + 20
        height = len(self.lines[box]) * _LINE + 12
        if self.pictures[box]:
            width += _PICTURE + 8
            height = max(height, _PICTURE + 12)
        if not self.down and any(link.label for link in self.arriving[box]):
            height = max(height, _LABEL * (len(self.arriving[box]) + 1))  # a label beside each line
        return width, height

    def _place(self) -> None:
        self.sizes = {box: self._size(box) for box in self.view.boxes}
        lines = [(link.source, link.target) for link in self.view.links]
        sizes = {b: (s[1], s[0]) if self.down else s for b, s in self.sizes.items()}
        arranged = arrange(sizes, lines, gap=28 if self.down else 22)
        self.ports = self._ports(arranged)
        self.levels = self._levels(arranged) if self.down else {}
        self.placed = arranged.placed(
            {(k.source, k.target): self._room(k) for k in self.view.links}
        )

    def _ports(self, arranged: Arranged) -> dict[Link, float]:
        """Where each line arrives on the side of its target: -0.5 to 0.5."""
        found = {}
        for links in self.arriving.values():
            links.sort(key=lambda k: arranged.before[k.source, k.target])
            for number, link in enumerate(links):
                found[link] = (number + 1) / (len(links) + 1) - 0.5
        return found

    def _levels(self, arranged: Arranged) -> dict[Link, int]:
        """For each label how many others it is above, where they stand side by side."""
        found: dict[Link, int] = {}
        ends: dict[int, list[float]] = {}  # before each layer, how far each level is taken
        places = {
            link: arranged.across[link.target] + self.ports[link] * self.sizes[link.target][0]
            for link in self.view.links
            if link.label
        }
        for link in sorted(places, key=places.__getitem__):
            taken = ends.setdefault(arranged.layer[link.target], [])
            level = next((n for n, end in enumerate(taken) if end < places[link]), len(taken))
            taken[level : level + 1] = [places[link] + len(link.label) * _SMALL + 8]
            found[link] = level
        return found

    def _room(self, link: Link) -> float:
        if not link.label:
            return 36.0
        if self.down:
            return 49.0 + _LABEL * self.levels[link]
        return len(link.label) * _SMALL + 40

    def _point(self, along: float, across: float) -> tuple[float, float]:
        x, y = (across, along) if self.down else (along, across)
        return x + _MARGIN, y + _MARGIN

    # -- parts -----------------------------------------------------------------------------------

    def _frame(self, inside: Sequence[str]) -> str:
        length, breadth = self.placed.length + 2 * _MARGIN, self.placed.breadth + 2 * _MARGIN
        width, height = (breadth, length) if self.down else (length, breadth)
        width = max(width, self._label_end() + _MARGIN)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" role="img">'
        )
        arrow = (
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#8c959f"/></marker>'
            "</defs>"
        )
        ground = f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>'
        return "\n".join([head, f"<style>{_STYLE}</style>", arrow, ground, *inside, "</svg>"])

    def _label_end(self) -> float:
        """How far to the right the labels reach, where they stand beside the lines."""
        if not self.down:
            return 0.0
        links = [link for link in self.view.links if link.label]
        ends = [self._label_place(link)[0] + len(link.label) * _SMALL for link in links]
        return max(ends, default=0.0)

    def _link(self, link: Link) -> str:
        """Straight through the layers on the way, between boxes; curved from layer to layer."""
        source, target = link.source, link.target
        leaves, arrives = self._side_of(source, 1, 0.0), self._side_of(target, -1, self.ports[link])
        points = [self._point(*p) for p in self.placed.bends[source, target][1:-1]]
        points = [leaves, self._edge_of(source, 1, leaves), *points]
        points += [self._edge_of(target, -1, arrives), arrives]
        parts = [f"M{leaves[0]:.1f} {leaves[1]:.1f}"]
        for number, ((x1, y1), (x2, y2)) in enumerate(itertools.pairwise(points)):
            if number % 2 == 0:
                if (x1, y1) != (x2, y2):
                    parts.append(f"L{x2:.1f} {y2:.1f}")
                continue
            if self.down:
                bend = (y2 - y1) / 2
                control = (x1, y1 + bend, x2, y2 - bend)
            else:
                bend = (x2 - x1) / 2
                control = (x1 + bend, y1, x2 - bend, y2)
            parts.append("C" + " ".join(f"{c:.1f}" for c in (*control, x2, y2)))
        return f'<path class="line" marker-end="url(#arrow)" d="{" ".join(parts)}"/>'

    def _side_of(self, box: Box, side: int, shift: float) -> tuple[float, float]:
        """A point where lines leave a box (side 1) or reach it (-1)."""
        x, y = self._point(self.placed.along[box], self.placed.across[box])
        width, height = self.sizes[box]
        if self.down:
            return x + shift * width, y + side * height / 2
        return x + side * width / 2, y + shift * height

    def _edge_of(self, box: Box, side: int, point: tuple[float, float]) -> tuple[float, float]:
        """The point straight before or behind at the edge of the box's layer."""
        edge = self.placed.rows[box][side > 0] + _MARGIN
        return (point[0], edge) if self.down else (edge, point[1])

    def _label_place(self, link: Link) -> tuple[float, float]:
        x, y = self._side_of(link.target, -1, self.ports[link])
        if self.down:
            top = self.placed.rows[link.target][0] + _MARGIN
            return x + 6, top - 12 - _LABEL * self.levels[link]
        return x - 12 - len(link.label) * _SMALL, y - 5

    def _label(self, link: Link) -> str:
        if not link.label:
            return ""
        x, y = self._label_place(link)
        width = len(link.label) * _SMALL
        ground = (
            f'<rect x="{x - 1:.1f}" y="{y - 10:.1f}" width="{width + 2:.1f}" height="13" '
            'fill="#ffffff" fill-opacity="0.8"/>'
        )
        return ground + f'<text class="label" x="{x:.1f}" y="{y:.1f}">{escape(link.label)}</text>'

    def _box(self, box: Box, extra: Mapping[str, str], now: bool = False) -> str:
        """A box; `extra` is put into the parts "value" and "derivative" (animations)."""
        x, y = self._point(self.placed.along[box], self.placed.across[box])
        width, height = self.sizes[box]
        left, top = x - width / 2, y - height / 2
        kind = "output" if box is self.last else box.kind
        shown = "box now" if now else "box"
        parts = [
            f"<g><title>{escape(_hint(box))}</title>",
            f'<rect class="{kind} {shown}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}" rx="6">{extra.get("box", "")}</rect>',
        ]
        if self.pictures[box] and extra.get("value") is not None:
            parts.append(
                f'<image x="{left + width - _PICTURE - 6:.1f}" y="{y - _PICTURE / 2:.1f}" '
                f'width="{_PICTURE:.0f}" height="{_PICTURE:.0f}" preserveAspectRatio="none" '
                'style="image-rendering: pixelated" '
                f"href={quoteattr(heat.data_uri(box.shown.value))}>{extra['value']}</image>"
            )
        for number, (part, text) in enumerate(self.lines[box]):
            if part != "name" and extra.get(part) is None:
                continue
            parts.append(
                f'<text class="{part}" x="{left + 10:.1f}" y="{top + 18 + number * _LINE:.1f}">'
                f"{escape(text)}{extra.get(part, '')}</text>"
            )
        return "".join([*parts, "</g>"])

    # -- whole drawings --------------------------------------------------------------------------

    def text(self, moment: Moment | None) -> str:
        """The drawing at one moment, or with everything."""
        parts = [self._link(link) for link in self.view.links]
        for box in self.view.boxes:
            extra = {}
            if moment is None or box in moment.values:
                extra["value"] = ""
            if moment is None or box in moment.derivatives:
                extra["derivative"] = ""
            parts.append(self._box(box, extra, moment is not None and box is moment.now))
        parts += [self._label(link) for link in self.view.links]
        return self._frame(parts)

    def animated(self, order: Sequence[Moment], seconds: float) -> str:
        """The moments one after the other, and from the beginning again."""
        total = seconds * (len(order) + 3)
        began: dict[tuple[Box, str], int] = {}
        active: dict[Box, list[int]] = {}
        for number, moment in enumerate(order):
            for box in moment.values:
                began.setdefault((box, "value"), number)
            for box in moment.derivatives:
                began.setdefault((box, "derivative"), number)
            if moment.now is not None:
                active.setdefault(moment.now, []).append(number)
        parts = [self._link(link) for link in self.view.links]
        for box in self.view.boxes:
            extra = {
                part: _appearing(began[box, part] * seconds / total, total)
                for part in ("value", "derivative")
                if (box, part) in began
            }
            extra["box"] = _lit([n * seconds / total for n in active.get(box, [])], seconds, total)
            parts.append(self._box(box, extra))
        parts += [self._label(link) for link in self.view.links]
        return self._frame(parts)


def _appearing(share: float, total: float) -> str:
    start = min(max(share, 0.0001), 0.9999)
    return (
        f'<animate attributeName="opacity" values="0;0;1;1" keyTimes="0;{start:.4f};{start:.4f};1" '
        f'dur="{total:.1f}s" repeatCount="indefinite"/>'
    )


def _lit(shares: list[float], seconds: float, total: float) -> str:
    """The box's frame in another colour while it is its turn."""
    if not shares:
        return ""
    values, times = ["#57606a"], ["0"]
    for share in shares:
        start, end = min(share + 0.0001, 0.9997), min(share + seconds / total, 0.9998)
        values += ["#57606a", "#d4790b", "#d4790b", "#57606a"]
        times += [f"{start:.5f}", f"{start:.5f}", f"{end:.5f}", f"{end:.5f}"]
    values.append("#57606a")
    times.append("1")
    return (
        f'<animate attributeName="stroke" values="{";".join(values)}" keyTimes="{";".join(times)}" '
        f'dur="{total:.1f}s" repeatCount="indefinite"/>'
    )


def _texts(box: Box) -> list[tuple[str, str]]:
    lines = [("name", box.title), ("value", box.value)]
    if box.derivative:
        lines.append(("derivative", "∂ " + box.derivative))
    return lines


def _hint(box: Box) -> str:
    """What is shown when the mouse rests on a box: everything, also what was shortened."""
    lines = []
    for vertex in box.members[:30]:
        formula = vertex.formula if vertex.incoming else ""
        lines.append(f"{vertex.name} = {formula}" if formula else vertex.name)
    shown = box.shown
    if shown.module:
        lines.append(f"layer {shown.module}")
    if shown.origin is not None and shown.origin.user is not None:
        lines.append(str(shown.origin.user))
    return "\n".join(lines)
