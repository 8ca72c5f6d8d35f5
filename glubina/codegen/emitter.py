"""Writes LLVM IR as text: one function at a time, with structured loops and conditions.

Values are SSA names with an LLVM type, both plain text. The emitter adds no meaning of its own; it
only keeps the bookkeeping (fresh names, blocks, phi nodes, what is known already and what a loop
need not repeat) out of the kernels' way.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from glubina.codegen.lines import Lines
from glubina.codegen.values import (
    FLOATS,
    Value,
    both_known,
    float_text,
    is_float,
    lanes_of,
    mangled,
    scalar_of,
    vector,
)

DIVISIONS = ("udiv", "sdiv", "urem", "srem")


class Loop:
    """A counted loop being written; `carry` names the values that go to the next round."""

    def __init__(self, index: Value, values: list[Value]) -> None:
        self.index = index
        self.values = values
        self.next = values
        self.results: list[Value] = values

    def carry(self, values: Sequence[Value]) -> None:
        """Set what the carried values are in the next round (and after the loop, `results`)."""
        self.next = list(values)


class Function:
    """One LLVM function under construction."""

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        returns: str = "void",
        attributes: str = "nounwind",
        linkage: str = "",
    ) -> None:
        self.name = name
        self.parameters = [Value(f"%{n}", t) for n, t in parameters]
        self.returns = returns
        self.attributes = attributes
        self.linkage = linkage
        self.declarations: set[str] = set()
        self.helpers: dict[str, Function] = {}
        self.seldom = False  # while true, helpers are called instead of being put inline
        self._count = 0
        self._block = "entry"
        self._lines = Lines()
        self._lines.append("entry:")
        self._lines.given(p.name for p in self.parameters)

    # -- text -----------------------------------------------------------------------------------

    def text(self) -> str:
        """The function's definition as LLVM IR."""
        parameters = ", ".join(
            f"{p.type} noalias {p.name}" if p.type == "ptr" else str(p) for p in self.parameters
        )
        head = (
            f"define {self.linkage}{self.returns} @{self.name}({parameters}) {self.attributes} {{"
        )
        return "\n".join([head, self._lines.text(), "}"])

    def fresh(self, hint: str = "v") -> str:
        """A name that the function has not used yet."""
        self._count += 1
        return f"%{hint}{self._count}"

    def emit(self, type_: str, text: str, hint: str = "v") -> Value:
        """Append `name = text` and return the new value."""
        name = self.fresh(hint)
        self._lines.define(name, text)
        return Value(name, type_)

    def pure(self, type_: str, text: str, *operands: Value, hint: str = "v") -> Value:
        """The value of an instruction that only depends on its operands and cannot fail.

        It is worked out once, in front of the loops that it does not depend on.
        """
        name = self._lines.found(text)
        if name is None:
            name = self.fresh(hint)
            self._lines.place(name, text, [o.name for o in operands])
        return Value(name, type_)

    def line(self, text: str) -> None:
        """Append an instruction that has no value."""
        self._lines.append(f"  {text}")

    def block(self, label: str) -> None:
        """Begin a new basic block, from wherever control comes."""
        self._lines.forget()
        self._begin(label)

    def _begin(self, label: str) -> None:
        self._block = label
        self._lines.append(f"{label}:")

    def label(self, hint: str) -> str:
        """A block label that the function has not used yet."""
        self._count += 1
        return f"{hint}{self._count}"

    # -- constants ------------------------------------------------------------------------------

    def const(self, value: float | bool, type_: str) -> Value:
        """A constant of a scalar or vector type (splat)."""
        scalar = scalar_of(type_)
        if scalar in FLOATS:
            text = float_text(float(value), scalar)
        elif scalar == "i1":
            text = "true" if value else "false"
        else:
            text = str(int(value))
        if type_[0] == "<":
            text = f"splat ({scalar} {text})"
        return Value(text, type_)

    def i64(self, value: int) -> Value:
        """A 64-bit integer constant."""
        return Value(str(value), "i64")

    def lane_numbers(self, lanes: int, scalar: str = "i64") -> Value:
        """The vector 0, 1, 2, ... of so many lanes (the scalar 0 for one)."""
        if lanes == 1:
            return Value("0", scalar)
        return Value(
            "<" + ", ".join(f"{scalar} {i}" for i in range(lanes)) + ">", vector(scalar, lanes)
        )

    # -- arithmetic -----------------------------------------------------------------------------

    def binary(self, instruction: str, a: Value, b: Value) -> Value:
        """Any two-operand instruction, as `fadd contract` or `shl`."""
        text = f"{instruction} {a.type} {a.name}, {b.name}"
        if instruction in DIVISIONS and (not b.name.isdigit() or b.name == "0"):
            return self.emit(a.type, text)  # it may fail, where it would not be reached
        return self.pure(a.type, text, a, b)

    def _folded(self, instruction: str, a: Value, b: Value) -> Value:
        known = both_known(a, b)
        if known is None:
            return self.binary(instruction, a, b)
        return Value(str(getattr(operator, instruction)(*known)), a.type)

    def add(self, a: Value, b: Value) -> Value:
        """a + b, integers."""
        if b.name == "0":
            return a
        if a.name == "0":
            return b
        return self._folded("add", a, b)

    def sub(self, a: Value, b: Value) -> Value:
        """a - b, integers."""
        if b.name == "0":
            return a
        return self._folded("sub", a, b)

    def mul(self, a: Value, b: Value) -> Value:
        """a * b, integers."""
        if a.name == "1":
            return b
        if b.name == "1":
            return a
        return self._folded("mul", a, b)

    def fadd(self, a: Value, b: Value) -> Value:
        """a + b, floating point."""
        return self.binary("fadd contract", a, b)

    def fsub(self, a: Value, b: Value) -> Value:
        """a - b, floating point."""
        return self.binary("fsub contract", a, b)

    def fmul(self, a: Value, b: Value) -> Value:
        """a * b, floating point."""
        return self.binary("fmul contract", a, b)

    def fdiv(self, a: Value, b: Value) -> Value:
        """a / b, floating point."""
        return self.binary("fdiv", a, b)

    def fneg(self, a: Value) -> Value:
        """-a, floating point."""
        return self.pure(a.type, f"fneg {a.type} {a.name}", a)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self.intrinsic("llvm.fma", a.type, a, b, c)

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        """A comparison, as `olt` (floating point) or `slt` (integers)."""
        kind = "fcmp" if is_float(a.type) else "icmp"
        type_ = vector("i1", lanes_of(a.type))
        return self.pure(type_, f"{kind} {predicate} {a.type} {a.name}, {b.name}", a, b)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """a where the condition holds, else b."""
        return self.pure(a.type, f"select {condition}, {a}, {b}", condition, a, b)

    def convert(self, instruction: str, a: Value, scalar: str) -> Value:
        """A conversion, as `sext`, `fptosi`, `bitcast`, to another element type."""
        type_ = vector(scalar, lanes_of(a.type))
        return a if type_ == a.type else self.pure(type_, f"{instruction} {a} to {type_}", a)

    def intrinsic(self, name: str, returns: str, *operands: Value) -> Value:
        """Call a pure LLVM intrinsic that is overloaded on its return type, as `llvm.sqrt`."""
        return self._call(True, f"{name}.{mangled(returns)}", returns, *operands)

    def call(self, name: str, returns: str, *operands: Value) -> Value:
        """Call a function, declaring it for the module."""
        return self._call(False, name, returns, *operands)

    def _call(self, pure: bool, name: str, returns: str, *operands: Value) -> Value:
        types = ", ".join(o.type for o in operands)
        self.declarations.add(f"declare {returns} @{name}({types})")
        text = f"call {returns} @{name}({', '.join(str(o) for o in operands)})"
        if returns == "void":
            self.line(text)
            return Value("void", "void")
        return self.pure(returns, text, *operands) if pure else self.emit(returns, text)

    def call_helper(
        self, name: str, make: Callable[[], Function], returns: str, *operands: Value
    ) -> Value:
        """Call a function of this module, which `make` writes when it is first called."""
        if name not in self.helpers:
            self.helpers[name] = make()
        text = f"call {returns} @{name}({', '.join(str(o) for o in operands)})"
        return self.emit(returns, text + (" noinline" if self.seldom else ""))

    @contextmanager
    def rarely(self, rarely: bool = True) -> Iterator[None]:
        """What is written inside runs seldom: it should be short rather than fast."""
        before, self.seldom = self.seldom, rarely
        yield
        self.seldom = before

    def any(self, mask: Value) -> Value:
        """Whether a condition holds in some lane (i1)."""
        return self.reduced("or", mask)

    def reduced(self, name: str, a: Value) -> Value:
        """All lanes of integers put together, as by `smin` or `or`."""
        if a.type[0] != "<":
            return a
        name = f"llvm.vector.reduce.{name}.{mangled(a.type)}"
        return self._call(True, name, scalar_of(a.type), a)

    def splat(self, a: Value, lanes: int) -> Value:
        """The scalar repeated in every lane."""
        if lanes == 1:
            return a
        type_ = vector(a.type, lanes)
        first = self.pure(type_, f"insertelement {type_} poison, {a}, i64 0", a)
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.pure(type_, f"shufflevector {first}, {type_} poison, {zeros}", first)

    def extract(self, a: Value, lane: int) -> Value:
        """One lane of a vector."""
        if a.type[0] != "<":
            return a
        return self.pure(scalar_of(a.type), f"extractelement {a}, i64 {lane}", a)

    # -- memory ---------------------------------------------------------------------------------

    def invariant_load(self, pointer: Value, type_: str, exists: bool = False) -> Value:
        """Load from memory that nothing writes to while the function runs.

        exists: the address is one of valid memory even where control does not come to the load.
        """
        text = f"load {type_}, {pointer}, align {self._align(type_)}, !invariant.load !0"
        return self.pure(type_, text, pointer) if exists else self.emit(type_, text)

    def element(self, pointer: Value, index: Value, scalar: str) -> Value:
        """The address of element `index` of an array of `scalar`."""
        if index.name == "0":
            return pointer
        text = f"getelementptr inbounds {scalar}, {pointer}, {index}"
        return self.pure("ptr", text, pointer, index, hint="p")

    def load(self, pointer: Value, type_: str, align: int | None = None) -> Value:
        """Load a scalar or vector; the alignment is that of one element unless given."""
        return self.emit(type_, f"load {type_}, {pointer}, align {align or self._align(type_)}")

    def store(self, value: Value, pointer: Value, align: int | None = None) -> None:
        """Store a scalar or vector; the alignment is that of one element unless given."""
        self.line(f"store {value}, {pointer}, align {align or self._align(value.type)}")

    def masked_load(self, pointer: Value, type_: str, mask: Value) -> Value:
        """Load the lanes where the mask holds; the others are zero and are not touched."""
        suffix = f"{mangled(type_)}.p0"
        name = f"llvm.masked.load.{suffix}"
        self.declarations.add(f"declare {type_} @{name}(ptr, {mask.type}, {type_})")
        align = self._align(type_)
        text = f"call {type_} @{name}(ptr align {align} {pointer.name}, {mask}, "
        return self.emit(type_, f"{text}{type_} zeroinitializer)")

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the lanes where the mask holds."""
        name = f"llvm.masked.store.{mangled(value.type)}.p0"
        self.declarations.add(f"declare void @{name}({value.type}, ptr, {mask.type})")
        align = self._align(value.type)
        self.line(f"call void @{name}({value}, ptr align {align} {pointer.name}, {mask})")

    def load_lanes(self, pointer: Value, type_: str, mask: Value | None) -> Value:
        """Load the lanes of the mask, or all of them."""
        return self.load(pointer, type_) if mask is None else self.masked_load(pointer, type_, mask)

    def store_lanes(self, value: Value, pointer: Value, mask: Value | None) -> None:
        """Store the lanes of the mask, or all of them."""
        if mask is None:
            self.store(value, pointer)
        else:
            self.masked_store(value, pointer, mask)

    def prefetch(self, pointer: Value, ahead: int = 0) -> None:
        """Ask for the cache line `ahead` bytes after an address, to be in the second-level cache.

        It need not exist.
        """
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        if ahead:
            pointer = self.emit("ptr", f"getelementptr i8, {pointer}, i64 {ahead}", "p")
        text = f"{pointer}, i32 0, i32 2, i32 1"
        self.line(f"call void @llvm.prefetch.p0({text})")

    def gather(self, pointers: Value, type_: str, mask: Value) -> Value:
        """Load each lane from an address of its own, where the mask holds; else zero."""
        name = f"llvm.masked.gather.{mangled(type_)}.{mangled(pointers.type)}"
        self.declarations.add(f"declare {type_} @{name}({pointers.type}, {mask.type}, {type_})")
        align = self._align(type_)
        text = f"call {type_} @{name}({pointers.type} align {align} {pointers.name}, {mask}, "
        return self.emit(type_, f"{text}{type_} zeroinitializer)")

    @staticmethod
    def _align(type_: str) -> int:
        scalar = scalar_of(type_)
        if scalar in FLOATS:
            return {"half": 2, "float": 4, "double": 8}[scalar]
        return 8 if scalar == "ptr" else max(1, int(scalar[1:]) // 8)

    # -- control --------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self, start: Value, stop: Value, step: Value, carried: Sequence[Value] = ()
    ) -> Iterator[Loop]:
        """`for index in range(start, stop, step)` (step > 0), values carried between rounds.

        Inside, read `loop.index` and `loop.values`, and call `loop.carry(next values)`; after it,
        `loop.results` holds the carried values. A loop that is known to have one round is none.
        """
        if _is_one_round(start, stop, step):
            loop = Loop(start, list(carried))
            yield loop
            loop.results = loop.next
            return
        body, done = self.label("body"), self.label("done")
        some = self.compare("slt", start, stop)
        before = self._block
        self._lines.enter_loop()
        self.line(f"br i1 {some.name}, label %{body}, label %{done}")
        self._begin(body)
        index = Value(self.fresh("i"), "i64")
        values = [Value(self.fresh("c"), v.type) for v in carried]
        self._lines.given([index.name, *(value.name for value in values)])
        phis = self._lines.gap()
        loop = Loop(index, values)
        yield loop
        after = self.emit("i64", f"add nsw i64 {index.name}, {step.name}")
        more = self.compare("slt", after, stop)
        last = self._block
        self.line(f"br i1 {more.name}, label %{body}, label %{done}")
        phis.append(_phi(index, start, before, after, last))
        for value, first, following in zip(values, carried, loop.next, strict=True):
            phis.append(_phi(value, first, before, following, last))
        self._lines.leave_loop()
        self._begin(done)
        loop.results = [Value(self.fresh("c"), v.type) for v in carried]
        for result, first, following in zip(loop.results, carried, loop.next, strict=True):
            self.line(_phi(result, first, before, following, last).strip())
        self._lines.given(result.name for result in loop.results)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run what is written inside only if the condition (i1) holds."""
        yes, end = self.label("then"), self.label("end")
        self.line(f"br i1 {condition.name}, label %{yes}, label %{end}")
        self._begin(yes)
        self._lines.enter_branch()
        yield
        self._lines.leave_branch()
        self.line(f"br label %{end}")
        self._begin(end)

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller of two signed integers."""
        return self.intrinsic("llvm.smin", a.type, a, b)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger of two signed integers."""
        return self.intrinsic("llvm.smax", a.type, a, b)

    def return_(self, value: Value | None = None) -> None:
        """End the function."""
        self.line(f"ret {value}" if value else "ret void")


def module(functions: Sequence[Function]) -> str:
    """The LLVM module of the functions, the helpers that they call, and declarations."""
    helpers: dict[str, Function] = {}
    waiting = list(functions)
    declarations: set[str] = set()
    while waiting:
        function = waiting.pop()
        declarations |= function.declarations
        for name, helper in function.helpers.items():
            if name not in helpers:
                helpers[name] = helper
                waiting.append(helper)
    texts = [helpers[name].text() for name in sorted(helpers)]
    texts += [function.text() for function in functions]
    return "\n\n".join([*texts, "\n".join(sorted(declarations)), "!0 = !{}", ""])


def _is_one_round(start: Value, stop: Value, step: Value) -> bool:
    bounds, pace = both_known(start, stop), both_known(stop, step)
    return bool(bounds and pace and bounds[0] < bounds[1] <= bounds[0] + pace[1])


def _phi(value: Value, a: Value, from_a: str, b: Value, from_b: str) -> str:
    return f"  {value.name} = phi {value.type} [{a.name}, %{from_a}], [{b.name}, %{from_b}]"
