"""Element-wise operations as vector code: name and dtype in, instructions out.

Values in registers have the dtype's LLVM type, but a bool is one bit. All operations mean what
NumPy's function of the same name means; what NumPy leaves open or traps on (integers divided by
zero, shifts by too much, numbers too large for an integer) gives a defined number here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from glubina.codegen import remainder, vector_math
from glubina.codegen.emitter import Function
from glubina.codegen.target import llvm_type
from glubina.codegen.values import Value, lanes_of, scalar_of, vector

DType = np.dtype[Any]
INDEX = np.dtype(np.int64)
Rule = Callable[[Function, str, list[Value]], Value]


def register_type(dtype: DType) -> str:
    """The LLVM type of one element in a register."""
    return "i1" if dtype.kind == "b" else llvm_type(dtype)


def apply(f: Function, name: str, dtype: DType, result: DType, operands: list[Value]) -> Value:
    """The operation `name` on operands of equal lanes; `dtype` is that of the (last) operand."""
    if name == "cast":
        return cast(f, operands[0], dtype, result)
    if name == "where":
        return f.select(*operands)
    if dtype.kind == "f" and name in vector_math.FUNCTIONS:
        return vector_math.call(f, name, operands)
    if name in _COMPARISONS:
        return _compare(f, _COMPARISONS[name], dtype.kind, operands)
    rules = _FLOATS if dtype.kind == "f" else _INTEGERS
    return rules[name](f, dtype.kind, operands)


_COMPARISONS = {
    "less": ("olt", "slt", "ult"),
    "less_equal": ("ole", "sle", "ule"),
    "equal": ("oeq", "eq", "eq"),
    "not_equal": ("une", "ne", "ne"),
}


def _compare(f: Function, predicates: tuple[str, str, str], kind: str, x: list[Value]) -> Value:
    return f.compare(predicates[{"f": 0, "i": 1, "u": 2, "b": 2}[kind]], *x)


# -- casts --------------------------------------------------------------------------------------


def cast(f: Function, x: Value, source: DType, result: DType) -> Value:
    """x in another dtype; floating to integer drops the fraction and stays within the range."""
    if source == result:
        return x
    to = register_type(result)
    if result.kind == "b":
        if source.kind == "f":
            return f.compare("une", x, f.const(0, x.type))
        return f.compare("ne", x, f.const(0, x.type))
    if source.kind == "f":
        if result.kind == "f":
            return f.convert("fptrunc" if result.itemsize < source.itemsize else "fpext", x, to)
        return _saturate(f, x, to, result.kind)
    if result.kind == "f":
        return f.convert("sitofp" if source.kind == "i" else "uitofp", x, to)
    if source.kind != "b" and result.itemsize == source.itemsize:
        return x
    if source.kind != "b" and result.itemsize < source.itemsize:
        return f.convert("trunc", x, to)
    return f.convert("sext" if source.kind == "i" else "zext", x, to)


def _saturate(f: Function, x: Value, to: str, kind: str) -> Value:
    type_ = vector(to, lanes_of(x.type))
    short = {"half": "f16", "float": "f32", "double": "f64"}[scalar_of(x.type)]
    lanes = lanes_of(x.type)
    prefix = f"v{lanes}" if lanes > 1 else ""
    sign = "s" if kind == "i" else "u"
    return f.call(f"llvm.fpto{sign}i.sat.{prefix}{to}.{prefix}{short}", type_, x)


# -- floating point -----------------------------------------------------------------------------


def _isnan(f: Function, x: Value) -> Value:
    return f.compare("uno", x, x)


def float_maximum(f: Function, x: Value, y: Value) -> Value:
    """The larger; NaN if one is NaN."""
    larger = f.select(f.compare("ogt", x, y), x, y)  # one instruction; y if one is NaN
    return f.select(_isnan(f, x), x, larger)


def float_minimum(f: Function, x: Value, y: Value) -> Value:
    """The smaller; NaN if one is NaN."""
    smaller = f.select(f.compare("olt", x, y), x, y)
    return f.select(_isnan(f, x), x, smaller)


def _float_sign(f: Function, k: str, x: list[Value]) -> Value:
    (a,) = x
    zero = f.const(0, a.type)
    one = f.intrinsic("llvm.copysign", a.type, f.const(1, a.type), a)
    # a denormal number is neither positive nor negative: it counts as zero
    return f.select(f.compare("one", a, zero), one, f.select(_isnan(f, a), a, zero))


def _float_relu(f: Function, k: str, x: list[Value]) -> Value:
    zero = f.const(0, x[0].type)
    return f.select(f.compare("ogt", zero, x[0]), zero, x[0])  # NaN stays


def _call(name: str) -> Rule:
    return lambda f, k, x: f.intrinsic(name, x[0].type, *x)


_FLOATS: dict[str, Rule] = {
    "negative": lambda f, k, x: f.fneg(x[0]),
    "absolute": _call("llvm.fabs"),
    "sqrt": _call("llvm.sqrt"),
    "floor": _call("llvm.floor"),
    "ceil": _call("llvm.ceil"),
    "round": _call("llvm.roundeven"),
    "sign": _float_sign,
    "relu": _float_relu,
    "isnan": lambda f, k, x: _isnan(f, x[0]),
    "add": lambda f, k, x: f.fadd(*x),
    "subtract": lambda f, k, x: f.fsub(*x),
    "multiply": lambda f, k, x: f.fmul(*x),
    "divide": lambda f, k, x: f.fdiv(*x),
    "maximum": lambda f, k, x: float_maximum(f, *x),
    "minimum": lambda f, k, x: float_minimum(f, *x),
    "remainder": lambda f, k, x: remainder.float_remainder(f, *x),
    "floor_divide": lambda f, k, x: remainder.float_floor_divide(f, *x),
}


# -- integers and booleans ----------------------------------------------------------------------


def bits_of(type_: str) -> int:
    """The width of an integer (element) type."""
    return int(scalar_of(type_)[1:])


def integer_extreme(f: Function, name: str, kind: str, x: Value, y: Value) -> Value:
    """The larger ("max") or smaller ("min") of integers of a kind ("i", "u", "b")."""
    return f.intrinsic(f"llvm.{'s' if kind == 'i' else 'u'}{name}", x.type, x, y)


def _integer_sign(f: Function, kind: str, x: list[Value]) -> Value:
    (a,) = x
    zero = f.const(0, a.type)
    positive = f.convert("zext", f.compare("ne", a, zero), scalar_of(a.type))
    if kind == "u":
        return positive
    return f.select(f.compare("slt", a, zero), f.const(-1, a.type), positive)


def _absolute(f: Function, kind: str, x: list[Value]) -> Value:
    if kind == "u":
        return x[0]
    return f.call(f"llvm.abs.{_suffix(x[0].type)}", x[0].type, x[0], Value("false", "i1"))


def _suffix(type_: str) -> str:
    return type_ if type_[0] != "<" else f"v{lanes_of(type_)}{scalar_of(type_)}"


def _integer_relu(f: Function, kind: str, x: list[Value]) -> Value:
    return integer_extreme(f, "max", kind, x[0], f.const(0, x[0].type))


def _shift(instruction: str) -> Rule:
    def rule(f: Function, kind: str, x: list[Value]) -> Value:
        a, by = x
        bits = bits_of(a.type)
        code = instruction
        if code == "shr":
            code = "ashr" if kind == "i" else "lshr"
        beyond = f.compare("uge", by, f.const(bits, a.type))
        inside = f.select(beyond, f.const(bits - 1, a.type), by)
        shifted = f.binary(code, a, inside)
        return shifted if code == "ashr" else f.select(beyond, f.const(0, a.type), shifted)

    return rule


def _power(f: Function, kind: str, x: list[Value]) -> Value:
    """Repeated squaring, one bit of the exponent after the other."""
    base, exponent = x
    one = f.const(1, base.type)
    bits = f.i64(bits_of(base.type))
    with f.loop(f.i64(0), bits, f.i64(1), [one, base, exponent]) as loop:
        total, square, left = loop.values
        odd = f.compare("ne", f.binary("and", left, one), f.const(0, base.type))
        total = f.select(odd, f.mul(total, square), total)
        loop.carry([total, f.mul(square, square), f.binary("lshr", left, one)])
    return loop.results[0]


_INTEGERS: dict[str, Rule] = {
    "negative": lambda f, k, x: f.binary("sub", f.const(0, x[0].type), x[0]),
    "absolute": _absolute,
    "sign": _integer_sign,
    "relu": _integer_relu,
    "logical_not": lambda f, k, x: f.binary("xor", x[0], f.const(1, x[0].type)),
    "bitwise_not": lambda f, k, x: f.binary("xor", x[0], f.const(-1, x[0].type)),
    "add": lambda f, k, x: f.binary("add", *x),
    "subtract": lambda f, k, x: f.binary("sub", *x),
    "multiply": lambda f, k, x: f.binary("mul", *x),
    "power": _power,
    "maximum": lambda f, k, x: integer_extreme(f, "max", k, *x),
    "minimum": lambda f, k, x: integer_extreme(f, "min", k, *x),
    "remainder": lambda f, k, x: remainder.integer_divmod(f, k, *x)[1],
    "floor_divide": lambda f, k, x: remainder.integer_divmod(f, k, *x)[0],
    "logical_and": lambda f, k, x: f.binary("and", *x),
    "logical_or": lambda f, k, x: f.binary("or", *x),
    "logical_xor": lambda f, k, x: f.binary("xor", *x),
    "bitwise_and": lambda f, k, x: f.binary("and", *x),
    "bitwise_or": lambda f, k, x: f.binary("or", *x),
    "bitwise_xor": lambda f, k, x: f.binary("xor", *x),
    "shift_left": _shift("shl"),
    "shift_right": _shift("shr"),
}


def zero(f: Function, dtype: DType) -> Value:
    """The number 0 as it is in memory."""
    return f.const(0, llvm_type(dtype))


def one_bit(f: Function, x: Value, dtype: DType) -> Value:
    """A value as it is in registers, from memory (a bool's byte becomes a bit)."""
    return f.compare("ne", x, f.const(0, x.type)) if dtype.kind == "b" else x


def one_byte(f: Function, x: Value, dtype: DType) -> Value:
    """A value as it is in memory, from a register (a bool's bit becomes a byte)."""
    return f.convert("zext", x, "i8") if dtype.kind == "b" else x
