"""The derivative of one vertex by those that it is made of, from the engine's own derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.formulas import Writer, bare, shortened
from glubina.graph.autodiff import backward, expand
from glubina.graph.interpreter import interpret
from glubina.graph.node import Node, rebuild, remake, topological
from glubina.graph.ops import add, full_like, input, opened
from glubina.graph.ops.hook import arguments_of
from glubina.graph.simplify import simplify
from glubina.tensor.base import wrap
from glubina.tensor.cell import Leaf
from glubina.tensor.programs import buffer_of

Array = NDArray[Any]

_MOST = 1 << 24  # elements of a Jacobian matrix


def value_of_leaf(leaf: Node) -> Array:
    """What an input of the user's graph holds; worked out now if it is pending."""
    if type(leaf) is Leaf and leaf.buffer is None and leaf.origin is not None:
        wrap(leaf).realise()
    return buffer_of(leaf).array(leaf.shape, leaf.dtype)  # type: ignore[arg-type]


class Local:
    """A vertex's node as a function of its sources, each of them an input of its own.

    value: gives the value of a node.
    """

    def __init__(
        self,
        node: Node,
        sources: Sequence[Node],
        names: Mapping[Node, str],
        value: Callable[[Node], Array],
    ) -> None:
        self.node = node
        self.sources = list(sources)
        self._names = names
        self._value = value

    @cached_property
    def _own(self) -> tuple[Node, ...] | None:
        """The arguments of a function whose derivative was written by hand."""
        return arguments_of(self.node)

    @cached_property
    def _inputs(self) -> dict[Node, Node]:
        return {source: input(source.shape, source.dtype) for source in self.sources}

    @cached_property
    def _result(self) -> Node:
        """The node over its inputs, opened to primitives; itself if its derivative is its own."""
        if self._own is not None:
            return self.node
        return opened([remake(self.node, tuple([self._replaced(s) for s in self.node.sources]))])[0]

    def _replaced(self, source: Node) -> Node:
        table = self._inputs
        below = bare(source, table)
        if below not in table:
            return source
        return _rebuilt_chain(source, below, table[below])

    @cached_property
    def _seed(self) -> Node:
        return input(self._result.shape, self._result.dtype)

    @cached_property
    def _pulled(self) -> dict[Node, Node]:
        """For each source its derivative, given the seed as that of the node."""
        if self._result.dtype.kind != "f":
            return {source: full_like(source, 0) for source in self.sources}
        if self._own is not None:
            found = [self._by_hand(source) for source in self.sources]
        else:
            inputs = [self._inputs[source] for source in self.sources]
            found = backward({self._result: self._seed}, inputs)
        return dict(zip(self.sources, expand(found), strict=True))

    def _by_hand(self, source: Node) -> Node:
        """What a hand-written derivative gives a source, on the nodes of the user's graph."""
        assert self.node.op.derivative is not None
        answers = self.node.op.derivative(self.node, self._seed)
        total = full_like(source, 0)
        for argument, answer in zip(self.node.sources, answers, strict=True):
            if answer is not None and bare(argument, (source,)) is source:
                (back,) = backward({argument: answer}, [source])
                total = add(total, back)
        return total

    @cached_property
    def elementwise(self) -> bool:
        """Whether nothing but element-wise operations and forms of one size lie in between."""
        return all(
            not n.sources or (n.op.family == "elementwise") for n in topological([self._result])
        ) and all(s.shape == self.node.shape for s in self.sources)

    def _bindings(self, seed: Array) -> dict[Node, Array]:
        values = {self._inputs[source]: self._value(source) for source in self.sources}
        for node in topological([self._result]):
            if not node.sources and node not in values and node.op.name == "input":
                values[node] = value_of_leaf(node)
        return {**values, self._seed: seed}

    def pull(self, source: Node, seed: Array) -> Array:
        """The derivative by a source, given that by the node."""
        return interpret([self._pulled[source]], self._bindings(seed))[0]

    def slopes(self, source: Node) -> Array:
        """The derivative of each element of the node by that of the source in its place."""
        return self.pull(source, np.ones(self.node.shape, self._result.dtype))

    def jacobian(self, source: Node) -> Array:
        """The derivative of every element by every element of a source."""
        rows = math.prod(self.node.shape)
        if rows * math.prod(source.shape) > _MOST:
            raise ExplainError(
                f"the Jacobian matrix of {self.node.shape} by {source.shape} has "
                f"{rows * math.prod(source.shape):,} elements; at most {_MOST:,} are worked out"
            )
        found = []
        for row in range(rows):
            seed = np.zeros(rows, self._result.dtype)
            seed[row] = 1
            found.append(self.pull(source, seed.reshape(self.node.shape)))
        return np.array(found).reshape(self.node.shape + source.shape)

    def written(self, source: Node, *, latex: bool) -> str:
        """The derivative as a formula: the local one, or what becomes of δ."""
        pulled = self._pulled[source]
        names = {self._inputs[s]: self._names[s] for s in self.sources}
        if self._own is not None:
            names = dict(self._names)
        names[self._result] = self._names[self.node]
        if self.elementwise:
            ones = full_like(self._seed, 1)
            (pulled,) = rebuild([pulled], lambda n, s: ones if n is self._seed else remake(n, s))
        else:
            names[self._seed] = r"\delta" if latex else "δ"
        (pulled,) = simplify([pulled])
        text = Writer(names, latex=latex).derived(pulled)
        if len(text) > (160 if latex else 40):
            below = self._names[source]
            own = self._names[self.node]
            return rf"\partial {own} / \partial {below}" if latex else f"∂{own}/∂{below}"
        return text if latex else shortened(text)


def _rebuilt_chain(node: Node, below: Node, replacement: Node) -> Node:
    """A chain of one-place operations on another node at its end."""
    if node is below:
        return replacement
    source = _rebuilt_chain(node.sources[0], below, replacement)
    return remake(node, (source, *node.sources[1:]))
