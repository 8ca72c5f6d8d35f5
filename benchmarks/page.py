"""The tables of docs/benchmarks.md, written between marker lines by the commands that measure."""

from __future__ import annotations

import math
from pathlib import Path

from .contestants import PEERS
from .report import CAP, Outcome, geometric_mean


def write(path: Path, name: str, text: str) -> None:
    """Put a text between the page's lines `<!-- name:begin -->` and `<!-- name:end -->`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text(encoding="utf-8")
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"{path} needs the lines {begin} and {end}, once each")
    head, rest = page.split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}", encoding="utf-8")


def grid(header: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A table of Markdown; the first `left` columns are text, the others numbers."""
    rule = [":--" if i < left else "--:" for i in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def steps(outcomes: list[Outcome], machine: str, versions: dict[str, tuple[str, int]]) -> str:
    """All tables of a run."""
    named = ", ".join(f"{name} {version}" for name, (version, _) in versions.items())
    rates = [o.sgemm for o in outcomes if math.isfinite(o.sgemm)]
    copies = [o.bandwidth for o in outcomes if math.isfinite(o.bandwidth)]
    lines = [
        f"{machine}; {named}.",
        f"The machine's matrix product ran at {span(rates)} GFLOP/s in the same turns, its copying "
        f"at {span(copies)} GB/s (read and written).",
        f"Geometric mean of the ratios, each at most {CAP:g}: "
        f"**{geometric_mean(outcomes):.2f}** over {len(outcomes)} workloads.",
        "### Milliseconds a step",
        _times(outcomes),
        "### Arithmetic",
        _rates(outcomes),
        "### First step (s, after import and building; with an empty cache) and peak memory (MB)",
        _starts(outcomes),
    ]
    return "\n\n".join(lines)


def span(values: list[float]) -> str:
    """The least and the largest, in thousands of millions."""
    if not values:
        return "—"
    return f"{min(values) / 1e9:.0f} to {max(values) / 1e9:.0f}"


def _columns(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """All systems and modes in their order."""
    seen: dict[tuple[str, str], None] = {}
    for outcome in outcomes:
        seen |= {(r.contestant.system, r.contestant.mode): None for r in outcome.systems}
    return list(seen)


def _times(outcomes: list[Outcome]) -> str:
    columns = _columns(outcomes)
    rows = []
    for o in outcomes:
        cells = [o.of_mode(*column) for column in columns]
        best = (o.best(*PEERS), o.best("glubina"))
        texts = ["—" if r is None else milliseconds(r.seconds, r in best) for r in cells]
        rows.append([f"`{o.workload.name}`", *texts, _ratio(o.ratio)])
    header = ["workload", *(f"{system} {mode}" for system, mode in columns), "ratio"]
    return grid(header, rows)


def milliseconds(seconds: float, best: bool) -> str:
    """Three digits, bold if it is the best."""
    text = f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"
    return f"**{text}**" if best else text


def _ratio(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "—"


def _rates(outcomes: list[Outcome]) -> str:
    header = ["workload", "MFLOP a step", "best peer", "GFLOP/s", "of sgemm"]
    header += ["Glubina's mode", "GFLOP/s", "of sgemm"]
    rows = []
    for o in outcomes:
        row = [f"`{o.workload.name}`", f"{o.workload.flops / 1e6:.3g}"]
        for r in (o.best(*PEERS), o.best("glubina")):
            if r is None:
                row += ["—", "", ""]
                continue
            rate = o.workload.flops / r.seconds
            row += [str(r.contestant), f"{rate / 1e9:.3g}", f"{100 * rate / o.sgemm:.0f} %"]
        rows.append(row)
    return grid(header, rows)


def _starts(outcomes: list[Outcome]) -> str:
    columns = _columns(outcomes)
    rows = []
    for o in outcomes:
        cells = [o.of_mode(*column) for column in columns]
        texts = [
            "—" if r is None else f"{r.first['step']:.2f} s{_warm(r.warm)}, {r.memory / 1e6:.0f}"
            for r in cells
        ]
        rows.append([f"`{o.workload.name}`", *texts])
    return grid(["workload", *(f"{system} {mode}" for system, mode in columns)], rows)


def _warm(stages: dict[str, float]) -> str:
    return f" (warm {stages['step']:.2f})" if stages else ""
