"""exp, log, tanh, erf, sin, power and their like for whole vectors, as polynomials.

float32 within 2 units in the last place and float64 within 4, over the whole range, with NaN,
infinities, denormal numbers and both zeros as IEEE 754 and NumPy have them. LLVM would turn the
vector forms into one library call per lane.

Each function is written once per module as a function of its own, which LLVM puts inline.
"""

from __future__ import annotations

from collections.abc import Callable

from glubina.codegen import polynomials
from glubina.codegen.arithmetic import Arithmetic
from glubina.codegen.emitter import Function
from glubina.codegen.power import write_power
from glubina.codegen.trigonometry import write_cos, write_sin
from glubina.codegen.values import Value, lanes_of, scalar_of

Writer = Callable[[Arithmetic, list[Value]], Value]


def call(f: Function, name: str, operands: list[Value]) -> Value:
    """The function `name` (a key of FUNCTIONS) of float, double or half vectors or scalars."""
    type_ = operands[0].type
    scalar = scalar_of(type_)
    if scalar == "half":
        wide = [f.convert("fpext", x, "float") for x in operands]
        return f.convert("fptrunc", call(f, name, wide), "half")
    symbol = f"math.{name}.{scalar}{lanes_of(type_)}"
    return f.call_helper(symbol, lambda: _write(symbol, name, type_), type_, *operands)


def _write(symbol: str, name: str, type_: str) -> Function:
    letters = "xy"[: 2 if name == "power" else 1]
    f = Function(symbol, [(x, type_) for x in letters], type_, "alwaysinline nounwind", "internal ")
    f.return_(FUNCTIONS[name](Arithmetic(f, type_), f.parameters))
    return f


def _exp(m: Arithmetic, x: list[Value], careful: bool = False) -> Value:
    low, high = (-104.0, 89.0) if m.single else (-746.0, 710.0)
    n, r = m.reduce_exp(m.clamp(x[0], low, high))
    return m.scale(m.exp_reduced(r, careful), n)


def _expm1(m: Arithmetic, x: list[Value]) -> Value:
    """2^n (e^r - 1) + (2^n - 1), from half of it so that 2^n does not overflow."""
    low, high = (-20.0, 89.0) if m.single else (-40.0, 710.0)
    n, r = m.reduce_exp(m.clamp(x[0], low, high))
    half = m.power_of_two(m.f.binary("sub", n, m.integer(1)))
    q = m.mul(m.mul(r, r), m.polynomial(r, polynomials.EXP))
    head = m.fma(half, r, m.sub(half, m.const(0.5)))
    whole = m.mul(m.const(2), m.fma(half, q, head))
    tiny = m.less(m.absolute(x[0]), 2.0**-30 if m.single else 2.0**-60)
    return m.select(tiny, x[0], whole)


def _log(m: Arithmetic, x: list[Value]) -> Value:
    k, f = m.split(x[0])
    return m.log_special(x[0], m.log_sum(k, f, None))


def _log1p(m: Arithmetic, x: list[Value]) -> Value:
    """ln of u = 1 + x as rounded, and what the rounding lost, divided by u."""
    one = m.const(1)
    u = m.add(one, x[0])
    larger = m.f.compare("ogt", x[0], one)
    lost_large = m.sub(one, m.sub(u, x[0]))
    lost_small = m.sub(x[0], m.sub(u, one))
    lost = m.div(m.select(larger, lost_large, lost_small), u)
    k, f = m.split(u)
    result = m.log_special(u, m.log_sum(k, f, lost))
    tiny = m.less(m.absolute(x[0]), 2.0**-25 if m.single else 2.0**-54)
    return m.select(tiny, x[0], result)


def _tanh(m: Arithmetic, x: list[Value]) -> Value:
    size = m.absolute(x[0])
    limit = 10.0 if m.single else 22.0
    size = m.select(m.less(m.const(limit), size), m.const(limit), size)
    double = m.add(size, size)
    if not m.single:
        e = _expm1(m, [double])
        return m.copysign(m.div(e, m.add(e, m.const(2))), x[0])
    e = _exp(m, [double])
    large = m.sub(m.const(1), m.div(m.const(2), m.add(e, m.const(1))))
    z = m.mul(size, size)
    small = m.fma(m.mul(z, m.polynomial(z, polynomials.TANH)), size, size)
    return m.copysign(m.select(m.less(size, 0.625), small, large), x[0])


def _sigmoid(m: Arithmetic, x: list[Value]) -> Value:
    """e / (1 + e) with e = exp(-|x|), or 1 / (1 + e) where x is positive: no overflow."""
    one = m.const(1)
    e = _exp(m, [m.f.fneg(m.absolute(x[0]))], careful=True)
    top = m.select(m.less(x[0], 0.0), e, one)
    bottom = m.add(one, e)
    lost = m.add(m.sub(one, bottom), e)
    quotient = m.div(top, bottom)
    return m.fma(m.f.fneg(quotient), lost, quotient)


def _erf(m: Arithmetic, x: list[Value]) -> Value:
    t = m.absolute(x[0])
    z = m.mul(t, t)
    small = m.fma(m.polynomial(z, polynomials.ERF), t, t)
    if m.single:
        border = 0.927734375
        exponent = m.fma(m.polynomial(t, polynomials.ERFC), t, m.f.fneg(t))
        tail = _exp(m, [exponent])
    else:
        border = 1.0
        t = m.select(m.less(m.const(6.0), t), m.const(6.0), t)
        two = m.const(2)
        ratio = m.div(m.sub(t, two), m.add(t, two))
        tail = m.mul(_exp(m, [m.f.fneg(m.mul(t, t))]), m.polynomial(ratio, polynomials.ERFC))
    large = m.sub(m.const(1), tail)
    return m.copysign(m.select(m.less(t, border), small, large), x[0])


FUNCTIONS: dict[str, Writer] = {
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
    "sin": write_sin,
    "cos": write_cos,
    "power": write_power,
}
