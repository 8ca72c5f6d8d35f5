"""The kernels of a program as a table of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.explain.formulas import shortened

if TYPE_CHECKING:
    from glubina.explain.ladder import Ladder


def table(ladder: Ladder, most: int | None = None) -> str:
    """A line for each kernel, the slowest first; `most` lines, and what the others come to."""
    best = ladder.peak
    total = max(ladder.in_kernels, 1e-9)
    lines = [
        f"{len(ladder.kernels)} kernels, {total:,.1f} µs of a step of {ladder.microseconds:,.1f} "
        f"µs on {ladder.threads} thread{'s'[: ladder.threads > 1]}; "
        f"{ladder.arena_bytes / 1e6:,.1f} MB of working memory",
        f"the machine at its best: {best.gflops:.0f} GFLOP/s, {best.gbps:.0f} GB/s",
        f"{'µs':>10} {'share':>6} {'GFLOP/s':>8} {'GB/s':>6} {'of peak':>7}  kernel",
    ]
    kernels = ladder.sorted()
    shown = kernels if most is None else kernels[:most]
    for kernel in shown:
        lines.append(
            f"{kernel.microseconds:10.1f} {kernel.microseconds / total:6.1%} "
            f"{kernel.gflops:8.1f} {kernel.gbps:6.1f} {kernel.share_of(best):7.0%}  "
            f"{shortened(kernel.label, 70)}"
        )
        where = "; ".join(str(place) for place in kernel.places[:3])
        more = len(kernel.places) - 3
        lines.append(f"{'':42} {where}{f'; and {more} more' if more > 0 else ''}")
    if len(shown) < len(kernels):
        rest = sum(kernel.microseconds for kernel in kernels[len(shown) :])
        lines.append(f"{rest:10.1f} {rest / total:6.1%} {'':>24} {len(kernels) - len(shown)} more")
    return "\n".join(lines)
