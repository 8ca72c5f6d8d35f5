"""`glubina data`: the report on a data set, as text, as JSON and as a picture of examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from glubina.data import Opened, open_data
from glubina.data import report as report_on
from glubina.files import MissingExtraError, require_writable, write_json
from glubina.train.plots import plot_examples
from glubina.train.run_folder import plain

WIDTH = 100
BAR = 24  # the longest bar of a class
MOST_COLUMNS, MOST_CLASSES = 60, 40  # lines of a table in the terminal; JSON has them all


def run(source: str, target: str, size: int | None, output: Path | None, *, as_json: bool) -> None:
    """Open the data, report on them, and leave the report in the folder if one is named."""
    data = open_data(source, _target(target), size)
    folder = None if output is None else require_writable(output)
    found = plain(report_on(data))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, Console(width=WIDTH, highlight=False, markup=False))
    if folder is None:
        return
    write_json(folder / "report.json", found)
    if found["kind"] == "images":
        _draw(data, found, folder / "examples.png")
    if not as_json:
        typer.echo(f"The report is in {folder}/")


def _target(given: str) -> str | int | None:
    """The target's column: a place where it is a whole number, None for "none", else a name."""
    if given.lower() == "none":
        return None
    return int(given) if given.removeprefix("-").isdigit() else given


def _draw(data: Opened, found: dict[str, Any], path: Path) -> None:
    """Draw the first examples; without matplotlib the report is complete but for them."""
    name, (x, y) = next(iter(data.parts.items()))
    labels = y if "classes" in found["parts"][name] else None
    if labels is None:
        x = x[:40]
    try:
        plot_examples(x[:4096], None if labels is None else labels[:4096], path, data.classes)
    except MissingExtraError as error:
        typer.echo(f"note: {error}", err=True)


def show(found: dict[str, Any], console: Console) -> None:
    """Print the report: parts, classes, columns, duplicates, notes."""
    console.print(f"{found['name']}: {found['kind']}", style="bold")
    console.print(_parts(found))
    if any("classes" in part for part in found["parts"].values()):
        console.print(_classes(found))
    if "columns" in found:
        console.print(_columns(found["columns"]))
    double = found["duplicates"]
    within = ", ".join(f"{count:,} in {name}" for name, count in double["within"].items())
    across = "".join(f"; {count:,} across {pair}" for pair, count in double["across"].items())
    console.print(f"Duplicates: {within}{across}; {double['conflicting']:,} with different targets")
    for note in found["notes"]:
        console.print(f"! {note}", style="yellow")
    if not found["notes"]:
        console.print("Nothing stands out: no gaps, no duplicates across parts, balanced classes.")


def _parts(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    titles = ("part", "examples", "shape", "dtype", "min", "max", "mean", "std", "missing")
    for place, title in enumerate(titles):
        table.add_column(title, justify="left" if place == 0 else "right")
    for name, part in found["parts"].items():
        shape = " x ".join(map(str, part["shape"])) or "-"
        numbers = [_number(part[key]) for key in ("min", "max", "mean", "std")]
        missing = f"{part['missing'] + part['infinite']:,}"
        table.add_row(name, f"{part['examples']:,}", shape, part["dtype"], *numbers, missing)
        for channel, figures in enumerate(part.get("channels", ())):
            if len(part["channels"]) > 1:
                numbers = [_number(figures[key]) for key in ("mean", "std")]
                table.add_row(f"  channel {channel}", "", "", "", "", "", *numbers, "")
        if "target" in part:
            target = part["target"]
            numbers = [_number(target[key]) for key in ("min", "max", "mean", "std")]
            shape = " x ".join(map(str, target["shape"])) or "-"
            table.add_row("  target", "", shape, target["dtype"], *numbers, str(target["missing"]))
    return table


def _classes(found: dict[str, Any]) -> Table:
    """The classes with their counts in each part, and bars of the first part's."""
    parts = {name: part["classes"] for name, part in found["parts"].items() if "classes" in part}
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    for name in parts:
        table.add_column(name if name != "all" else "examples", justify="right")
    table.add_column("share", justify="right")
    table.add_column("weight", justify="right")
    table.add_column("")
    first = next(iter(parts.values()))
    counts = [{entry["name"]: entry["count"] for entry in entries} for entries in parts.values()]
    largest = max((entry["count"] for entry in first), default=1) or 1
    for entry in first[:MOST_CLASSES]:
        each = [f"{count.get(entry['name'], 0):,}" for count in counts]
        bar = "█" * max(round(BAR * entry["count"] / largest), 1 if entry["count"] else 0)
        share, weight = f"{entry['share']:.1%}", f"{entry['weight']:.3f}"
        table.add_row(entry["name"], *each, share, weight, bar)
    if len(first) > MOST_CLASSES:
        table.add_row(f"... {len(first) - MOST_CLASSES} more")
    return table


def _columns(columns: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(("column", "min", "max", "mean", "std", "distinct", "missing")):
        table.add_column(title, justify="left" if place == 0 else "right")
    for column in columns[:MOST_COLUMNS]:
        numbers = [_number(column.get(key)) for key in ("min", "max", "mean", "std")]
        if "categories" in column:
            numbers = ["text", "", "", ""]
        distinct = f"{column['distinct']:,}"
        table.add_row(column["name"], *numbers, distinct, f"{column['missing']:,}")
    if len(columns) > MOST_COLUMNS:
        table.add_row(f"... {len(columns) - MOST_COLUMNS} more")
    return table


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == np.round(value) and abs(value) < 1e9 else f"{value:.4g}"
