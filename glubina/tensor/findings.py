"""What the detective finds: the first value that is NaN or infinite, where, and from what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import origins
from glubina.graph.interpreter import evaluated
from glubina.graph.node import Node
from glubina.graph.origins import BACKWARD, UPDATE, Origin

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
    origin: its line and layer, if they are known; of an input those of what reads it first. count:
    how many of `shape` are not finite; index: of the first. operands: what went in. name: of a
    parameter. leads_to: of an infinity the NaN that comes of it. cause: of a NaN the infinity that
    was given, as a mask of -inf is on purpose, and of which it comes.
    """

    kind: str
    operation: str
    origin: Origin | None
    shape: tuple[int, ...]
    count: int
    index: tuple[int, ...]
    operands: tuple[Operand, ...]
    name: str = ""
    leads_to: Finding | None = None
    cause: Finding | None = None

    @property
    def stage(self) -> str:
        """Where in the step: "forward", "backward", "update", or "input" for data and weights.

        What the update reads first, such as a step size, belongs to that.
        """
        stage = "forward" if self.origin is None else self.origin.stage
        return "input" if self.operation == "input" and stage != UPDATE else stage

    def __str__(self) -> str:
        where = f" at {list(self.index)}" if self.index else ""
        size = int(np.prod(self.shape))
        many = f"{self.count:,} of {size:,} elements, the first{where}" if size > 1 else "its value"
        if self.operation == "input":
            lines = [f"{self.kind} in {self._what} before the step began: {many}"]
            lines += [f"  first read by {self.origin}"] if self.origin is not None else []
        else:
            stage = _STAGES.get(self.stage, "the forward pass")
            lines = [f"{self.kind} first comes up in {stage}, in {self.operation}: {many}"]
            lines += [f"  from {self.origin}"] if self.origin is not None else []
        lines += [f"  went in: {operand}" for operand in self.operands]
        if self.leads_to is not None:
            text = str(self.leads_to).replace(" first comes up", "", 1)
            lines.append("  it leads to " + text.replace("\n", "\n  "))
        if self.cause is not None:
            lines.append("  the infinity in it: " + str(self.cause).replace("\n", "\n  "))
        return "\n".join(lines)

    @property
    def _what(self) -> str:
        """The input in words."""
        shape = "×".join(map(str, self.shape)) or "scalar"
        unknown = "an input of the step (data, or a tensor from outside)"
        if self.stage == UPDATE:
            unknown = "an input of the update (a step size, a moment, a weight decay)"
        return f"{self.name or unknown} ({shape})"


# -- the search -----------------------------------------------------------------------------------


def _status(value: Array) -> int:
    if value.dtype.kind != "f" or np.isfinite(value).all():
        return 0
    return _NAN if np.isnan(value).any() else _INFINITE


def investigate(
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
    readers = _readers(status)
    found = {
        node: _finding(node, value, arrays, watch.of(readers.get(node, node)), name)
        for node, value, arrays in evaluated([first], bindings)
        if node is first or node in causes
    }
    finding = found[first]
    if finding.kind != "NaN":
        return finding
    for cause in sorted((n for n in found if n in causes), key=lambda n: not n.sources):
        if cause.sources or not _masks(cause, bindings):
            return replace(found[cause], leads_to=finding)
        return replace(finding, cause=found[cause])
    return finding


def _masks(leaf: Node, bindings: Bindings) -> bool:
    """Whether the infinities of an input are those of a mask."""
    value = bindings.get(leaf)
    return value is None or not np.isposinf(value).any()


def _readers(order: Iterable[Node]) -> dict[Node, Node]:
    """For each input the first node that does something with it."""
    found: dict[Node, Node] = {}
    forms: dict[Node, Node] = {}  # what only has another form of an input
    for node in order:
        for source in node.sources:
            leaf = forms.get(source, source)
            if leaf.sources:
                continue
            if node.op.cost:
                found.setdefault(leaf, node)
            else:
                forms[node] = leaf
    return found


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
    origin: Origin | None,
    name: Callable[[Node], str],
) -> Finding:
    nan = bool(np.isnan(value).any())
    bad = np.isnan(value) if nan else ~np.isfinite(value)
    index = _first(bad)
    there = node.op.family == "elementwise"  # whose elements correspond
    operands = [
        _operand(name(source), array, index if there and array.shape == value.shape else None)
        for source, array in zip(node.sources, arrays, strict=True)
    ]
    return Finding(
        kind="NaN" if nan else "infinity",
        operation=node.op.name if node.sources else "input",
        origin=origin,
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


def unexplained(node: Node, value: Array, watch: origins.Origins) -> Finding:
    """For a value that is NaN only in the kernels' order of adding up."""
    bad = np.isnan(value)
    count = int(bad.sum())
    return Finding("NaN", node.op.name, watch.of(node), node.shape, count, _first(bad), ())
