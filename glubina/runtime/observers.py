"""Lets others watch: which kernels ran and how long, which programs were compiled.

Nothing is measured while nobody watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from glubina.runtime.plan import Plan

if TYPE_CHECKING:
    from glubina.graph.node import Node
    from glubina.schedule.plan import Schedule


@dataclass(frozen=True)
class RunEvent:
    """A program ran: its plan, the steps done and the threads asked for.

    `times` has the nanoseconds of each of the plan's calls, over all the steps.
    """

    plan: Plan
    steps: int
    threads: int
    times: tuple[int, ...]


@dataclass(frozen=True)
class ScheduleEvent:
    """A graph was cut into kernels: its simplified outputs, and the kernels in their order."""

    outputs: Sequence[Node]
    schedule: Schedule


@dataclass(frozen=True)
class CompileEvent:
    """A program was made: its plan, how long that took in seconds, what came from the cache."""

    plan: Plan
    seconds: float
    cached: bool
    code_bytes: int


E = TypeVar("E")


class Channel(Generic[E]):
    """Events of one kind, and who wants to hear of them. It is false while nobody does."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[[E], None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def subscribe(self, listener: Callable[[E], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; returns the function that ends this."""
        self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            self._listeners = tuple(x for x in self._listeners if x is not listener)

        return unsubscribe

    @contextmanager
    def watching(self, listener: Callable[[E], None]) -> Iterator[None]:
        """Call `listener` with each event inside a `with` block."""
        unsubscribe = self.subscribe(listener)
        try:
            yield
        finally:
            unsubscribe()

    def send(self, event: E) -> None:
        """Tell every listener."""
        for listener in self._listeners:
            listener(event)


runs: Channel[RunEvent] = Channel()
schedules: Channel[ScheduleEvent] = Channel()
compilations: Channel[CompileEvent] = Channel()


def scheduled(outputs: Sequence[Node], schedule: Schedule) -> None:
    """Tell those who watch `schedules` that a graph was cut into kernels."""
    if schedules:
        schedules.send(ScheduleEvent(outputs, schedule))
