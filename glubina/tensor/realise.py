"""Works out what is pending: finds the program for its structure and runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

from glubina.graph.errors import GraphError, IndexRangeError
from glubina.graph.node import DType, Node, Shape
from glubina.graph.ops.host import calls_exist
from glubina.runtime.buffer import Buffer
from glubina.tensor import locks, programs, ranges
from glubina.tensor.anomaly import leaf_values
from glubina.tensor.base import made
from glubina.tensor.cell import Cell, Leaf, leaf_of_buffer, placeholder
from glubina.tensor.mode import mode
from glubina.tensor.recent import Recent
from glubina.tensor.segments import has_calls
from glubina.tensor.structure import Key, structure

# What takes a value: a leaf whose origin is pending, or a cell with a pending node.
_Target = Leaf | Cell


def _pending(cells: Iterable[Cell]) -> list[_Target]:
    """The targets of those cells that have no value."""
    targets: list[_Target] = []
    for cell in cells:
        if cell.value() is None:
            node = cell.node
            targets.append(node if type(node) is Leaf else cell)
    return targets


def _node(target: _Target) -> Node:
    if type(target) is Leaf:
        assert target.origin is not None
        return target.origin
    return target.node  # type: ignore[union-attr]


def realise(cells: Iterable[Cell]) -> None:
    """Work out the values of cells, all pending ones in one program.

    Raises the error of what one of them depends on and could not be worked out before.
    """
    cells = [cell for cell in cells if cell.value() is None]
    if cells:
        with locks.work:  # another thread may be at work on some of them
            for error in _realised(cells):
                raise error.with_traceback(None)


def _realised(cells: Iterable[Cell], alone: bool = False) -> list[BaseException]:
    """As `realise`; the earlier errors of those that depend on what could not be worked out.

    alone: without anything else that is pending.
    """
    cells = dict.fromkeys(cells)
    targets = _pending(cells)
    if not targets:
        return []
    if mode.trace is not None:
        _realise_constants(targets)
        mode.trace.own.update(cells)
        return []
    others = [] if alone else _pending(made.alive())
    asked = set(map(id, targets))
    # updates of state have to run some time: now, together with what they share work with
    targets += [t for t in others if t.before is not None and id(t) not in asked]
    spoiled = _realise(targets, others)
    return [error for target, error in spoiled.items() if target in asked] if spoiled else []


def realise_pending() -> None:
    """Work out everything that is still pending and that someone holds.

    What cannot be worked out says so to who asks for it: a traceback may hold it, and nobody else.
    """
    with locks.work:
        _realise_pending(made.alive())


def realise_alone(cells: Iterable[Cell]) -> None:
    """Work out the values of cells and nothing else that is pending.

    What is made of them goes on waiting, to be worked out together with what is made of it.
    """
    with locks.work:
        for error in _realised(cells, alone=True):
            raise error.with_traceback(None)


def _realise_pending(cells: list[Cell]) -> None:
    calling = [c for c in cells if has_calls([c.node])] if calls_exist() else []
    apart = set(map(id, calling))  # what a Python function raises harms nothing else
    for group in ([c for c in cells if id(c) not in apart], calling):
        try:
            _realised(group)
        except GraphError:
            for cell in group:
                with suppress(GraphError):
                    _realised([cell])


def _realise_constants(targets: list[_Target]) -> None:
    """While a function is recorded only what depends on nothing can be worked out."""
    assert mode.trace is not None
    for leaf in structure([_node(t) for t in targets]).leaves:
        if leaf.number is None and mode.trace.reads.get(leaf) not in mode.trace.own:
            mode.trace.refuse()
    _realise(targets, [])


def _realise(targets: list[_Target], others: Sequence[_Target]) -> dict[int, BaseException]:
    """Run the program. Of targets that depend on what failed before: their errors, by `id`."""
    nodes = [_node(t) for t in targets]
    found = structure(nodes)
    if found.pending:
        _realise([*found.pending], others)
        targets = [t for t in targets if type(t) is Cell or t.origin is not None]  # type: ignore[union-attr]
        nodes = [_node(t) for t in targets]
        found = structure(nodes)
    key: Key = found.key
    more = _within(targets, others, found.numbers)
    if more and _is_welcome(key, numbers := tuple([found.numbers[_node(t)] for t in more])):
        targets, key = targets + more, (*key, numbers)
        nodes += [_node(t) for t in more]
    places = {id(leaf.buffer): i for i, leaf in enumerate(found.leaves)}
    updates = tuple([-1 if t.before is None else places.get(id(t.before), -1) for t in targets])
    compiled = programs.find((key, updates), nodes, found.leaves, updates)
    try:
        inputs = [programs.buffer_of(found.leaves[i]) for i in compiled.inputs]
    except BaseException:
        if all(leaf.error is None for leaf in found.leaves):
            raise
        return _without_spoiled(targets, others)
    del found, nodes  # so that nothing here holds a buffer that may be overwritten
    _run(compiled, targets, inputs)
    return {}


def _without_spoiled(targets: list[_Target], others: Sequence[_Target]) -> dict[int, BaseException]:
    """Give up what depends on something that failed, with the error of that; work out the rest.

    Else one failure would come up again wherever anything is worked out.
    """
    spoiled: dict[int, BaseException] = {}
    healthy = []
    for target in targets:
        leaves = structure([_node(target)]).leaves
        error = next((x.error for x in leaves if x.buffer is None and x.error is not None), None)
        if error is None:
            healthy.append(target)
            continue
        spoiled[id(target)] = error
        before, leaf = target.before, _leaf(target)
        _release([target], [leaf])
        _give_up(leaf, before, error)
    if healthy:
        spoiled |= _realise(healthy, others)
    return spoiled


def _within(
    targets: list[_Target], others: Sequence[_Target], numbers: dict[Node, int]
) -> list[_Target]:
    """Those of the other pending targets that someone holds whose values come up on the way.

    They cost nothing now, and would have to be computed again later.
    """
    found = []
    if others:
        asked = set(map(id, targets))
        for target in others:
            node = target.origin if type(target) is Leaf else target.node  # type: ignore[union-attr]
            if node in numbers and id(target) not in asked and node.sources:
                found.append(target)
    return found


# with more sets of other targets than this, a structure is worked out without them
_MOST_SETS = 4
_MOST_BYTES = 32 << 20  # of them, twice
_sets: Recent[set[Key]] = Recent(_MOST_BYTES, lambda key, _: 2 * programs.key_bytes(key))


def _is_welcome(key: Key, others: Key) -> bool:
    known = _sets.young.get(key)
    if known is None:
        known = _sets.get(key)
        if known is None:
            known = set()
            _sets.put(key, known)
    if others not in known:
        if len(known) >= _MOST_SETS:
            return False
        known.add(others)
    return True


def _held(buffers: list[Buffer]) -> int:
    """References to a buffer that only a list holds, counted as `_destination` counts them."""
    buffer = buffers[0]
    return sys.getrefcount(buffer)


_UNSHARED = _held([Buffer(0)])


def _destination(
    inputs: list[Buffer], take: int, nbytes: int, count: Callable[[object], int] = sys.getrefcount
) -> Buffer:
    """The buffer for an output: the one that it may overwrite, if nobody else holds it."""
    if take >= 0:
        buffer = inputs[take]
        if count(buffer) == _UNSHARED and not buffer.exported:
            return buffer
    return Buffer(nbytes)


def _run(compiled: programs.Compiled, targets: list[_Target], inputs: list[Buffer]) -> None:
    made.differentiated = 0
    detector = mode.detector
    nodes = [] if detector is None else [_node(target) for target in targets]
    leaves = [_leaf(target) for target in targets]
    # of what is an input the old value is found there: a reference more would keep its memory
    olds = [None if take >= 0 else t.before for t, take in zip(targets, compiled.replaces)]
    outputs: list[Buffer] = []
    done = False
    try:
        _release(targets, leaves)
        outputs += [
            # what is overwritten could not be gone through again by a detective
            Buffer(size) if take < 0 or detector is not None else _destination(inputs, take, size)
            for take, size in zip(compiled.takes, compiled.sizes)
        ]
        compiled.run(inputs, outputs)
        if detector is not None:
            detector.check(nodes, outputs, leaf_values, homes=leaves)
        done = True
        for leaf, buffer in zip(leaves, outputs):
            leaf.buffer = buffer
    except BaseException as error:
        _release(targets, leaves)
        if done or (detector is None and compiled.finished(error)):
            for leaf, buffer in zip(leaves, outputs):  # Ctrl-C: all of it is done, or none
                leaf.buffer = buffer
        elif not isinstance(error, Exception) or isinstance(error, MemoryError):
            replaced = zip(compiled.replaces, olds)
            befores = [inputs[take] if take >= 0 else old for take, old in replaced]
            _put_back(targets, leaves, compiled.with_values(inputs), befores)
        else:
            saved = _saved(compiled, error, inputs, outputs)
            for number, (leaf, take) in enumerate(zip(leaves, compiled.replaces)):
                if number in saved:
                    leaf.buffer = outputs[number]
                else:
                    _give_up(leaf, inputs[take] if take >= 0 else olds[number], error)
        raise


def _put_back(
    targets: list[_Target], leaves: list[Leaf], nodes: list[Node], befores: list[Buffer | None]
) -> None:
    """Leave pending what never ran; who has seen the leaves finds the way to their values."""
    for target, leaf, node, before in zip(targets, leaves, nodes, befores):
        leaf.origin = node
        if type(target) is Cell:
            target.leaf = None
            if target.node is not leaf:
                target.before = before
                continue
        leaf.before = before


def _saved(
    compiled: programs.Compiled, error: BaseException, inputs: list[Buffer], outputs: list[Buffer]
) -> set[int]:
    """Work out those outputs that do not depend on a wrong index; their numbers."""
    if not isinstance(error, IndexRangeError) or has_calls(compiled.graph[0]):
        return set()
    new = [number for number, take in enumerate(compiled.replaces) if take < 0]
    return ranges.healthy(compiled.graph[0], compiled.graph[1], inputs, new, outputs)


def _give_up(leaf: Leaf, old: Buffer | None, error: BaseException) -> None:
    """An update keeps the old value; what had none raises the error when it is asked for."""
    if old is not None and old.nbytes == leaf.size * leaf.dtype.itemsize:
        leaf.buffer = old
    else:
        leaf.error = error


def _leaf(target: _Target) -> Leaf:
    """The leaf that takes the value."""
    if type(target) is Leaf:
        return target
    node = target.node  # type: ignore[union-attr]
    return placeholder(node.shape, node.dtype)


def _release(targets: list[_Target], leaves: list[Leaf]) -> None:
    """Put the leaves in their places; graphs are let go where derivatives no longer need them."""
    for target, leaf in zip(targets, leaves):
        target.before = None
        if type(target) is Leaf:
            target.origin = None
            continue
        cell: Cell = target  # type: ignore[assignment]
        cell.leaf = leaf
        if not cell.keep:
            leaf.freed = cell.freed
            cell.node = leaf


def settle(cell: Cell, buffer: Buffer, shape: Shape, dtype: DType) -> None:
    """Make a buffer the cell's value at once."""
    leaf = leaf_of_buffer(buffer, shape, dtype)
    leaf.owner = cell.owner
    cell.node, cell.leaf, cell.before = leaf, leaf, None


def array_of(cell: Cell) -> NDArray[Any]:
    """The cell's value as a NumPy array on its memory (not to be written to)."""
    leaf = cell.value()
    if leaf is None:
        realise([cell])
        leaf = cell.value()
        assert leaf is not None
    if mode.trace is not None:
        mode.trace.check_read(cell)
    return programs.buffer_of(leaf).array(leaf.shape, leaf.dtype)
