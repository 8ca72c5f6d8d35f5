"""What a contraction does with its results: everything after the anchor, then the stores."""

from __future__ import annotations

from glubina.codegen.blocks import alloca
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import Function
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value
from glubina.graph.node import Node
from glubina.schedule.affine import UNBOUNDED, ZERO, Affine, Space
from glubina.schedule.views import reshaped, steady_inputs


class Epilogue:
    """Finishes and stores results inside a contraction's function.

    The frame's first buffers are the kernel's inputs and outputs; the structure's scalars stand
    among its numbers from position `first` on. `shape` is the anchor's shape as the function
    counts it (a matrix product counts all batches as one axis). `period`: the channels, where the
    lanes run over pixels and channels together; what is there once per channel is then copied,
    again and again one after the other, so that lanes find it side by side.
    """

    def __init__(
        self,
        frame: Frame,
        form: Structure,
        lanes: int,
        first: int,
        shape: tuple[int, ...],
        period: int = 0,
    ) -> None:
        kernel = form.kernel
        self.kernel = kernel
        self.shape = shape
        count = len(kernel.inputs)
        pointers = {node: frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        self.targets = [frame.buffer(count + i) for i in range(len(kernel.outputs))]
        whole = [n for n in kernel.inputs if n.size == kernel.outputs[0].size]
        # most often the outputs replace the inputs, in the same memory
        self.companions = [(n, pointers[n]) for n in whole] or list(
            zip(kernel.outputs, self.targets, strict=True)
        )
        constants = frame.constants(form.numbers, first)
        self.space = Space()
        self.period = period
        self.copies: dict[Node, Value] = {}
        self.evaluator = Evaluator(
            frame, self.space, lanes, pointers, constants, steady_inputs(kernel)
        )

    def prepare(self, f: Function) -> None:
        """Load the scalars that the expressions read, once."""
        e = self.evaluator
        for node in self.kernel.inputs:
            if node.size == 1 and node in e.steady:
                e.evaluate(node, (ZERO,) * len(node.shape))
            elif self.period > 1 and node.size == self.period and node in e.steady:
                self.copies[node] = self._repeated(f, node)

    def _repeated(self, f: Function, node: Node) -> Value:
        """A copy of a number per channel that goes on for a vector beyond its end."""
        kind, lanes = llvm_type(node.dtype), self.evaluator.lanes
        copy = alloca(f, kind, self.period + lanes)
        for i in range(self.period + lanes):
            source = f.element(self.evaluator.pointers[node], f.i64(i % self.period), kind)
            f.store(f.load(source, kind), f.element(copy, f.i64(i), kind))
        return copy

    def fetch(self, f: Function, index: tuple[Value, ...]) -> None:
        """Ask for the memory that `store` will need at the same index, so that it is near then.

        What is read or written element for element is meant; anything else is left to itself.
        """
        e = self.evaluator
        used = min(e.lanes, self.shape[-1])
        with e.index.scope():
            start = e.index.scalar(self._position(index, used))
            for node, pointer in self.companions:
                f.prefetch(f.element(pointer, start, llvm_type(node.dtype)))

    def store(
        self, f: Function, index: tuple[Value, ...], values: Value, mask: Value | None
    ) -> None:
        """Finish and store values of the anchor.

        index: where the first lane stands in `shape` (i64); lanes run along the last axis.
        mask: the lanes that exist; None: all.
        """
        e, space, kernel = self.evaluator, self.space, self.kernel
        used = min(e.lanes, self.shape[-1])
        with e.masked(mask if e.lanes > 1 else None), e.index.lanes_in_use(used):
            start = self._position(index, used)
            flat = space.add(start, e.index.lane)
            e.given = {kernel.anchors[0]: (flat, values)}
            if self.copies:
                first = e.index.scalar(space.mod(start, self.period))
                channel = space.mod(flat, self.period)
                e.repeated = {
                    node: (channel, f.element(copy, first, llvm_type(node.dtype)))
                    for node, copy in self.copies.items()
                }
            results = []
            for output in kernel.outputs:
                place = reshaped((flat,), (output.size,), output.shape, space)
                results.append(e.evaluate(output, place))
            for output, target, value in zip(kernel.outputs, self.targets, results, strict=True):
                e.store(target, output, start, value)

    def _position(self, index: tuple[Value, ...], used: int) -> Affine:
        """The row-major position of an index; all lanes in use lie within the last axis."""
        parts: list[tuple[Affine, int]] = []
        stride, last = 1, len(index) - 1
        for axis in range(last, -1, -1):
            extent = self.shape[axis]
            high = extent - (used if axis == last else 1) if axis else UNBOUNDED
            symbol = Affine(0, ((self.space.term("loop", 0, max(high, 0)), 1),))
            self.evaluator.index.bind(symbol, index[axis])
            parts.append((symbol, stride))
            stride *= extent
        return self.space.combine(parts)
