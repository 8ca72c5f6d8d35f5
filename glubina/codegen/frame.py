"""A native kernel function's frame: its buffers and numbers, its share of the work, its errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glubina.codegen.emitter import Function
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value
from glubina.graph.node import Node

PARAMETERS = (("table", "ptr"), ("args", "ptr"), ("thread", "i64"), ("threads", "i64"))

INDEX_OUT_OF_RANGE = 1  # the codes that kernels raise


class Frame:
    """`void NAME(ptr table, ptr args, i64 thread, i64 threads)` and how its arguments are read.

    args holds the table index of each buffer, then 64-bit numbers. table[0] is the status block
    (i64: code, kernel, index, value); the code 0 means that nothing was raised.
    """

    def __init__(self, name: str, buffers: int) -> None:
        self.f = Function(name, PARAMETERS)
        self.buffers = buffers
        self.table, self.args, self.thread, self.threads = self.f.parameters
        self._status = self._pointer(self.f.i64(0))

    def buffer(self, position: int) -> Value:
        """The address of a buffer of the stage."""
        return self._pointer(self._word(position))

    def number(self, position: int) -> Value:
        """A number that follows the buffers in args."""
        return self._word(self.buffers + position)

    def scalar(self, position: int, dtype: np.dtype) -> Value:
        """A scalar constant whose bits follow the buffers in args."""
        f, word, kind = self.f, self.number(position), llvm_type(dtype)
        bits = f"i{8 * dtype.itemsize}"
        if bits != "i64":
            word = f.emit(bits, f"trunc {word} to {bits}")
        return f.emit(kind, f"bitcast {word} to {kind}")

    def constants(self, nodes: Sequence[Node], first: int) -> dict[Node, Value]:
        """The scalars of constants and random streams, from a position among the numbers on."""
        return {
            node: self.number(first + i)
            if node.op.name == "random_bits"
            else self.scalar(first + i, node.dtype)
            for i, node in enumerate(nodes)
        }

    def share(self, total: Value, multiple: int) -> tuple[Value, Value]:
        """This thread's range [start, stop) of 0..total; start is a multiple of `multiple`."""
        f = self.f
        per = f.binary("udiv", f.sub(f.add(total, self.threads), f.i64(1)), self.threads)
        if multiple > 1:
            per = f.binary("and", f.add(per, f.i64(multiple - 1)), f.i64(-multiple))
        start = f.minimum(f.mul(per, self.thread), total)
        return start, f.minimum(f.add(start, per), total)

    def fail(self, code: int, index: Value, value: Value) -> None:
        """Raise an error in the status block, unless one is there already."""
        f, status = self.f, self._status
        pair = f.emit(
            "{ i64, i1 }",
            f"cmpxchg {status}, i64 0, i64 {code} monotonic monotonic",
        )
        won = f.emit("i1", f"extractvalue {pair}, 1")
        with f.when(won):
            for position, word in ((2, index), (3, value)):
                f.store(word, f.element(status, f.i64(position), "i64"))

    def finish(self) -> Function:
        """End the function."""
        self.f.return_()
        return self.f

    def _word(self, position: int) -> Value:
        f = self.f
        return f.invariant_load(f.element(self.args, f.i64(position), "i64"), "i64", exists=True)

    def _pointer(self, index: Value) -> Value:
        return self.f.invariant_load(self.f.element(self.table, index, "ptr"), "ptr", exists=True)
