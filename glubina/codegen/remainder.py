"""Remainders and floored quotients, as NumPy and Python define them (the divisor's sign)."""

from __future__ import annotations

from glubina.codegen.emitter import Function, Value, lanes_of, scalar_of, vector


def integer_divmod(f: Function, kind: str, x: Value, y: Value) -> tuple[Value, Value]:
    """x // y and x % y of integers; by zero both are 0."""
    type_ = x.type
    zero, one = f.const(0, type_), f.const(1, type_)
    by_zero = f.compare("eq", y, zero)
    divisor = f.select(by_zero, one, y)
    if kind == "u":
        quotient, rest = f.binary("udiv", x, divisor), f.binary("urem", x, divisor)
    else:
        # The smallest number over -1 overflows (and traps): -x wraps around as NumPy's does.
        minus = f.compare("eq", y, f.const(-1, type_))
        divisor = f.select(minus, one, divisor)
        quotient, rest = f.binary("sdiv", x, divisor), f.binary("srem", x, divisor)
        quotient = f.select(minus, f.binary("sub", zero, quotient), quotient)
        opposite = f.compare("slt", f.binary("xor", rest, divisor), zero)
        short = f.binary("and", opposite, f.compare("ne", rest, zero))
        short = f.binary("and", short, f.compare("eq", minus, f.const(0, minus.type)))
        quotient = f.select(short, f.binary("sub", quotient, one), quotient)
        rest = f.select(short, f.binary("add", rest, divisor), rest)
    return f.select(by_zero, zero, quotient), f.select(by_zero, zero, rest)


def float_remainder(f: Function, x: Value, y: Value) -> Value:
    """x - y floor(x / y), exact; a zero has the sign of y."""
    name = f"remainder.{_suffix(x.type)}"
    return f.call_helper(name, lambda: _write_remainder(name, x.type), x.type, x, y)


def float_floor_divide(f: Function, x: Value, y: Value) -> Value:
    """floor(x / y) from the exact remainder."""
    type_ = x.type
    rest = float_remainder(f, x, y)
    quotient = f.fdiv(f.emit(type_, f"fsub {x}, {rest.name}"), y)
    down = f.intrinsic("llvm.floor", type_, quotient)
    above = f.compare("ogt", f.emit(type_, f"fsub {quotient}, {down.name}"), f.const(0.5, type_))
    down = f.select(above, f.fadd(down, f.const(1, type_)), down)
    signed = f.intrinsic("llvm.copysign", type_, f.const(0, type_), f.fdiv(x, y))
    result = f.select(f.compare("oeq", quotient, f.const(0, type_)), signed, down)
    by_zero = f.compare("oeq", y, f.const(0, type_))
    return f.select(by_zero, f.fdiv(x, y), result)


def _suffix(type_: str) -> str:
    return f"{scalar_of(type_)}{lanes_of(type_)}"


def _write_remainder(name: str, type_: str) -> Function:
    """Subtract multiples q |y| with q rounded toward zero to few bits: each step is exact."""
    f = Function(name, [("x", type_), ("y", type_)], type_, "nounwind", "internal ")
    x, y = f.parameters
    scalar = "double" if scalar_of(type_) == "double" else "float"
    wide = vector(scalar, lanes_of(type_))
    if wide != type_:
        x, y = f.convert("fpext", x, scalar), f.convert("fpext", y, scalar)
    size = f.intrinsic("llvm.fabs", wide, y)
    start = f.intrinsic("llvm.fabs", x.type, x)
    zero = f.const(0, wide)
    head, body, done = f.label("head"), f.label("body"), f.label("done")
    f.line(f"br label %{head}")
    f.block(head)
    left = Value("%left", wide)
    f.line(f"%left = phi {wide} [{start.name}, %entry], [%next, %{body}]")
    infinite = f.const(float("inf"), wide)
    more = f.binary("and", f.compare("oge", left, size), f.compare("olt", left, infinite))
    more = f.binary("and", more, f.compare("ogt", size, zero))
    f.line(f"br i1 {f.any(more).name}, label %{body}, label %{done}")
    f.block(body)
    bits, low = ("i64", -(1 << 14)) if scalar == "double" else ("i32", -(1 << 13))
    safe = f.select(more, size, f.const(1, wide))
    # A quotient that overflows is cut to the largest power that keeps q |y| finite.
    quotient = f.emit(wide, f"fdiv {left}, {safe.name}")
    largest = f.const(2.0**1000 if scalar == "double" else 2.0**120, wide)
    quotient = f.select(f.compare("olt", quotient, largest), quotient, largest)
    whole = f.intrinsic("llvm.trunc", wide, quotient)
    cut = f.convert("bitcast", whole, bits)
    cut = f.binary("and", cut, f.const(low, cut.type))
    whole = f.convert("bitcast", cut, scalar)
    whole = f.select(f.compare("olt", whole, f.const(1, wide)), f.const(1, wide), whole)
    step = f.fma(f.fneg(whole), safe, left)
    # The quotient may have been rounded up past the whole number below it.
    step = f.select(f.compare("olt", step, zero), f.fadd(step, safe), step)
    following = f.select(more, step, left)
    f.line(f"%next = select {f.const(1, vector('i1', lanes_of(wide)))}, {following}, {following}")
    f.line(f"br label %{head}")
    f.block(done)
    f.return_(_signed(f, x, y, size, left, type_))
    return f


def _signed(f: Function, x: Value, y: Value, size: Value, left: Value, type_: str) -> Value:
    """The remainder of the absolute values, given the signs that x and y ask for."""
    wide = left.type
    zero = f.const(0, wide)
    rest = f.intrinsic("llvm.copysign", wide, left, x)
    product = f.convert("bitcast", x, "i64" if scalar_of(wide) == "double" else "i32")
    other = f.convert("bitcast", y, scalar_of(product.type))
    opposite = f.compare("slt", f.binary("xor", product, other), f.const(0, product.type))
    nonzero = f.compare("one", left, zero)
    rest = f.select(f.binary("and", opposite, nonzero), f.fadd(rest, y), rest)
    signed_zero = f.intrinsic("llvm.copysign", wide, zero, y)
    rest = f.select(f.compare("oeq", left, zero), signed_zero, rest)
    infinite = f.compare("oeq", f.intrinsic("llvm.fabs", wide, x), f.const(float("inf"), wide))
    undefined = f.binary("or", infinite, f.compare("oeq", size, zero))
    undefined = f.binary("or", undefined, f.compare("uno", x, y))
    rest = f.select(undefined, f.const(float("nan"), wide), rest)
    if wide != type_:
        rest = f.convert("fptrunc", rest, scalar_of(type_))
    return rest
