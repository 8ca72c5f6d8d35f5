"""The loop: a body graph that is run once per step, with state carried from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, GraphError, ShapeError
from glubina.graph.node import (
    Array,
    DType,
    Node,
    Primitive,
    Shape,
    Typed,
    make,
    rebuild,
    remake,
    topological,
)


class ParameterAttributes(NamedTuple):
    """Which source of the loop a body reads here, and its shape and dtype inside the body."""

    number: int
    shape: Shape
    dtype: str


def _parameter_value(a: ParameterAttributes) -> Array:
    raise ValueError("a loop's parameter has no value of its own: bind one to it")


PARAMETER = Primitive(
    "parameter",
    "source",
    r"p_i",
    lambda sources, a: (a.shape, np.dtype(a.dtype)),
    _parameter_value,
)


def parameter(number: int, shape: Shape, dtype: DType) -> Node:
    """What a body reads from the loop's source of this number.

    Unlike inputs, equal parameters are the same node, so that equal bodies are.
    """
    return make(PARAMETER, (), ParameterAttributes(number, shape, dtype.name))


class Loop(NamedTuple):
    """What all results of one loop have in common, besides the sources.

    nexts: per state, the node of the body that is its value after a step.
    invariants: how many sources are the same at every step. They come first; then the states'
        initial values; the others are sequences, of which step t reads x[t].
    steps: how many steps there are.
    reverse: whether t runs from the last step to the first.
    """

    nexts: tuple[Node, ...]
    invariants: int
    steps: int
    reverse: bool

    @property
    def sequences(self) -> int:
        """The number of the first source that is a sequence."""
        return self.invariants + len(self.nexts)


class ScanAttributes(NamedTuple):
    """A loop, and which of its results this is.

    result: the number of a state, for its final value; or a node of the body, for its values at
        all steps, stacked: y[t].
    """

    loop: Loop
    result: int | Node

    def __repr__(self) -> str:
        """Canonical text: equal for equal loops, in any process."""
        loop, roots = self.loop, list(self.loop.nexts)
        if isinstance(self.result, Node):
            roots.append(self.result)
        numbers: dict[Node, int] = {}
        lines = []
        for node in topological(roots):
            numbers[node] = len(numbers)
            sources = [numbers[s] for s in node.sources]
            lines.append(f"{node.op.name} {node.attributes!r} {sources}")
        ends = [numbers[node] for node in roots]
        plain = loop.invariants, loop.steps, loop.reverse
        kind = "stacked" if isinstance(self.result, Node) else f"final {self.result}"
        return f"loop {plain} {{{'; '.join(lines)}}} {ends} {kind}"


def body_of(node: Node) -> tuple[Node, ...]:
    """The nodes of the body that a result of a loop needs."""
    loop, result = node.attributes
    return (*loop.nexts, result) if isinstance(result, Node) else loop.nexts


# -- shapes ---------------------------------------------------------------------------------------


def _infer(sources: tuple[Node, ...], a: ScanAttributes) -> Typed:
    loop, result = a
    states = len(loop.nexts)
    if loop.sequences > len(sources):
        raise ShapeError(f"scan: {loop.sequences} sources and more are needed, got {len(sources)}")
    for i, x in enumerate(sources[loop.sequences :]):
        if not x.shape or x.shape[0] != loop.steps:
            raise ShapeError(f"scan: sequence {i} of shape {x.shape} for {loop.steps} steps")
    for i, (first, following) in enumerate(
        zip(sources[loop.invariants : loop.sequences], loop.nexts, strict=True)
    ):
        if first.shape != following.shape:
            raise ShapeError(
                f"scan: state {i} begins with shape {first.shape}, but has shape "
                f"{following.shape} after a step"
            )
        if first.dtype != following.dtype:
            raise DTypeError(
                f"scan: state {i} begins as {first.dtype}, but is {following.dtype} after a step"
            )
    roots = (*loop.nexts, result) if isinstance(result, Node) else loop.nexts
    _check_parameters(roots, sources, loop)
    if isinstance(result, Node):
        return (loop.steps, *result.shape), result.dtype
    if not 0 <= result < states:
        raise GraphError(f"scan: there is no state {result}, of {states}")
    return loop.nexts[result].shape, loop.nexts[result].dtype


def _check_parameters(roots: Sequence[Node], sources: Sequence[Node], loop: Loop) -> None:
    """The body reads what the sources are."""
    for node in topological(roots):
        if node.op.name == "input":
            raise GraphError("scan: a body reads its parameters, never an input from outside")
        if node.op is not PARAMETER:
            continue
        number = node.attributes.number
        if number >= len(sources):
            raise ShapeError(f"scan: the body reads source {number}, of {len(sources)}")
        shape, dtype = inside(sources[number], number, loop)
        if (shape, dtype) != (node.shape, node.dtype):
            raise ShapeError(
                f"scan: the body reads source {number} as {node.dtype} {node.shape}, it is "
                f"{dtype} {shape}"
            )


def inside(source: Node, number: int, loop: Loop) -> Typed:
    """The shape and dtype that a source has inside the body."""
    return source.shape[1:] if number >= loop.sequences else source.shape, source.dtype


# -- meaning --------------------------------------------------------------------------------------


def _value(a: ScanAttributes, *arrays: Array) -> Array:
    from glubina.graph.interpreter import interpret  # which knows the primitives, and so this one

    loop, result = a
    stacked = isinstance(result, Node)
    roots = [*loop.nexts, result] if isinstance(result, Node) else list(loop.nexts)
    reads = [node for node in topological(roots) if node.op is PARAMETER]
    states = list(arrays[loop.invariants : loop.sequences])
    rows: dict[int, Array] = {}
    for t in reversed(range(loop.steps)) if loop.reverse else range(loop.steps):
        now = [*arrays[: loop.invariants], *states]
        now += [np.asarray(x[t]) for x in arrays[loop.sequences :]]
        found = interpret(roots, {p: now[p.attributes.number] for p in reads})
        states = found[: len(states)]
        if stacked:
            rows[t] = found[-1]
    if not isinstance(result, Node):
        return states[result]
    if not rows:
        return np.zeros((0, *result.shape), result.dtype)
    return np.stack([rows[t] for t in range(loop.steps)])


def _derivative(node: Node, gradient: Node) -> Sequence[Node | None]:
    return _derivatives([node], [gradient])


def _derivatives(nodes: Sequence[Node], gradients: Sequence[Node]) -> Sequence[Node | None]:
    from glubina.graph.scan_derivative import derivatives  # which is written with this primitive

    return derivatives(nodes, gradients)


SCAN = Primitive(
    "scan",
    "control",
    r"s_{t+1}, y_t = f(s_t, x_t)",
    _infer,
    _value,
    _derivative,
    together=_derivatives,
)


def result(loop: Loop, sources: Sequence[Node], which: int | Node) -> Node:
    """One result of a loop: the final value of a state, or a body's node at all steps."""
    return make(SCAN, tuple(sources), ScanAttributes(loop, which))


Body = Callable[[Sequence[Node], Sequence[Node], Sequence[Node]], tuple[Sequence[Node], ...]]


def scan(
    body: Body,
    initial: Sequence[Node],
    sequences: Sequence[Node] = (),
    invariants: Sequence[Node] = (),
    *,
    steps: int | None = None,
    reverse: bool = False,
) -> tuple[list[Node], list[Node]]:
    """Run a body once per step: the final states, and what it gives at each step, stacked.

    body: (states, the sequences' slices x[t], invariants) -> (next states, outputs), nodes all.
        It reads nothing else.
    initial: the states before the first step. sequences: arrays [steps, ...].
    steps: needed where there is no sequence. reverse: begin with the last step.

    s_{t+1}, y_t = f(s_t, x_t, w). ShapeError where a state changes its shape, or sequences
    differ in length.
    """
    if steps is None:
        if not sequences:
            raise ShapeError("scan: without sequences the number of steps must be given")
        steps = sequences[0].shape[0] if sequences[0].shape else 0
    sources = (*invariants, *initial, *sequences)
    shell = Loop(tuple(initial), len(invariants), steps, reverse)
    read = [parameter(i, *inside(source, i, shell)) for i, source in enumerate(sources)]
    cut = len(invariants), len(invariants) + len(initial)
    nexts, outputs = body(read[cut[0] : cut[1]], read[cut[1] :], read[: cut[0]])
    if len(nexts) != len(initial):
        raise ShapeError(f"scan: the body gives {len(nexts)} states for {len(initial)}")
    roots = _plain((*nexts, *outputs))
    loop = shell._replace(nexts=tuple(roots[: len(nexts)]))
    finals = [result(loop, sources, i) for i in range(len(nexts))]
    return finals, [result(loop, sources, node) for node in roots[len(nexts) :]]


def _plain(roots: Iterable[Node]) -> list[Node]:
    """The body with formulas opened and derivatives worked out; nothing in it waits."""
    from glubina.graph.autodiff import expand

    return rebuild(
        expand(list(roots)),
        lambda node, sources: sources[0] if node.op.name == "after" else remake(node, sources),
    )


def replaced(roots: Sequence[Node], table: Mapping[Node, Node]) -> list[Node]:
    """The roots with some nodes replaced by others; what is below those is forgotten."""
    done = dict(table)
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if node in done:
            continue
        if ready:
            done[node] = remake(node, tuple([done[s] for s in node.sources]))
        else:
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(node.sources))
    return [done[root] for root in roots]


def parameters_of(roots: Sequence[Node]) -> list[Node]:
    """The parameters that a body reads."""
    return [node for node in topological(roots) if node.op is PARAMETER]
