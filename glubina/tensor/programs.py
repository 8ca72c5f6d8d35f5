"""What runs a structure: the interpreter for a tiny one, a compiled program for any other."""

from __future__ import annotations

import os
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glubina.graph import origins
from glubina.graph.autodiff import expand
from glubina.graph.node import Node, topological
from glubina.graph.ops.marker import GRADIENT
from glubina.graph.ops.source import INPUT
from glubina.graph.simplify import simplify
from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import OutOfMemoryError
from glubina.tensor import locks
from glubina.tensor.cell import Leaf, buffer_of_number, leaf_of_buffer
from glubina.tensor.errors import IndexRangeError, TraceError
from glubina.tensor.ranges import Sites, located
from glubina.tensor.recent import Recent
from glubina.tensor.segments import Segments, has_calls
from glubina.tensor.structure import Key, substituted, with_fresh_leaves, without_variables

if TYPE_CHECKING:
    from glubina.runtime.plan import Plan

# A graph with at most so many nodes and elements in all is quicker in the interpreter than a
# program is made. (Decided by structure alone, so that the same graph always gives the same bits.)
FEW_NODES = 24
FEW_ELEMENTS = 16384
FEW_SCALARS = 4096
_COST_OF_GRADIENT = 8


class Compiled:
    """How to work out the outputs of one structure, again and again with other values.

    inputs: for each input of the program the number of the leaf (in the structure's order) that
        it is.
    replaces: for each output the number of the input whose value it replaces, or -1.
    takes: as `replaces`, where the program can overwrite that input's buffer, else -1.
    sizes: the bytes of each output. graph: outputs, inputs and `replaces`, for those who look.
    plan: of the compiled program; None for the interpreter, and with calls of Python functions.
    """

    def __init__(
        self,
        outputs: Sequence[Node],
        leaves: Sequence[Leaf],
        updates: Sequence[int],
        merge: bool = True,
    ) -> None:
        buffers = [id(leaf.buffer) for leaf in leaves if leaf.buffer is not None]
        shared = merge and len(set(buffers)) < len(buffers)
        # derivatives by one of two leaves with one buffer: told apart before they are merged
        plain = without_variables(expand(outputs) if shared else outputs)
        graph, inputs, self.inputs = with_fresh_leaves(plain, leaves, merge)
        places = {leaf: place for place, leaf in enumerate(self.inputs)}
        self.replaces = [places.get(number, -1) for number in updates]
        self.sizes = [node.size * node.dtype.itemsize for node in outputs]
        self.shapes = [(node.shape, node.dtype) for node in outputs]
        # what was recorded on purpose runs often enough to deserve a program (those do not merge)
        self.interpreted = backend() == "interpreter" or (merge and is_tiny(plain))
        self.graph = graph, inputs, self.replaces
        self.plan: Plan | None = None
        self._steps: _Steps | Segments | None = None
        self.takes = [-1] * len(outputs)
        if self.interpreted:
            self._steps = _Steps(simplify(expand(graph)), inputs)
        elif has_calls(graph):
            self._steps = Segments(simplify(expand(graph)), inputs)
        else:
            from glubina.runtime.build import build
            from glubina.runtime.demand import require

            try:
                self._program = build(graph, inputs, self.replaces, require)
            except OutOfMemoryError as error:
                if merge:
                    _explain(error, graph, inputs, self.replaces)
                raise
            self.plan = self._program.plan
            self.takes = list(self.plan.donated)

    @property
    def weight(self) -> int:
        """About how many bytes it takes itself, without what it computes."""
        graph = _NODE * len(topological(self.graph[0]))
        return graph if self.plan is None else graph + self._program.weight

    def run(
        self, inputs: Sequence[Buffer], outputs: Sequence[Buffer], sites: Sites | None = None
    ) -> None:
        """Read the inputs' buffers, fill the outputs'. sites: for errors, see `ranges.located`."""
        for watcher in watchers:
            watcher(self)
        try:
            (self._steps or self._program).run(inputs, outputs)
        except (RuntimeError, IndexRangeError) as error:
            self._raise_located(error, inputs, sites)
            raise

    def with_values(self, inputs: Sequence[Buffer]) -> list[Node]:
        """The outputs as a graph of their own on the inputs' values."""
        leaves = [leaf_of_buffer(b, n.shape, n.dtype) for b, n in zip(inputs, self.graph[1])]
        return substituted(self.graph[0], dict(zip(self.graph[1], leaves)))

    def finished(self, error: BaseException) -> int:
        """How many steps were done when Ctrl-C came, if nothing is left to do after them."""
        return 0 if self.plan is None else getattr(error, "steps_done", 0)

    def run_many(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        steps: int,
        seconds: float | None = None,
        sites: Sites | None = None,
    ) -> int:
        """Run again and again on the same buffers; returns the number of steps done."""
        if self._steps is not None:
            for _ in range(steps):
                self.run(inputs, outputs, sites)
            return steps
        try:
            return self._program.run_many(inputs, outputs, steps, seconds=seconds)
        except RuntimeError as error:
            self._raise_located(error, inputs, sites)
            raise

    def _raise_located(
        self, error: Exception, inputs: Sequence[Buffer], sites: Sites | None
    ) -> None:
        """Raise what tells the person which index is wrong, if that is what the error is about."""
        if not (isinstance(error, IndexRangeError) or _is_range(error)):
            return
        found = located(self.graph[0], self.graph[1], inputs, sites)
        if found is not None:
            raise found from None
        _raise_translated(error)


def _explain(
    error: OutOfMemoryError, graph: Sequence[Node], inputs: Sequence[Node], updates: Sequence[int]
) -> None:
    """Write into the error what of a graph takes the memory."""
    from glubina.codegen.target import host
    from glubina.runtime.build import translate
    from glubina.tensor.shortage import explain_graph

    explain_graph(error, translate(graph, inputs, updates, host()))


watchers: list[Callable[[Compiled], None]] = []
"""Called before each run; see `glubina.tensor.debug`."""

MOST_BYTES = 128 << 20
"""Each of the two generations of structures that are remembered takes no more than this."""

_NODE = 1000  # bytes of a node of a graph with all that hangs on it
_WORD = 24  # bytes of an entry of a key

_compiled: Recent[Compiled] = Recent(MOST_BYTES, lambda key, one: one.weight + key_bytes(key))
# also those that a recording still holds: they are not made a second time
_alive: weakref.WeakValueDictionary[Key, Compiled] = weakref.WeakValueDictionary()
_made = Counter({"structures": 0, "programs": 0})
_places: Counter[origins.Place] = Counter()
_MANY = 32
_MOST_PLACES = 4096  # cells of a notebook are new lines each time they are run


def key_bytes(key: Any) -> int:
    """About how many bytes a structure's key takes."""
    return sum(map(key_bytes, key)) + _WORD if isinstance(key, tuple) else _WORD


def find(
    key: Key,
    outputs: Sequence[Node],
    leaves: Sequence[Leaf],
    updates: Sequence[int],
    merge: bool = True,
) -> Compiled:
    """What runs this structure, made when the structure is new."""
    compiled = _compiled.young.get(key)
    return _sought(key, outputs, leaves, updates, merge) if compiled is None else compiled


def _sought(
    key: Key, outputs: Sequence[Node], leaves: Sequence[Leaf], updates: Sequence[int], merge: bool
) -> Compiled:
    """What runs a structure that was not asked for lately."""
    with locks.work:
        compiled = _compiled.get(key)
        if compiled is not None:
            return compiled
        compiled = _alive.get(key)
        if compiled is None:
            with origins.passing():
                compiled = Compiled(outputs, leaves, updates, merge)
            _made["structures"] += 1
            if not compiled.interpreted:
                _made["programs"] += 1
                _count_place()
            _alive[key] = compiled
        _compiled.put(key, compiled)
    return compiled


def programs_compiled() -> int:
    """How many programs this process has made (structures for the interpreter do not count).

    One that was forgotten and made again (see `MOST_BYTES`) counts again.
    """
    return _made["programs"]


def structures_seen() -> int:
    """How many different computations this process has run; see `programs_compiled`."""
    return _made["structures"]


def _count_place() -> None:
    """Warn when one line of the user's code keeps making new programs."""
    place = origins.user_place(sys._getframe())
    if place is None:
        return
    if len(_places) > _MOST_PLACES:
        _places.clear()
    _places[place] += 1
    if _places[place] == _MANY:
        warnings.warn(
            f"{place.file}, line {place.line}, has made {_MANY} different programs: something "
            "changes from step to step, such as shapes, or Python values that decide what is "
            "computed",
            RuntimeWarning,
            stacklevel=2,
        )


def buffer_of(leaf: Leaf) -> Buffer:
    """The leaf's value."""
    buffer = leaf.buffer
    if buffer is None:
        if leaf.number is not None:
            buffer = leaf.buffer = buffer_of_number(leaf.number, leaf.dtype)
            return buffer
        with locks.work:  # another thread may be working it out
            buffer = leaf.buffer
        if buffer is not None:
            return buffer
        if leaf.error is not None:
            raise leaf.error.with_traceback(None)
        raise TraceError(
            "the value of an argument of a compiled function was asked for: while the function "
            "is recorded there is none (and what it keeps outside itself has none afterwards)"
        )
    return buffer


def _is_range(error: Exception) -> bool:
    """Whether a kernel says that an index is out of range."""
    from glubina.codegen.frame import INDEX_OUT_OF_RANGE
    from glubina.runtime.program import ProgramError

    return isinstance(error, ProgramError) and error.code == INDEX_OUT_OF_RANGE


def _raise_translated(error: Any) -> None:
    """Raise what the interpreter would, if the error is what a kernel says instead."""
    if _is_range(error):
        raise IndexRangeError(
            f"index {error.index} is out of range for an axis of {error.value} elements "
            f"(in the kernel {error.label})"
        ) from error


def backend() -> str:
    """What the environment asks for: "interpreter" for NumPy alone, else "native"."""
    asked = os.environ.get("GLUBINA_BACKEND", "native")
    if asked not in ("native", "interpreter"):
        raise ValueError(f"GLUBINA_BACKEND should be native or interpreter, it is {asked!r}")
    return asked


def is_tiny(outputs: Sequence[Node]) -> bool:
    """Whether the graph is small enough for the interpreter."""
    order = topological(outputs)
    nodes = elements = 0
    scalars = True
    for node in order:
        weight = _COST_OF_GRADIENT if node.op is GRADIENT else 1
        size = node.size
        scalars &= size == 1
        nodes += weight
        elements += weight * size
    if scalars:
        return nodes <= FEW_SCALARS
    return nodes <= FEW_NODES and elements <= FEW_ELEMENTS


class _Steps:
    """A graph as a list of NumPy calls on numbered values."""

    def __init__(self, outputs: Sequence[Node], inputs: Sequence[Node]) -> None:
        numbers = {node: i for i, node in enumerate(inputs)}
        self._inputs = [(node.shape, node.dtype) for node in inputs]
        self._calls: list[tuple[Any, Any, tuple[int, ...], int]] = []
        for node in topological(outputs):
            if node.op is INPUT:
                continue
            sources = tuple([numbers[s] for s in node.sources])
            numbers[node] = len(numbers)
            self._calls.append((node.op.numpy, node.attributes, sources, numbers[node]))
        self._count = len(numbers)
        self._outputs = [(numbers[node], node.shape, node.dtype) for node in outputs]

    def run(self, inputs: Sequence[Buffer], outputs: Sequence[Buffer]) -> None:
        values: list[Any] = [None] * self._count
        for number, (buffer, (shape, dtype)) in enumerate(zip(inputs, self._inputs, strict=True)):
            values[number] = buffer.array(shape, dtype)
        with np.errstate(all="ignore"):
            for function, attributes, sources, target in self._calls:
                values[target] = function(attributes, *[values[s] for s in sources])
        for buffer, (number, shape, dtype) in zip(outputs, self._outputs, strict=True):
            np.copyto(buffer.array(shape, dtype), values[number])
