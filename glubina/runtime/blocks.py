"""Schedules with their kernels lowered, those inside the bodies of loops too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from glubina.codegen.lowered import Lowering
from glubina.codegen.target import Target
from glubina.graph.node import new
from glubina.graph.ops.marker import DETACH
from glubina.schedule.kernel import Kernel
from glubina.schedule.loop import Body, body
from glubina.schedule.plan import Schedule

Lower = Callable[[Kernel, Target], Lowering]


@dataclass(frozen=True)
class LoweredLoop:
    """A loop's kernel: its body, lowered, and a copy of each final state that is wanted."""

    body: Body
    block: Block
    copies: tuple[tuple[Kernel, Lowering], ...]


@dataclass(frozen=True)
class Block:
    """A schedule with its kernels lowered."""

    schedule: Schedule
    kernels: tuple[Lowering | LoweredLoop, ...]

    def lowerings(self) -> Iterable[Lowering]:
        """All lowerings, those inside loops too."""
        for lowered in self.kernels:
            if isinstance(lowered, Lowering):
                yield lowered
            else:
                yield from lowered.block.lowerings()
                yield from (lowering for _, lowering in lowered.copies)


def lower_all(scheduled: Schedule, target: Target, lower: Lower) -> Block:
    """Lower every kernel, with those inside the bodies of loops."""
    return Block(
        scheduled,
        tuple(
            _lower_loop(kernel, target, lower) if kernel.kind == "scan" else lower(kernel, target)
            for kernel in scheduled.kernels
        ),
    )


def _lower_loop(kernel: Kernel, target: Target, lower: Lower) -> LoweredLoop:
    inner = body(kernel)
    copies = []
    for state, final in inner.finals:
        result = inner.schedule.results[state]
        copy = new(DETACH, (result,), (), final.shape, final.dtype)
        step = Kernel("map", (), (result,), (copy,), copy.shape)
        copies.append((step, lower(step, target)))
    inside = replace(target, repeats=True)
    return LoweredLoop(inner, lower_all(inner.schedule, inside, lower), tuple(copies))
