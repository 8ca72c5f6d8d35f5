"""An explanation as one HTML page that needs nothing else: drawing by depth, steps, table."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from glubina.explain.view import layer_title, layers_around, view

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation
    from glubina.explain.vertex import Vertex

    Entry = tuple[Vertex, str, str, str]  # with the texts of its title, value and derivative

_MOST_STEPS = 40  # boxes up to which the page has the run step by step

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.5rem; color: #1b1f24;
  background: #ffffff; max-width: 100%; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.drawing { overflow: auto; border: 1px solid #d0d7de; border-radius: 6px; max-height: 85vh; }
.drawing svg { display: block; }
button { font: inherit; padding: .25rem .8rem; border: 1px solid #d0d7de; border-radius: 6px;
  background: #f6f8fa; cursor: pointer; }
button[aria-pressed=true] { background: #ddf4ff; border-color: #0969da; }
table { border-collapse: collapse; font: 13px ui-monospace, Menlo, Consolas, monospace; }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eaeef2;
  vertical-align: top; }
td.number, th.number { text-align: right; }
pre { background: #f6f8fa; padding: 1rem; overflow: auto; border-radius: 6px; font-size: 12px; }
.fit .drawing svg { max-width: 100%; height: auto; }
details > :not(summary) { margin-left: 1.2rem; } summary { cursor: pointer; padding: .15rem 0; }
.derivative { color: #b2182b; } .note { color: #57606a; }
"""

_SCRIPT = """
for (const group of document.querySelectorAll('[data-choice]')) {
  const buttons = group.querySelectorAll('button');
  const panes = document.querySelectorAll('[data-pane="' + group.dataset.choice + '"]');
  buttons.forEach((button, number) => button.addEventListener('click', () => {
    buttons.forEach((b, n) => b.setAttribute('aria-pressed', n === number));
    panes.forEach((pane, n) => pane.hidden = n !== number);
  }));
}
for (const box of document.querySelectorAll('input[data-fit]')) {
  box.addEventListener('change', () => document.body.classList.toggle('fit', box.checked));
}
for (const slider of document.querySelectorAll('input[data-steps]')) {
  const panes = document.querySelectorAll('[data-step]');
  const show = () => panes.forEach((pane, n) => pane.hidden = n !== Number(slider.value));
  slider.addEventListener('input', show);
  show();
}
const opened = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === 'DETAILS') target.open = true;
};
addEventListener('hashchange', opened);
opened();
"""


def document(title: str, body: str) -> str:
    """A page that stands alone: style and script are in it."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def choice(name: str, labels: list[str], panes: list[str], chosen: int = 0) -> str:
    """Buttons of which each shows one of the panes."""
    buttons = "".join(
        f'<button aria-pressed="{str(n == chosen).lower()}">{escape(label)}</button> '
        for n, label in enumerate(labels)
    )
    shown = "".join(
        f'<div data-pane="{name}"{"" if n == chosen else " hidden"}>{pane}</div>'
        for n, pane in enumerate(panes)
    )
    return f'<p data-choice="{name}">{buttons}</p>{shown}'


def page(explanation: Explanation) -> str:
    """The drawing at every depth, the run step by step (of a small graph), and the table."""
    title = f"{explanation.output.name} = {explanation.output.formula}"
    parts = [f"<h1>{escape(title)}</h1>", "<h2>The computation</h2>", _drawings(explanation)]
    if len(explanation) <= _MOST_STEPS:
        parts += ["<h2>Step by step</h2>", _steps(explanation)]
    parts += ["<h2>Every vertex</h2>", _outline(explanation)]
    return document(title, "\n".join(parts))


def _drawings(explanation: Explanation) -> str:
    """One drawing for each depth of layers."""
    deepest = max((len(v.origin.calls) if v.origin else 0 for v in explanation.nodes), default=0)
    depths: list[int | None] = [*range(1, deepest), None]
    panes, labels, before = [], [], 0
    for depth in depths:
        boxes = len(view(explanation, depth).boxes)
        if boxes == before:
            continue
        before = boxes
        labels.append(f"depth {depth}" if depth is not None else "everything")
        panes.append(f'<div class="drawing">{explanation.svg(depth)}</div>')
    note = (
        '<p class="note">Blue: parameters. Grey: inputs. Yellow: layers. Red: the derivative of '
        f"{escape(explanation.output.name)} by that vertex. On the arrows: local derivatives; δ is "
        "the derivative by the vertex that the arrow leads to. Rest the mouse on a box for more."
        "</p>"
        '<p><label><input type="checkbox" data-fit> fit drawings to the window</label></p>'
    )
    return note + (choice("depth", labels, panes) if len(panes) > 1 else panes[0])


def _steps(explanation: Explanation) -> str:
    frames = explanation.steps()
    panes = "".join(
        f"<div data-step{'' if n == 0 else ' hidden'}><p><b>{n + 1} of {len(frames)}, "
        f"{frame.direction}:</b> {escape(frame.text)}</p>"
        f'<div class="drawing">{frame.svg()}</div></div>'
        for n, frame in enumerate(frames)
    )
    slider = (
        f'<input type="range" data-steps min="0" max="{len(frames) - 1}" value="0" '
        'style="width: 100%" aria-label="step">'
    )
    return slider + panes


def _outline(explanation: Explanation) -> str:
    """A table of the vertices; those of a large network are folded, layer in layer."""
    entries = [(b.shown, b.title, b.value, b.derivative) for b in view(explanation).boxes]
    head = ("vertex", "value", f"∂{explanation.output.name}/∂vertex", "layer", "line")
    small = len(explanation) <= _MOST_STEPS
    return _table(head, entries) if small else _folded(head, entries, 1)


def _folded(head: tuple[str, ...], entries: list[Entry], depth: int) -> str:
    """Tables of what stands at this depth, and a fold for each call of a layer below."""
    parts: list[tuple[int, list[Entry]]] = []  # of what stands here the call is 0
    calls: dict[int, list[Entry]] = {}
    for entry in entries:
        origin = layers_around(entry[0])
        call = 0 if origin is None or len(origin.calls) <= depth else origin.calls[depth]
        if call not in calls or (call == 0 and parts[-1][0] != 0):
            calls[call] = []
            parts.append((call, calls[call]))
        calls[call].append(entry)
    return "\n".join(
        _fold(head, inside, depth) if call else _table(head, inside) for call, inside in parts
    )


def _fold(head: tuple[str, ...], entries: list[Entry], depth: int) -> str:
    last, _, value, _ = entries[-1]
    origin = layers_around(last)
    title = "" if origin is None else layer_title(origin, depth)
    count = f"{len(entries)} vertices" if len(entries) > 1 else "1 vertex"
    return (
        f"<details><summary><b>{escape(title)}</b>: {escape(value)} "
        f'<span class="note">({count})</span></summary>'
        f"{_folded(head, entries, depth + 1)}</details>"
    )


def _table(head: tuple[str, ...], entries: list[Entry]) -> str:
    rows = []
    for vertex, *texts in entries:
        place = ""
        if vertex.origin is not None and vertex.origin.user is not None:
            place = f"{os_name(vertex.origin.user.file)}:{vertex.origin.user.line}"
        cells = (*texts, vertex.module, place)
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return (
        '<div style="overflow-x: auto"><table><tr>'
        + "".join(f"<th>{escape(cell)}</th>" for cell in head)
        + f"</tr>{''.join(rows)}</table></div>"
    )


def os_name(path: str) -> str:
    """The last part of a file's path."""
    return path.replace("\\", "/").rpartition("/")[2]
