"""A derivative in words: the chain rule written out, in LaTeX and in numbers, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import Writer, number
from glubina.explain.influence import count, influence
from glubina.explain.local import value_of_leaf
from glubina.explain.view import described
from glubina.graph import ops
from glubina.graph.errors import GraphError
from glubina.graph.interpreter import interpret
from glubina.graph.node import Node, make, rebuild, remake, topological
from glubina.graph.ops import opened
from glubina.graph.ops.hook import without_hooks, worked_out_before
from glubina.graph.ops.source import CONSTANT, INPUT

if TYPE_CHECKING:
    from glubina.explain.computation import Explanation
    from glubina.explain.vertex import Edge, Vertex

Array = NDArray[Any]

_MOST_PATHS = 12
_DOUBLE = np.dtype(np.float64)


@dataclass(frozen=True, repr=False)
class Derivation:
    """How a derivative comes about.

    vertex: by which; lines: of the chain rule, as text; latex: the same as one `align*` block.
    value: the derivative. index: of the element that was checked. difference: its finite
    difference (Q(w + h) − Q(w − h)) / 2h in double precision, with the step h.
    """

    vertex: Vertex
    lines: tuple[str, ...]
    latex: str
    value: Array
    index: tuple[int, ...]
    difference: float
    step: float

    def __str__(self) -> str:
        place = f" at {list(self.index)}" if self.index else ""
        exact = number(self.value[self.index])
        if np.isnan(self.step):
            finite = np.isfinite(self.vertex.value[self.index])
            why = "a layer written in NumPy is on the way" if finite else "the value is not finite"
            return "\n".join([*self.lines, f"not checked: {why}"])
        check = f"check{place}: {exact} by the chain rule, "
        check += f"{number(self.difference)} by a difference with h = {number(self.step)}"
        return "\n".join([*self.lines, check])

    __repr__ = __str__

    def _repr_latex_(self) -> str:
        return self.latex


def derivation(explanation: Explanation, which: Any) -> Derivation:
    """The derivative of the output by one vertex, written out.

    Scalars: one product for each path, with the local derivatives as formulas and as numbers.
    Tensors: the derivative δ of each vertex on the way, from the output backwards. Raises
    ExplainError for what has no derivative.
    """
    vertex = explanation[which]
    value = vertex.derivative
    if value is None:
        raise ExplainError(f"{vertex.name} is {vertex.dtype.name}: there is no derivative by it")
    if not value.size:
        raise ExplainError(f"{vertex.name} has the shape {vertex.shape}: no element to derive by")
    lines, latex = _expanded(explanation, vertex)
    index = tuple(int(i) for i in np.unravel_index(int(np.abs(value).argmax()), value.shape))
    difference, step = _difference(explanation, vertex, index)
    block = "\\begin{align*}\n" + " \\\\\n".join(latex) + "\n\\end{align*}"
    return Derivation(vertex, tuple(lines), block, value, index, difference, step)


def _expanded(explanation: Explanation, vertex: Vertex) -> tuple[list[str], list[str]]:
    if vertex is explanation.output:
        return ([f"∂{vertex.name}/∂{vertex.name} = 1"], ["1"])
    ways = influence(explanation, vertex).paths if _are_few(explanation, vertex) else ()
    scalar = all(e.elementwise and e.target.value.size == 1 for way in ways for e in way.edges)
    if ways and scalar:
        return _products(explanation, vertex, [way.edges for way in ways])
    return _backward(explanation, vertex)


def _are_few(explanation: Explanation, vertex: Vertex) -> bool:
    return count(vertex, explanation.output) <= _MOST_PATHS


# -- scalars --------------------------------------------------------------------------------------


def _products(
    explanation: Explanation, vertex: Vertex, ways: list[tuple[Edge, ...]]
) -> tuple[list[str], list[str]]:
    output, found = explanation.output, vertex.derivative
    assert found is not None
    result = number(found.reshape(()))
    tex = Writer({}, latex=True)
    head = f"∂{output.name}/∂{vertex.name}"
    symbols = " + ".join(
        " · ".join(f"∂{e.target.name}/∂{e.source.name}" for e in way[::-1]) for way in ways
    )
    formulas = " + ".join(" · ".join(_bracket(e.formula) for e in way[::-1]) for way in ways)
    figures = " + ".join(" · ".join(_figure(e) for e in way[::-1]) for way in ways)
    lines = [f"{head} = {symbols}", f"  = {formulas}", f"  = {figures}", f"  = {result}"]

    def partial(above: str, below: str) -> str:
        return rf"\frac{{\partial {tex.name(above)}}}{{\partial {tex.name(below)}}}"

    symbols = " + ".join(
        r" \cdot ".join(partial(e.target.name, e.source.name) for e in way[::-1]) for way in ways
    )
    formulas = " + ".join(
        r" \cdot ".join(_bracket(e.latex, latex=True) for e in way[::-1]) for way in ways
    )
    figures = " + ".join(r" \cdot ".join(_figure(e) for e in way[::-1]) for way in ways)
    latex = [
        f"{partial(output.name, vertex.name)} &= {symbols}",
        f"&= {formulas}",
        f"&= {figures}",
        f"&= {result}",
    ]
    return lines, latex


def _bracket(formula: str, *, latex: bool = False) -> str:
    body = formula.lstrip("-−")
    plain = body == formula and not any(sign in body for sign in (" + ", " − ", " - ", " / "))
    if plain:
        return formula
    return rf"\left({formula}\right)" if latex else f"({formula})"


def _figure(edge: Edge) -> str:
    assert edge.local is not None
    text = number(edge.local.reshape(()))
    return f"({text})" if text.startswith("-") else text


# -- tensors --------------------------------------------------------------------------------------


def _backward(explanation: Explanation, vertex: Vertex) -> tuple[list[str], list[str]]:
    """δ of each vertex between the output and the one that is asked for, output first."""
    reached = {vertex}
    for later in explanation.nodes:
        if any(e.smooth and e.source in reached for e in later.incoming):
            reached.add(later)
    output = explanation.output
    tex = Writer({}, latex=True)
    lines = [f"δ({output.name}) = ∂{output.name}/∂{output.name} = 1"]
    latex = [rf"\delta_{{{tex.name(output.name)}}} &= 1"]
    for current in reversed(explanation.nodes):
        if current not in reached or current is output:
            continue
        edges = [e for e in current.outgoing if e.smooth and e.target in reached]
        terms = [_term(e) for e in edges]
        shown = current.derivative
        numbers = "" if shown is None else f" = {described(shown)}"
        lines.append(f"δ({current.name}) = {' + '.join(terms)}{numbers}")
        name = tex.name(current.name)
        latex.append(rf"\delta_{{{name}}} &= {' + '.join(_latex_term(e, tex) for e in edges)}")
    lines[-1] = lines[-1].replace(f"δ({vertex.name})", f"∂{output.name}/∂{vertex.name}", 1)
    return lines, latex


def _term(edge: Edge) -> str:
    above = f"δ({edge.target.name})"
    if edge.elementwise:
        formula = edge.formula
        return above if formula == "1" else f"{_bracket(formula)}·{above}"
    return edge.formula.replace("δ", above)


def _latex_term(edge: Edge, tex: Writer) -> str:
    above = rf"\delta_{{{tex.name(edge.target.name)}}}"
    if edge.elementwise:
        formula = edge.latex
        return above if formula == "1" else rf"{_bracket(formula, latex=True)} \odot {above}"
    return edge.latex.replace(r"\delta", above)


# -- the check ------------------------------------------------------------------------------------


def _difference(
    explanation: Explanation, vertex: Vertex, index: tuple[int, ...]
) -> tuple[float, float]:
    """The change of the output's sum with one element, by central differences."""
    root = explanation.output.node
    value = np.asarray(vertex.value)
    if not np.isfinite(value[index]) or any(map(worked_out_before, topological([root]))):
        return float("nan"), float("nan")
    step = 1e-5 * max(1.0, abs(float(value[index])))
    try:
        plain, table = _in_double(root, vertex.node)
    except GraphError:  # an operation that is there for its own precision only
        plain, table = _as_it_is(root, vertex.node)
        step = 1e-2 * max(1.0, abs(float(value[index])))
    own = table[vertex.node]
    results = []
    for sign in (1, -1):
        moved = value.astype(own.dtype).copy()
        moved[index] += sign * step
        bindings = {
            new: moved if new is own else value_of_leaf(old).astype(new.dtype)
            for old, new in table.items()
            if new is own or not old.sources
        }
        results.append(float(np.sum(interpret([plain], bindings)[0], dtype=np.float64)))
    return (results[0] - results[1]) / (2 * step), step


def _as_it_is(root: Node, leaf: Node) -> tuple[Node, dict[Node, Node]]:
    """The graph with an input in the place of a vertex, and what became of its inputs."""
    table: dict[Node, Node] = {}

    def change(node: Node, sources: tuple[Node, ...]) -> Node:
        if node is leaf or node.op is INPUT:
            table[node] = ops.input(node.shape, node.dtype)
            return table[node]
        return remake(node, sources)

    (result,) = rebuild(_opened_below(root, leaf), change)
    return result, table


def _in_double(root: Node, leaf: Node) -> tuple[Node, dict[Node, Node]]:
    """As `_as_it_is`, with every floating number in double precision."""
    table: dict[Node, Node] = {}

    def change(node: Node, sources: tuple[Node, ...]) -> Node:
        floating = node.dtype.kind == "f"
        if node is leaf or node.op is INPUT:
            table[node] = ops.input(node.shape, _DOUBLE if floating else node.dtype)
            return table[node]
        if node.op is CONSTANT and floating:
            return ops.constant(node.op.numpy(node.attributes), _DOUBLE)
        if node.op.name == "cast":
            return ops.cast(sources[0], _DOUBLE if floating else node.dtype)
        return make(node.op, sources, node.attributes)

    (result,) = rebuild(_opened_below(root, leaf), change)
    return result, table


def _opened_below(root: Node, leaf: Node) -> list[Node]:
    """The graph in primitives; a vertex in it stays the node that it is."""
    kept: Mapping[Node, Node] = {}
    if leaf.sources:
        mark = ops.input(leaf.shape, leaf.dtype)
        (marked,) = rebuild([root], lambda n, s: mark if n is leaf else remake(n, s))
        kept = {mark: leaf}
        root = marked
    (result,) = without_hooks(opened([root]))  # a hand-written derivative changes no value
    if not kept:
        return [result]
    return rebuild([result], lambda n, s: kept.get(n) or remake(n, s))
