"""What all native functions of reductions share: their frame, evaluators, loops and results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from glubina.codegen.accumulate import Reduction, State
from glubina.codegen.canonical import Structure
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.reduce_plan import Plan
from glubina.codegen.values import Value
from glubina.schedule.affine import Affine, Space
from glubina.schedule.views import reshaped, steady_inputs


class ReduceFunction:
    """A reduction's function being written.

    Its numbers: kept places, reduced places, blocks per kept place, then the scalars.
    `vectorised` evaluates elements (vectors); `plain` evaluates results one by one.
    """

    def __init__(self, symbol: str, form: Structure, plan: Plan, workspaces: bool = False) -> None:
        kernel = form.kernel
        self.form = form
        self.kernel = kernel
        self.plan = plan
        self.lanes = plan.lanes
        self.reductions = [Reduction(a) for a in kernel.anchors]
        self.buffers = len(kernel.inputs) + len(kernel.outputs)
        works = sum(len(r.types) for r in self.reductions) if workspaces else 0
        self.frame = Frame(symbol, self.buffers + works)
        self.f = self.frame.f
        self.space = Space()
        self.vectors = 1
        first = 3
        pointers = {node: self.frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        constants = self.frame.constants(form.numbers, first)
        steady = steady_inputs(kernel)
        self.vectorised = Evaluator(self.frame, self.space, self.lanes, pointers, constants, steady)
        self.plain = Evaluator(self.frame, Space(), 1, pointers, constants, steady)
        self.targets = [
            self.frame.buffer(len(kernel.inputs) + i) for i in range(len(kernel.outputs))
        ]
        self._workspaces = [self.frame.buffer(self.buffers + i) for i in range(works)]
        self._plain_kept: dict[Affine, Affine] = {}

    # -- scopes and symbols ---------------------------------------------------------------------

    @contextmanager
    def scopes(self) -> Iterator[None]:
        """A scope of both evaluators."""
        with self.vectorised.index.scope(), self.plain.index.scope():
            yield

    def _extent(self, reduced: bool) -> int | None:
        """How many outer places there are, where that is compiled in."""
        outer = self.plan.groups[:-1]
        if outer and outer[0][0] == reduced:
            return None
        extent = 1
        for is_reduced, size in outer:
            extent *= size if is_reduced == reduced else 1
        return extent

    def kept_symbol(self, value: Value) -> Affine:
        """The kept place as a symbol of both evaluators."""
        extent = self._extent(reduced=False)
        symbol = self.space.loop(extent)
        plain = self.plain.space.loop(extent)
        self.vectorised.index.bind(symbol, value)
        self.plain.index.bind(plain, value)
        self._plain_kept[symbol] = plain
        return symbol

    def plain_kept(self, kept: Affine) -> Affine:
        """The symbol of `plain` for the same kept place."""
        return self._plain_kept[kept]

    def reduced_symbol(self, value: Value) -> Affine:
        """The reduced place as a symbol."""
        symbol = self.space.loop(self._extent(reduced=True))
        self.vectorised.index.bind(symbol, value)
        return symbol

    @contextmanager
    def kept_loop(self, total: Value) -> Iterator[Affine]:
        """This thread's share of the kept places."""
        f = self.f
        start, stop = self.frame.share(total, 1)
        with f.loop(start, stop, f.i64(1)) as loop, self.scopes():
            yield self.kept_symbol(loop.index)

    def in_chains(
        self,
        span: tuple[Value, Value, int],
        chain: int,
        values: list[Value],
        fresh: list[Value],
        merge: Callable[[list[Value], list[Value]], list[Value]],
        body: Callable[[Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """A loop over (first, last, step) that carries values, `chain` steps in a row.

        Each chain begins `fresh`, and is merged into the values at its end, where that makes
        floating sums more exact; else there is but one chain.
        """
        f, (first, last, step) = self.f, span
        if not any(r.rounds for r in self.reductions):
            with f.loop(first, last, f.i64(step), values) as plain, self.scopes():
                plain.carry(body(plain.index, plain.values))
            return plain.results
        stride = f.i64(step * chain)
        with f.loop(first, last, stride, values) as outer, self.scopes():
            end = f.minimum(f.add(outer.index, stride), last)
            with f.loop(outer.index, end, f.i64(step), fresh) as inner, self.scopes():
                inner.carry(body(inner.index, inner.values))
            outer.carry(merge(outer.values, inner.results))
        return outer.results

    # -- values ---------------------------------------------------------------------------------

    def mask(self, left: Value) -> Value:
        """The lanes below the number of elements that are left."""
        return self.vectorised.mask_below(left)

    def workspaces(self) -> list[Value]:
        """The addresses of the workspaces, one for each component of the states."""
        return list(self._workspaces)

    def store_result(self, kept: Affine, states: list[State]) -> None:
        """Finish the results of one kept place: evaluate and store the outputs."""
        e, kernel = self.plain, self.kernel
        position = self.plain_kept(kept)
        for reduction, state in zip(self.reductions, states, strict=True):
            e.given[reduction.anchor] = position, reduction.result(self.f, state)
        results = []
        for output in kernel.outputs:
            index = reshaped((position,), (output.size,), output.shape, e.space)
            results.append(e.evaluate(output, index if output.shape else ()))
        for output, target, value in zip(kernel.outputs, self.targets, results, strict=True):
            e.store(target, output, position, value)
