"""The table of a model's layers: output shapes, parameters, arithmetic and memory."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerRow:
    """A line of the table.

    shape: of the output, with the batch as its first extent. parameters: numbers that are
    trained; frozen: that are not. flops: of one example's forward pass. memory: bytes of one
    example's output.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    frozen: int = 0
    flops: int = 0
    memory: int = 0


def render_summary(rows: Sequence[LayerRow], title: str, width: int = 100) -> str:
    """The rows as a table with totals, as text of at most `width` columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for heading in ("layer", "type", "output shape"):
        table.add_column(heading, overflow="fold")
    for heading in ("parameters", "flops", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shape = ", ".join(["N", *map(str, row.shape[1:])])
        table.add_row(
            row.name,
            row.kind,
            f"({shape})",
            f"{row.parameters + row.frozen:,}",
            number(row.flops),
            size(row.memory),
        )
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table)
    trained, frozen = sum(row.parameters for row in rows), sum(row.frozen for row in rows)
    flops, memory = sum(row.flops for row in rows), sum(row.memory for row in rows)
    console.print(
        f"Parameters: {trained + frozen:,} ({trained:,} trained, {frozen:,} frozen)\n"
        f"Arithmetic: {number(flops)} flops forward per example\n"
        f"Memory: {size(memory)} of outputs per example",
        soft_wrap=True,
    )
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def number(value: float) -> str:
    """A large number with a unit: 1500 is "1.50 k"."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(value) < 1000:
            return f"{value:,.0f}" if not unit else f"{value:.2f} {unit}"
        value /= 1000
    return f"{value:,.2f} P"


def size(value: float) -> str:
    """A number of bytes with a unit: 2048 is "2.0 KiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:,.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"
