"""The detective: which value was the first to become NaN or infinite, where, and from what.

Inside `detect_anomaly` the results of every program are looked at, which is cheap. Only when one
is not finite the step is gone through again, node by node in the interpreter, on the same inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np

from glubina.graph import origins
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Cell, Leaf
from glubina.tensor.errors import AnomalyError
from glubina.tensor.findings import Bindings, investigate, unexplained
from glubina.tensor.mode import mode
from glubina.tensor.sight import names_in_sight


class Detector:
    """Looks at what programs give.

    watch: where their nodes come from. recordings: of compiled functions, made while it is there.
    """

    def __init__(self, watch: origins.Origins) -> None:
        self.watch = watch
        self.recordings: dict[Any, dict[Any, list[Any]]] = {}

    def check(
        self,
        nodes: Sequence[Node],
        outputs: Sequence[Buffer],
        bindings: Callable[[Sequence[Node]], Bindings],
        cells: Mapping[Leaf, Cell] | None = None,
        homes: Sequence[Leaf] = (),
    ) -> None:
        """Raise AnomalyError if an output is not finite, and not because the user meant it so.

        nodes: what the outputs are the values of. bindings: gives the values of a graph's inputs.
        cells: of a leaf the cell that it was read from, where a function was recorded. homes: the
        leaves that the outputs become the values of.
        """
        if all_finite(nodes, outputs):
            return
        with self.watch.passing():
            plain = expand(nodes)
        name = _names(self.watch, cells or {}, dict(zip(nodes, homes, strict=False)))
        finding = investigate(plain, bindings(plain), self.watch, name)
        if finding is not None:
            raise AnomalyError(finding)
        for node, buffer in zip(nodes, outputs, strict=True):
            value = buffer.array(node.shape, node.dtype)
            if node.dtype.kind == "f" and np.isnan(value).any():
                raise AnomalyError(unexplained(node, value.copy(), self.watch))


def all_finite(nodes: Sequence[Node], buffers: Sequence[Buffer]) -> bool:
    """Whether the values of nodes have neither NaN nor infinity."""
    with np.errstate(all="ignore"):
        for node, buffer in zip(nodes, buffers, strict=True):
            if node.dtype.kind != "f":
                continue
            value = buffer.array((node.size,), node.dtype)
            # the sum of squares is quick, and finite unless something is not (or it overflows)
            if not math.isfinite(np.dot(value, value)) and not np.isfinite(value).all():
                return False
    return True


# -- for users ------------------------------------------------------------------------------------


class detect_anomaly:
    """Context manager: the first NaN or infinity raises AnomalyError, which says where it came up.

    The text names the operation, forward, backward or in the update; the layer's path; the line;
    the values that went in. What was computed before the bad step stays as it was. Steps cost
    little more than otherwise (updates go into new memory, and results are looked at); functions
    compiled before are recorded anew. Infinities that are given on purpose, such as a mask of
    -inf, are none.

    >>> with gl.detect_anomaly():
    ...     model.fit(x, y)
    """

    def __init__(self) -> None:
        self._stack: list[tuple[ExitStack, Detector | None]] = []

    def __enter__(self) -> Detector:
        stack = ExitStack()
        watch = stack.enter_context(origins.watching())
        self._stack.append((stack, mode.detector))
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
