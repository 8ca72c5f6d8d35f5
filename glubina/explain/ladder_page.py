"""The ladder of a program as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from glubina.explain.page import document

if TYPE_CHECKING:
    from glubina.explain.ladder import Ladder, Rung, Source

_MOST_LINES = 4000  # of one kernel's code; what is longer is cut, and says so


def page(ladder: Ladder) -> str:
    """Kernels by time, the picture of memory, both graphs, and each kernel's code."""
    best = ladder.peak
    parts = [
        "<h1>From formula to machine code</h1>",
        f'<p class="note">{len(ladder.kernels)} kernels take {ladder.in_kernels:,.1f} µs of a step '
        f"of {ladder.microseconds:,.1f} µs on {ladder.threads} threads. The machine at its best: "
        f"{best.gflops:.0f} GFLOP/s, {best.gbps:.0f} GB/s; a convolution by Winograd's transforms "
        "needs fewer operations than are counted, and may exceed it.</p>",
        "<h2>Kernels by time</h2>",
        table(ladder),
        "<h2>Working memory</h2>",
        f'<div class="drawing">{ladder.arena_svg()}</div>',
        "<h2>The graph as it was recorded</h2>",
        _code(ladder.graph),
        "<h2>The graph as it was cut into kernels</h2>",
        _code(ladder.simplified),
        "<h2>Each kernel</h2>",
        *_kernels(ladder),
    ]
    return document("From formula to machine code", "\n".join(parts))


def table(ladder: Ladder) -> str:
    """The kernels by time, as a table in HTML."""
    total = max(ladder.in_kernels, 1e-9)
    rows = []
    for kernel in ladder.sorted():
        where = "<br>".join(escape(str(place)) for place in kernel.places[:4])
        cells = (
            f"{kernel.microseconds:,.1f}",
            f"{kernel.microseconds / total:.1%}",
            f"{kernel.gflops:,.1f}",
            f"{kernel.gbps:,.1f}",
            f"{kernel.share_of(ladder.peak):.0%}",
        )
        rows.append(
            "<tr>"
            + "".join(f'<td class="number">{cell}</td>' for cell in cells)
            + f'<td><a href="#kernel-{kernel.number}">{escape(kernel.label)}</a></td>'
            + f"<td>{where}</td></tr>"
        )
    head = ("µs", "share", "GFLOP/s", "GB/s", "of peak")
    return (
        '<div style="overflow-x: auto"><table><tr>'
        + "".join(f'<th class="number">{cell}</th>' for cell in head)
        + f"<th>kernel</th><th>from</th></tr>{''.join(rows)}</table></div>"
    )


def _kernels(ladder: Ladder) -> list[str]:
    """Each kernel; the code of those that are the same code stands with the first."""
    first: dict[str, Rung] = {}
    return [_kernel(kernel, first.setdefault(kernel.key, kernel)) for kernel in ladder.kernels]


def _kernel(kernel: Rung, coded: Rung) -> str:
    places = "".join(f"<li>{escape(_long(place))}</li>" for place in kernel.places)
    return (
        f'<details id="kernel-{kernel.number}"><summary>{kernel.number}: {escape(kernel.label)} '
        f"({kernel.microseconds:,.1f} µs)</summary>"
        f"<p>{escape(', '.join(kernel.reads) or 'nothing')} → {escape(', '.join(kernel.writes))}"
        f"</p><ul>{places}</ul>"
        f"{_codes(coded) if coded is kernel else _reference(coded)}</details>"
    )


def _codes(kernel: Rung) -> str:
    return (
        f"<details><summary>LLVM IR</summary>{_code(kernel.ir)}</details>"
        f"<details><summary>Assembly</summary>{_code(kernel.assembly)}</details>"
    )


def _reference(kernel: Rung) -> str:
    number = kernel.number
    return f'<p>The same code as <a href="#kernel-{number}">kernel {number}</a>.</p>'


def _long(place: Source) -> str:
    lines = [str(line) for line in (place.user, place.library) if line is not None]
    return " ".join([place.layer, place.stage, "at", ", in ".join(lines)]).strip()


def _code(text: str) -> str:
    lines = text.splitlines()
    more = len(lines) - _MOST_LINES
    if more > 0:
        lines = [*lines[:_MOST_LINES], f"... and {more:,} lines more"]
    return f"<pre>{escape(chr(10).join(lines))}</pre>"
