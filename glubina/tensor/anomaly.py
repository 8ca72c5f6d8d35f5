"""The detective: which value was the first to become NaN or infinite, where, and from what.

Inside `detect_anomaly` the results of every program are looked at, which is cheap. Only when one
is not finite the step is gone through again, node by node in the interpreter, on the same inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import origins
from glubina.graph.autodiff import expand
from glubina.graph.interpreter import evaluated
from glubina.graph.node import Node, topological
from glubina.graph.origins import BACKWARD, UPDATE, Origin
from glubina.runtime.buffer import Buffer
from glubina.tensor.cell import Cell, Leaf
from glubina.tensor.errors import AnomalyError
from glubina.tensor.mode import mode

Array = NDArray[Any]
Bindings = Mapping[Node, Array]

_NAN, _INFINITE = 2, 1
_STAGES = {BACKWARD: "the backward pass", UPDATE: "the update"}


@dataclass(frozen=True)
class Operand:
    """What went into an operation: its form, its range, and the element at the place in question.

    name: of a parameter, "" for what has none. at: None where the elements do not correspond.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    smallest: float
    largest: float
    bad: int
    at: float | None

    def __str__(self) -> str:
        shape = "×".join(map(str, self.shape)) or "scalar"
        head = f"{self.name or 'a value'} ({self.dtype} {shape})"
        if self.bad:
            body = f"{self.bad:,} not finite"
        elif self.smallest == self.largest:
            body = f"{self.smallest:.4g}"
        else:
            body = f"from {self.smallest:.4g} to {self.largest:.4g}"
        there = "" if self.at is None or self.smallest == self.largest else f", there {self.at:.6g}"
        return f"{head}: {body}{there}"


@dataclass(frozen=True)
class Finding:
    """The first value that is not finite.

    kind: "NaN" or "infinity". operation: what made it, "input" for a value that came from outside.
    origin: its line and layer, if they are known. count: how many of `shape` are not finite; index:
    of the first. operands: what went in. cause: for a NaN that comes from infinities, where those
    first came up.
    """

    kind: str
    operation: str
    origin: Origin | None
    shape: tuple[int, ...]
    count: int
    index: tuple[int, ...]
    operands: tuple[Operand, ...]
    name: str = ""
    cause: Finding | None = None

    @property
    def stage(self) -> str:
        """Where in the step: "forward", "backward", "update", or "input"."""
        if self.operation == "input":
            return "input"
        return "forward" if self.origin is None else self.origin.stage

    def __str__(self) -> str:
        where = f" at {list(self.index)}" if self.index else ""
        size = int(np.prod(self.shape))
        many = f"{self.count:,} of {size:,} elements, the first{where}" if size > 1 else "its value"
        if self.operation == "input":
            what = self.name or "an input of the step (data, or a tensor from outside)"
            shape = "×".join(map(str, self.shape)) or "scalar"
            return f"{self.kind} in {what} ({shape}) before the step began: {many}"
        stage = _STAGES.get(self.stage, "the forward pass")
        lines = [f"{self.kind} first comes up in {stage}, in {self.operation}: {many}"]
        if self.origin is not None:
            lines.append(f"  from {self.origin}")
        lines += [f"  went in: {operand}" for operand in self.operands]
        if self.cause is not None:
            lines.append("  the infinity in it: " + str(self.cause).replace("\n", "\n  "))
        return "\n".join(lines)


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
    ) -> None:
        """Raise AnomalyError if an output is not finite, and not because the user meant it so.

        nodes: what the outputs are the values of. bindings: gives the values of a graph's inputs.
        cells: of a leaf the cell that it was read from, where a function was recorded.
        """
        if all_finite(nodes, outputs):
            return
        with self.watch.passing():
            plain = expand(nodes)
        name = _names(self.watch, cells or {})
        finding = _investigate(plain, bindings(plain), self.watch, name)
        if finding is not None:
            raise AnomalyError(finding)
        for node, buffer in zip(nodes, outputs, strict=True):
            value = buffer.array(node.shape, node.dtype)
            if node.dtype.kind == "f" and np.isnan(value).any():
                raise AnomalyError(_unexplained(node, value.copy(), self.watch))


def all_finite(nodes: Sequence[Node], buffers: Sequence[Buffer]) -> bool:
    """Whether the values of nodes have neither NaN nor infinity."""
    with np.errstate(all="ignore"):
        for node, buffer in zip(nodes, buffers, strict=True):
            if node.dtype.kind != "f":
                continue
            value = buffer.array(node.shape, node.dtype)
            # the sum is quick, and finite unless something in it is not (or it overflows)
            if not np.isfinite(np.add.reduce(value, axis=None)) and not np.isfinite(value).all():
                return False
    return True


# -- the search -----------------------------------------------------------------------------------


def _status(value: Array) -> int:
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return 0
    return _NAN if np.isnan(value).any() else _INFINITE


def _investigate(
    outputs: Sequence[Node], bindings: Bindings, watch: origins.Origins, name: Callable[[Node], str]
) -> Finding | None:
    """The first node on the way to an output that is not finite though what it is made of is.

    Infinities that were given on purpose (a constant, an input) and lead to no NaN are none.
    """
    status = {node: _status(value) for node, value, _ in evaluated(outputs, bindings)}
    guilty = _roots([o for o in outputs if status[o] == _NAN], status, _NAN)
    if not guilty:
        infinite = _roots([o for o in outputs if status[o]], status, _INFINITE)
        guilty = {node for node in infinite if node.sources}
    first = next((node for node in status if node in guilty), None)
    if first is None:
        return None
    causes = {n for s in first.sources if status[s] for n in _roots([s], status, _INFINITE)}
    found = {
        node: _finding(node, value, arrays, watch, name)
        for node, value, arrays in evaluated([first], bindings)
        if node is first or node in causes
    }
    finding = found[first]
    cause = next((found[node] for node in found if node in causes and node.sources), None)
    if finding.kind == "NaN" and cause is not None:
        return replace(finding, cause=cause)
    return finding


def _roots(ends: Sequence[Node], status: Mapping[Node, int], level: int) -> set[Node]:
    """Up from the ends along nodes that are at least so bad: those with no such source."""
    found: set[Node] = set()
    seen = set(ends)
    stack = list(ends)
    while stack:
        node = stack.pop()
        bad = [source for source in node.sources if status[source] >= level]
        if not bad:
            found.add(node)
        for source in bad:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return found


def _finding(
    node: Node,
    value: Array,
    arrays: list[Array],
    watch: origins.Origins,
    name: Callable[[Node], str],
) -> Finding:
    nan = bool(np.isnan(value).any())
    bad = np.isnan(value) if nan else ~np.isfinite(value)
    index = _first(bad)
    operands = [
        _operand(name(source), array, index if array.shape == value.shape else None)
        for source, array in zip(node.sources, arrays, strict=True)
    ]
    return Finding(
        kind="NaN" if nan else "infinity",
        operation=node.op.name if node.sources else "input",
        origin=watch.of(node),
        shape=value.shape,
        count=int(bad.sum()),
        index=index,
        operands=tuple(operands),
        name=name(node),
    )


def _first(bad: Array) -> tuple[int, ...]:
    """Where the first True stands."""
    return tuple(int(i) for i in np.argwhere(bad)[0])


def _operand(name: str, array: Array, index: tuple[int, ...] | None) -> Operand:
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    return Operand(
        name,
        array.shape,
        array.dtype.name,
        float(finite.min(initial=np.inf)) if finite.size else float("nan"),
        float(finite.max(initial=-np.inf)) if finite.size else float("nan"),
        array.size - finite.size,
        None if index is None else float(numbers[index]),
    )


def _unexplained(node: Node, value: Array, watch: origins.Origins) -> Finding:
    """For a value that is NaN only in the kernels' order of adding up."""
    bad = np.isnan(value)
    count = int(bad.sum())
    return Finding("NaN", node.op.name, watch.of(node), node.shape, count, _first(bad), ())


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


def _names(watch: origins.Origins, cells: Mapping[Leaf, Cell]) -> Callable[[Node], str]:
    """What gives the dotted path of a parameter or buffer of the networks that were called."""
    roots = {id(o.modules[0]): o.modules[0] for o in list(watch.table.values()) if o.modules}
    names: dict[int, str] = {}
    for root in roots.values():
        for path, tensor in (*root.named_parameters(), *root.named_buffers()):
            for held in (tensor._cell, tensor._cell.node, tensor._cell.leaf):
                if held is not None:
                    names.setdefault(id(held), path)

    def name(node: Node) -> str:
        cell = cells.get(node) if type(node) is Leaf else None
        return names.get(id(node)) or names.get(id(cell), "")

    return name
