"""What a reduction keeps while it runs: its state, one step, two states put together.

Within a block of a few thousand elements the state has the element's precision (float for half);
blocks of float32 sums and products are put together in double, in a fixed order. So the error of a
sum does not grow with its length, and the split depends on shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from glubina.codegen import elementwise
from glubina.codegen.elementwise import float_maximum, integer_extreme
from glubina.codegen.emitter import Function
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, is_float, lanes_of, scalar_of, vector
from glubina.graph.node import Node

State = list[Value]
T = TypeVar("T")


class Reduction:
    """How one anchor (sum, prod, max or argmax) is accumulated."""

    def __init__(self, anchor: Node) -> None:
        self.anchor = anchor
        self.name = anchor.op.name
        source = anchor.sources[0].dtype
        self.kind = source.kind
        self.dtype = source
        memory = llvm_type(source)
        self.scalar = "float" if memory == "half" else memory  # in a block
        widens = self.name in ("sum", "prod") and self.scalar == "float"
        self.wide = "double" if widens else self.scalar  # between blocks

    @property
    def rounds(self) -> bool:
        """Whether each step is rounded."""
        return self.name in ("sum", "prod") and is_float(self.scalar)

    @property
    def types(self) -> list[str]:
        """The element types of a block's state."""
        return [self.scalar, "i64"] if self.name == "argmax" else [self.scalar]

    @property
    def wide_types(self) -> list[str]:
        """The element types of the state between blocks."""
        return [self.wide, "i64"] if self.name == "argmax" else [self.wide]

    def start(self, f: Function, lanes: int, wide: bool = False) -> State:
        """The state before the first element."""
        scalar = self.wide if wide else self.scalar
        type_ = vector(scalar, lanes)
        if self.name == "sum":
            return [f.const(0, type_)]
        if self.name == "prod":
            return [f.const(1, type_)]
        if self.kind == "f":
            lowest = f.const(-math.inf, type_)
        else:
            bits = int(scalar[1:])
            lowest = f.const(-(1 << (bits - 1)) if self.kind == "i" else 0, type_)
        if self.name == "max":
            return [lowest]
        return [lowest, f.const(0, vector("i64", lanes))]

    def element(self, f: Function, value: Value, position: Value | None) -> State:
        """The state of one element (per lane)."""
        if self.kind == "b":
            value = f.convert("zext", value, self.scalar)
        elif self.dtype.itemsize == 2 and self.kind == "f":
            value = f.convert("fpext", value, self.scalar)
        return [value] if position is None else [value, position]

    def merge(self, f: Function, a: State, b: State) -> State:
        """The state of a's elements followed by b's."""
        x, y = a[0], b[0]
        if self.name == "sum":
            return [f.fadd(x, y) if is_float(x.type) else f.binary("add", x, y)]
        if self.name == "prod":
            return [f.fmul(x, y) if is_float(x.type) else f.binary("mul", x, y)]
        if self.name == "max":
            if is_float(x.type):
                return [float_maximum(f, x, y)]
            return [integer_extreme(f, "max", self.kind, x, y)]
        better = self._beats(f, y, x)
        return [f.select(better, y, x), f.select(better, b[1], a[1])]

    def merge_anyhow(self, f: Function, a: State, b: State) -> State:
        """Like `merge` for elements in any order: of equal maxima the first one wins."""
        if self.name != "argmax":
            return self.merge(f, a, b)
        better = self._beats(f, b[0], a[0])
        worse = self._beats(f, a[0], b[0])
        equal = f.binary("xor", f.binary("or", better, worse), f.const(1, better.type))
        earlier = f.compare("slt", b[1], a[1])
        take = f.binary("or", better, f.binary("and", equal, earlier))
        return [f.select(take, b[0], a[0]), f.select(take, b[1], a[1])]

    def _beats(self, f: Function, y: Value, x: Value) -> Value:
        """Whether y is larger than x; NaN is larger than all but NaN."""
        if is_float(x.type):
            return f.binary("and", f.compare("ugt", y, x), f.compare("ord", x, x))
        return f.compare("sgt" if self.kind == "i" else "ugt", y, x)

    def masked(self, f: Function, state: State, mask: Value) -> State:
        """The state where the mask holds, else that of no element."""
        none = self.start(f, lanes_of(mask.type))
        return [f.select(mask, a, b) for a, b in zip(state, none, strict=True)]

    def together(self, f: Function, states: Sequence[State]) -> State:
        """Several vectors of states put together in pairs, then the lanes of the last one.

        The larger of two floats is one instruction if neither is NaN, so that is asked once.
        """
        if self.name != "max" or not is_float(self.scalar):
            one = self._in_pairs(states, lambda a, b: self.merge_anyhow(f, a, b))
            return self.across(f, one) if self.name != "argmax" else self._first_largest(f, one)
        return [self._largest(f, [state[0] for state in states])]

    def _first_largest(self, f: Function, state: State) -> State:
        """The largest lane of an argmax and the first place that has it."""
        values, places = state
        lanes = lanes_of(values.type)
        if lanes == 1:
            return state
        if is_float(values.type):
            largest = self._largest(f, [values])
            same = f.compare("oeq", values, f.splat(largest, lanes))
            same = f.binary("or", same, f.compare("uno", values, values))
        else:
            name = "smax" if self.kind == "i" else "umax"
            largest = f.reduced(name, values)
            same = f.compare("eq", values, f.splat(largest, lanes))
        there = f.select(same, places, f.const((1 << 63) - 1, places.type))
        return [largest, f.reduced("smin", there)]

    def _largest(self, f: Function, values: Sequence[Value]) -> Value:
        """The largest lane of some vectors of floats, or NaN if there is one."""
        tests = [f.compare("uno", a, b) for a, b in zip(values[::2], [*values[1::2], values[-1]])]
        wrong = f.any(self._in_pairs(tests, lambda a, b: f.binary("or", a, b)))
        larger = self._in_pairs(values, lambda a, b: _larger(f, a, b))
        lanes = lanes_of(larger.type)
        while lanes > 1:
            lanes //= 2
            larger = _larger(f, *(_half(f, larger, lanes, part) for part in (0, 1)))
        return f.select(wrong, f.const(math.nan, larger.type), larger)

    def _in_pairs(self, items: Sequence[T], merge: Callable[[T, T], T]) -> T:
        """All items merged, neighbours first."""
        rest = list(items)
        while len(rest) > 1:
            pairs = zip(rest[::2], rest[1::2], strict=False)
            rest = [merge(a, b) for a, b in pairs] + rest[len(rest) // 2 * 2 :]
        return rest[0]

    def across(self, f: Function, state: State) -> State:
        """The lanes of a state put together, by halves."""
        lanes = lanes_of(state[0].type)
        while lanes > 1:
            lanes //= 2
            low, high = ([_half(f, v, lanes, part) for v in state] for part in (0, 1))
            state = self.merge_anyhow(f, low, high)
        return state

    def widened(self, f: Function, state: State) -> State:
        """A block's state in the precision between blocks."""
        if self.wide == self.scalar:
            return state
        return [f.convert("fpext", state[0], self.wide)]

    def result(self, f: Function, state: State) -> Value:
        """The anchor's value, in its dtype as registers hold it."""
        value = state[-1]
        if self.name == "argmax":
            return value
        if self.kind == "b":
            return f.compare("ne", value, f.const(0, value.type))
        target = elementwise.register_type(self.anchor.dtype)
        return f.convert("fptrunc", value, target) if scalar_of(value.type) != target else value


def _larger(f: Function, a: Value, b: Value) -> Value:
    """The larger of two floats, neither of which is NaN."""
    return f.select(f.compare("ogt", a, b), a, b)


def _half(f: Function, value: Value, lanes: int, part: int) -> Value:
    numbers = ", ".join(f"i32 {part * lanes + i}" for i in range(lanes))
    type_ = vector(scalar_of(value.type), lanes)
    if lanes == 1:
        return f.extract(value, part)
    return f.emit(type_, f"shufflevector {value}, {value.type} poison, <{lanes} x i32> <{numbers}>")
