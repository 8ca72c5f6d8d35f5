"""Recording a function into a program, and replaying it on the current values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from glubina.graph.node import Node
from glubina.runtime.buffer import Buffer
from glubina.runtime.limits import OutOfMemoryError
from glubina.tensor import locks, programs
from glubina.tensor.cell import Cell, Leaf, leaf_of_array, leaf_of_buffer
from glubina.tensor.convert import settled
from glubina.tensor.errors import TraceError
from glubina.tensor.finite import all_finite, first_nan
from glubina.tensor.journal import Journal
from glubina.tensor.mode import mode
from glubina.tensor.nests import rebuilt
from glubina.tensor.outline import Outline, Place, outlined
from glubina.tensor.ownership import if_own, is_own
from glubina.tensor.ranges import Sites
from glubina.tensor.realise import realise, settle
from glubina.tensor.trace import Guard, Trace

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor
    from glubina.tensor.random import Generator

_SLICE = 0.05  # seconds of native steps between two looks at Python's signals


def record(function: Callable[..., Any], args: Any, kwargs: Any, keep: bool) -> Recording:
    """Run a function on arguments without values, and make a program of what it did."""
    try:
        with outlined(function, args, kwargs, keep) as outline:
            return _recording(outline)
    except OutOfMemoryError as error:
        from glubina.tensor.shortage import explain

        explain(error, function, args, kwargs)
        raise


def _recording(made: Outline) -> Recording:
    """The program, and where its inputs come from and its outputs go."""
    key = ("recorded", *made.found.key, tuple(made.updates))
    leaves = made.found.leaves
    program = programs.find(key, made.outputs, leaves, made.updates, merge=False)
    sources = [_source(made.trace, made.first, leaves[i]) for i in program.inputs]
    arguments = made.arguments
    targets = [arguments.index(cell) if cell in arguments else cell for cell in made.cells]
    changed = {cell for cell in made.trace.written if cell not in arguments}
    if any(type(target) is int for target in targets):
        changed |= set(made.trace.reads.values())
    own = frozenset(changed.difference(arguments))
    recording = Recording(made.trace, program, sources, targets, made.form, made.gradients, own)
    recording.sites = Sites(made.outputs)
    if mode.detector is not None:
        recording.graph = made.outputs, [leaves[i] for i in program.inputs]
        recording.reads = made.trace.reads
    return recording


_Source = tuple[Literal["argument"], int] | tuple[Literal["cell"], Cell] | Buffer


def _source(trace: Trace, first: list[Node], leaf: Leaf) -> _Source:
    """Where an input of the program comes from: an argument, a cell, or always the same."""
    for number, node in enumerate(first):
        if node is leaf:
            return "argument", number
    if leaf in trace.reads and leaf.number is None:
        return "cell", trace.reads[leaf]
    return programs.buffer_of(leaf)


class _Draws:
    """What a recording draws from a generator: how often, by the key in which cell.

    held: the state of chance that the cell is known to hold; the program counts on in it.
    """

    def __init__(self, generator: Generator, count: int, cell: Cell) -> None:
        self.generator = generator
        self.count = count
        self.cell = cell
        self.held: tuple[int, int] | None = None
        self.state, self.steps = (0, 0), 0

    def reserve(self, steps: int) -> None:
        """Take the numbers for so many steps, and bring the cell there if it is elsewhere."""
        self.steps = steps
        self.state = self.generator.reserve(self.count * steps)
        if self.held != self.state:
            leaf = leaf_of_array(np.array(self.state, np.uint64))
            self.cell.node, self.cell.leaf = leaf, None
        self.held = None

    def used(self, steps: int) -> None:
        """So many of the steps were done; what was reserved for others is given back."""
        if steps:
            self.held = self._after(steps)
        if steps < self.steps:
            self.generator.restore(self._after(steps), self._after(self.steps))

    def _after(self, steps: int) -> tuple[int, int]:
        return self.state[0], self.state[1] + self.count * steps


class Recording:
    """One recorded run of a function: the program, and where its inputs and outputs live.

    Runs that change something have the `lock` and follow one another; others may overlap.
    """

    lock: Any

    def __init__(
        self,
        trace: Trace,
        program: programs.Compiled,
        sources: list[_Source],
        targets: list[Cell | int],
        form: Any,
        gradients: list[Tensor],
        own: frozenset[Cell],
    ) -> None:
        self.guards: list[Guard] = list(trace.guards.values())
        kept = set(map(id, gradients))
        for tensor, before in trace.gradients.items():
            if id(tensor) in kept or before is not None:
                self.guards.append((_same_gradient(tensor, before), True))
        self.callbacks = list(trace.callbacks.values())
        self.draws = [_Draws(g, count, trace.keys[g]) for g, count in trace.draws.items()]
        # cells that the function knows from outside, which must not be its arguments too
        self.own = own
        self.sites: Sites | None = None  # where what uses indices was made
        # the outputs and the program's inputs as they were recorded, for a detective
        self.graph: tuple[list[Node], list[Leaf]] | None = None
        # not kept for others: its leaves hold the values from when it was recorded
        self.reads: dict[Leaf, Cell] = {}
        self.program = program
        self.targets = targets
        self.form = form
        self.gradients = gradients
        # the inputs as a list that is completed at each run
        self.inputs: list[Any] = [s if isinstance(s, Buffer) else None for s in sources]
        self.cells: list[tuple[int, Cell]] = []
        self.arguments: list[tuple[int, int]] = []
        for place, source in enumerate(sources):
            if isinstance(source, Buffer):
                continue
            if source[0] == "cell":
                self.cells.append((place, source[1]))
            else:
                self.arguments.append((place, source[1]))
        self.outputs = list(zip(program.takes, program.sizes, program.shapes, strict=True))
        # the changed cells that can be overwritten, which inputs they are; the others' numbers
        self.changed: list[Cell] = []
        self.places: list[int] = []
        self.anew: list[int] = []
        for number, (take, target) in enumerate(zip(program.takes, targets)):
            if take >= 0 and type(target) is Cell:
                self.changed.append(target)
                self.places.append(take)
            else:
                self.anew.append(number)
        self.results = self.outputs[len(targets) :]
        locks.give_lock(self)

    def holds(self) -> bool:
        """Whether the Python values are still those it was recorded with."""
        for check, expected in self.guards:  # noqa: SIM110 — a generator would be slower
            if check() != expected:
                return False
        return True

    def replay(self, arguments: list[Cell]) -> Any:
        """Run once on the current values."""
        if arguments and not self.own.isdisjoint(arguments):
            raise TraceError(
                "a compiled function was given a tensor that it also knows from outside, and "
                "changes one of the two in place: use either the argument or the outer tensor"
            )
        if not self.targets:
            return self._replay(arguments)
        with self.lock:
            return self._replay(arguments)

    def _replay(self, arguments: list[Cell]) -> Any:
        inputs = self._gather(arguments, 1)
        outputs = if_own(self.changed, inputs, self.places) if self.changed else []
        own = outputs is not None
        if outputs is None:
            outputs = self._destinations(inputs)
        elif self.anew:
            for number in self.anew:  # in rising order: each falls into its place
                outputs.insert(number, Buffer(self.outputs[number][1]))
        outputs += [Buffer(size) for _, size, _ in self.results]
        detector = mode.detector
        journal: Journal | None = None
        done = 0
        try:
            if detector is not None:
                journal = detector.journal(self, inputs, outputs)
            self.program.run(inputs, outputs, self.sites)
            done = 1
            if journal is not None and not self._is_finite(outputs):
                done = 0
                self._find(journal, inputs, outputs)
                self.program.run(inputs, outputs, self.sites)  # infinite on purpose
                done = 1
            if journal is not None:
                journal.add(inputs)
            return self._finish(arguments, inputs, outputs, 1, own)
        except BaseException as error:
            # Ctrl-C waits for the program: all that it does is done, or nothing
            if done or self.program.finished(error):
                self._finish(arguments, inputs, outputs, 1, own)
            else:
                self._finish_draws(0)
            raise

    def _destinations(self, inputs: list[Buffer]) -> list[Buffer]:
        """Where the changed cells' values go: into their own memory, if it may be overwritten."""
        found = []
        for (take, size, _), target in zip(self.outputs, self.targets):
            if take >= 0 and type(target) is Cell and is_own(target, inputs, take):
                found.append(inputs[take])
            else:
                found.append(Buffer(size))
        return found

    def _find(self, journal: Journal, inputs: list[Buffer], outputs: list[Buffer]) -> None:
        """Undo a run with a result that is not finite; AnomalyError if that is not on purpose."""
        assert mode.detector is not None
        assert self.graph is not None
        nodes, leaves = self.graph
        spoiled = first_nan(nodes, outputs)
        journal.undo(inputs, outputs, self.program.run)

        def bindings(_: object) -> dict[Node, Any]:
            pairs = zip(leaves, inputs, strict=True)
            return {leaf: buffer.array(leaf.shape, leaf.dtype) for leaf, buffer in pairs}

        mode.detector.find(nodes, spoiled, bindings, self.reads)

    def _finish_draws(self, steps: int) -> None:
        for draws in self.draws:
            draws.used(steps)

    def _gather(self, arguments: list[Cell], steps: int) -> list[Buffer]:
        for callback in self.callbacks:
            callback()
        for draws in self.draws:
            draws.reserve(steps)
        inputs = self.inputs.copy()
        for i, cell in self.cells:
            leaf = cell.leaf
            if leaf is None or leaf.buffer is None:
                inputs[i] = _buffer(cell)
            else:
                inputs[i] = leaf.buffer
        for i, number in self.arguments:
            inputs[i] = _buffer(arguments[number])
        return inputs

    def _finish(
        self,
        arguments: list[Cell],
        inputs: list[Buffer],
        outputs: list[Buffer],
        steps: int,
        own: bool = False,
    ) -> Any:
        """Give the cells their new buffers (not those overwritten: `own`); the results."""
        if self.draws:
            self._finish_draws(steps)
        for number in self.anew if own else range(len(self.targets)):
            target, buffer = self.targets[number], outputs[number]
            take, _, (shape, dtype) = self.outputs[number]
            if take < 0 or inputs[take] is not buffer:
                cell = arguments[target] if type(target) is int else target
                settle(cell, buffer, shape, dtype)  # type: ignore[arg-type]
        count = len(self.targets)
        results = [
            settled(leaf_of_buffer(buffer, shape, dtype))
            for buffer, (_, _, (shape, dtype)) in zip(outputs[count:], self.results)
        ]
        if self.gradients:
            split = len(results) - len(self.gradients)
            for tensor, gradient in zip(self.gradients, results[split:], strict=True):
                tensor.grad = gradient
        form = self.form
        if type(form) is Place:
            return results[form.number]
        return rebuilt(form, lambda part: results[part.number] if type(part) is Place else part)

    def replay_many(self, steps: int) -> Any:
        """Run again and again; natively once every changed cell is overwritten in place."""
        with self.lock:
            value = self.replay([])
            done = 1
            while done < steps:
                ran, value = self._replay_some(steps - done)
                done += ran
        return value

    def _replay_some(self, most: int) -> tuple[int, Any]:
        """Some steps natively, or one; how many, and what the last of them returns."""
        inputs = self._gather([], most)
        outputs = self._overwritten(inputs)
        if outputs is None:
            del inputs
            self._finish_draws(0)
            return 1, self.replay([])
        outputs += [Buffer(size) for _, size, _ in self.results]
        journal: Journal | None = None
        ran = 0
        try:
            if mode.detector is not None:
                mode.detector.forget()  # these steps are not written down one by one
                journal = Journal(inputs, outputs)
            ran = self.program.run_many(inputs, outputs, most, _SLICE, self.sites)
            if journal is None or self._is_finite(outputs):
                return ran, self._finish([], inputs, outputs, ran)
        except BaseException as error:
            # Ctrl-C waits for the program: the steps that it does are whole
            ran = ran or self.program.finished(error)
            if ran:
                self._finish([], inputs, outputs, ran)
            else:
                self._finish_draws(0)
            raise
        journal.undo(inputs, outputs, self.program.run)
        del inputs, outputs
        self._finish_draws(0)
        for _ in range(ran):  # the step that goes wrong raises
            value = self.replay([])
        return ran, value

    def _is_finite(self, outputs: list[Buffer]) -> bool:
        assert self.graph is not None
        return all_finite(self.graph[0], outputs)

    def _overwritten(self, inputs: list[Buffer]) -> list[Buffer] | None:
        """The changed cells' own buffers; None if one that is read cannot be overwritten."""
        found = []
        for (take, size, _), replaced, target in zip(
            self.outputs, self.program.replaces, self.targets
        ):
            if replaced < 0:
                found.append(Buffer(size))  # nothing reads what was there before
            elif take >= 0 and type(target) is Cell and is_own(target, inputs, take):
                found.append(inputs[take])
            else:
                return None
        return found


def _same_gradient(tensor: Tensor, before: Tensor | None) -> Callable[[], bool]:
    return lambda: tensor.grad is before


def _buffer(cell: Cell) -> Buffer:
    if cell.value() is None:
        realise([cell])
    leaf = cell.value()
    assert leaf is not None
    return programs.buffer_of(leaf)
