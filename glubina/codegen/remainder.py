"""Remainders and floored quotients, as NumPy and Python define them (the divisor's sign)."""

from __future__ import annotations

from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, lanes_of, scalar_of


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
    # x over an infinity of the other sign leaves all of that infinity
    endless = f.compare("oeq", f.intrinsic("llvm.fabs", type_, rest), f.const(float("inf"), type_))
    result = f.select(endless, f.const(-1, type_), result)
    by_zero = f.compare("oeq", y, f.const(0, type_))
    return f.select(by_zero, f.fdiv(x, y), result)


def _suffix(type_: str) -> str:
    return f"{scalar_of(type_)}{lanes_of(type_)}"


def _write_remainder(name: str, type_: str) -> Function:
    """Subtract multiples q y with q rounded to few bits until |x| < |y|: each step is exact."""
    f = Function(name, [("x", type_), ("y", type_)], type_, "nounwind", "internal ")
    x, y = (f.convert("fpext", v, "double") for v in f.parameters)
    wide = x.type
    size = f.intrinsic("llvm.fabs", wide, y)
    zero, one = f.const(0, wide), f.const(1, wide)
    infinite = f.const(float("inf"), wide)
    head, body, done = f.label("head"), f.label("body"), f.label("done")
    f.line(f"br label %{head}")
    f.block(head)
    left = Value("%left", wide)
    f.line(f"%left = phi {wide} [{x.name}, %entry], [%next, %{body}]")
    length = f.intrinsic("llvm.fabs", wide, left)
    more = f.binary("and", f.compare("oge", length, size), f.compare("olt", length, infinite))
    more = f.binary("and", more, f.compare("ogt", size, zero))
    f.line(f"br i1 {f.any(more).name}, label %{body}, label %{done}")
    f.block(body)
    safe = f.select(more, size, one)
    # Where even the quotient is too large for a double, a power of two times |y| is taken first.
    far = f.compare("oeq", f.fdiv(length, safe), infinite)
    safe = f.select(far, f.emit(wide, f"fmul {safe}, {f.const(2.0**1000, wide).name}"), safe)
    bits = f.convert("bitcast", f.intrinsic("llvm.roundeven", wide, f.fdiv(left, safe)), "i64")
    bits = f.binary("add", bits, f.const(1 << 13, bits.type))
    bits = f.binary("and", bits, f.const(-(1 << 14), bits.type))
    whole = f.convert("bitcast", bits, "double")
    step = f.fma(f.fneg(whole), safe, left)
    following = f.select(more, step, left)
    f.line(f"%next = bitcast {following} to {wide}")
    f.line(f"br label %{head}")
    f.block(done)
    # Rounding to nearest may have crossed zero: back to the sign of x.
    crossed = f.compare("olt", f.emit(wide, f"fmul {_sign(f, left)}, {x.name}"), zero)
    back = f.emit(wide, f"fadd {left}, {f.intrinsic('llvm.copysign', wide, size, x).name}")
    rest = f.select(crossed, back, left)
    f.return_(_signed(f, rest, type_))
    return f


def _sign(f: Function, x: Value) -> Value:
    """-1, 0 or 1."""
    one = f.intrinsic("llvm.copysign", x.type, f.const(1, x.type), x)
    return f.select(f.compare("oeq", x, f.const(0, x.type)), f.const(0, x.type), one)


def _signed(f: Function, rest: Value, type_: str) -> Value:
    """The remainder with the sign of y, from that with the sign of x."""
    x, y = f.parameters
    zero = f.const(0, type_)
    rest = f.convert("fptrunc", rest, scalar_of(type_))
    product = f.emit(type_, f"fmul {_sign(f, rest)}, {_sign(f, y).name}")
    added = f.emit(type_, f"fadd {rest}, {y.name}")
    result = f.select(f.compare("olt", product, zero), added, rest)
    signed_zero = f.intrinsic("llvm.copysign", type_, zero, y)
    result = f.select(f.compare("oeq", rest, zero), signed_zero, result)
    infinite = f.compare("oeq", f.intrinsic("llvm.fabs", type_, x), f.const(float("inf"), type_))
    undefined = f.binary("or", infinite, f.compare("oeq", y, zero))
    undefined = f.binary("or", undefined, f.compare("uno", x, y))
    return f.select(undefined, f.const(float("nan"), type_), result)
