"""The detective: which value was the first to become NaN or infinite, where, and from what.

Inside `detect_anomaly` the results of every program are looked at, which is cheap. Only when one
is not finite the step is gone through again, node by node in the interpreter, on the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from glubina.graph import origins
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Cell, Leaf
from glubina.tensor.errors import AnomalyError
from glubina.tensor.findings import Bindings, investigate, unexplained
from glubina.tensor.finite import all_finite, first_nan
from glubina.tensor.journal import Journal
from glubina.tensor.mode import mode
from glubina.tensor.recent import Recent
from glubina.tensor.sight import names_in_sight


class Detector:
    """Looks at what programs give.

    watch: where their nodes come from. recordings: of compiled functions, made while it is there.
    """

    def __init__(self, watch: origins.Origins) -> None:
        self.watch = watch
        self.recordings: dict[Any, Recent[Any]] = {}
        self._journal: tuple[object, Journal] | None = None

    def journal(
        self, runner: object, inputs: Sequence[Buffer], outputs: Sequence[Buffer]
    ) -> Journal:
        """The journal of a run that overwrites some of its inputs.

        It is begun anew unless the run before was one of the same `runner` on the same memory.
        """
        if self._journal is not None:
            last, journal = self._journal
            if last is runner and journal.leads_to(inputs, outputs):
                return journal
        self._journal = None  # before the memory for the next one is taken
        journal = Journal(inputs, outputs)
        self._journal = runner, journal
        return journal

    def forget(self) -> None:
        """End the journal: something else overwrites what it tells of."""
        self._journal = None

    def check(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Buffer],
        bindings: Callable[[Sequence[Node]], Bindings],
        homes: Sequence[Leaf] = (),
    ) -> None:
        """Raise AnomalyError if an output is not finite, and not because the user meant it so.

        nodes: what the outputs are the values of. bindings: gives the values of a graph's inputs,
        which are still there. homes: the leaves that the outputs become the values of.
        """
        if not all_finite(nodes, outputs):
            self.find(nodes, first_nan(nodes, outputs), bindings, homes=homes)

    def find(
        self,
        nodes: Sequence[Node],
        spoiled: tuple[Node, NDArray[Any]] | None,
        bindings: Callable[[Sequence[Node]], Bindings],
        cells: Mapping[Leaf, Cell] | None = None,
        homes: Sequence[Leaf] = (),
    ) -> None:
        """Go through the graph and raise AnomalyError, unless the infinities are on purpose.

        spoiled: the first value with a NaN. cells: of a leaf the cell that it was read from, where
        a function was recorded.
        """
        with self.watch.passing():
            plain = expand(nodes)
        name = _names(self.watch, cells or {}, dict(zip(nodes, homes, strict=False)))
        finding = investigate(plain, bindings(plain), self.watch, name)
        if finding is None and spoiled is not None:
            finding = unexplained(*spoiled, self.watch)
        if finding is not None:
            raise AnomalyError(finding)


# -- for users ------------------------------------------------------------------------------------


class detect_anomaly:
    """Context manager: the first NaN or infinity raises AnomalyError, which says where it came up.

    The text names the operation, forward, backward or in the update; the layer's path; the line;
    the values that went in. What was computed before the bad step stays as it was. Steps cost
    little more than otherwise (the results are looked at; a compiled function's state is copied
    now and then, other updates go into new memory); functions compiled before are recorded anew.
    Infinities that are given on purpose, such as a mask of -inf, are none.

    >>> with gl.detect_anomaly():
    ...     model.fit(x, y)
    """

    def __init__(self) -> None:
        self._stack: list[tuple[ExitStack, Detector | None]] = []

    def __enter__(self) -> Detector:
        stack = ExitStack()
        watch = stack.enter_context(origins.watching())
        self._stack.append((stack, mode.detector))
        if mode.detector is not None:
            mode.detector.forget()
        mode.detector = Detector(watch)
        return mode.detector

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, mode.detector = self._stack.pop()
        stack.close()


def leaf_values(nodes: Sequence[Node]) -> Bindings:
    """The values of a graph's leaves, which they hold themselves."""
    from glubina.tensor.programs import buffer_of

    return {n: buffer_of(n).array(n.shape, n.dtype) for n in topological(nodes) if type(n) is Leaf}


def _names(
    watch: origins.Origins, cells: Mapping[Leaf, Cell], homes: Mapping[Node, Leaf]
) -> Callable[[Node], str]:
    """What gives the name of a tensor: a parameter's or buffer's dotted path, or the variable's.

    homes: of nodes the leaf that gets their value: what is copied into a parameter has its name.
    """
    called = [o.modules[0] for o in list(watch.table.values()) if o.modules]
    names = names_in_sight(called)
    for node, home in homes.items():
        while node.sources and not node.op.cost:
            node = node.sources[0]
        if not node.sources and id(home) in names:
            names.setdefault(id(node), names[id(home)])

    def name(node: Node) -> str:
        cell = cells.get(node) if type(node) is Leaf else None
        return names.get(id(node)) or names.get(id(cell), "")

    return name
