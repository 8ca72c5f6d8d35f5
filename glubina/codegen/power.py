"""x^y of whole vectors, with the special cases of C99 (Annex F) and NumPy.

y ln x can be as large as 745, and its absolute error becomes the relative error of the result: the
logarithm is worked out to more digits than the result has. For float that is plain double; for
double it is a sum of two doubles.
"""

from __future__ import annotations

from glubina.codegen import polynomials
from glubina.codegen.arithmetic import Arithmetic
from glubina.codegen.values import Value, lanes_of, vector

# ln 2 in two parts, the first short enough that an exponent times it is exact.
LN2_PARTS = (0.6931471803691238, 1.9082149292705877e-10)
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)

Pair = tuple[Value, Value]


def write_power(m: Arithmetic, x: list[Value]) -> Value:
    """x^y."""
    base, exponent = x
    size = m.absolute(base)
    if m.single:
        wide = Arithmetic(m.f, vector("double", lanes_of(m.type)))
        a = m.f.convert("fpext", size, "double")
        b = m.f.convert("fpext", exponent, "double")
        core = m.f.convert("fptrunc", _simple(wide, a, b), "float")
    else:
        core = _precise(m, size, exponent)
    return _special(m, base, exponent, size, core)


def _simple(m: Arithmetic, x: Value, y: Value) -> Value:
    k, f = m.split(x)
    product = m.mul(y, m.log_sum(k, f, None))
    n, r = m.reduce_exp(m.clamp(product, -740.0, 709.0))
    return m.scale(m.exp_reduced(r), n)


def _precise(m: Arithmetic, x: Value, y: Value) -> Value:
    high, low = _log_pair(m, x)
    # Exponents so large that the result overflows or vanishes whatever they are would give
    # infinite products; what is beyond the clamp decides nothing.
    y = m.clamp(y, -1e200, 1e200)
    product = m.mul(y, high)
    rest = m.fma(y, low, m.fma(y, high, m.f.fneg(product)))
    beyond = m.f.compare("ogt", m.absolute(product), m.const(800.0))
    rest = m.select(beyond, m.const(0.0), rest)
    n, r = m.reduce_exp(m.clamp(product, -800.0, 800.0))
    n = _limited(m, n)
    return m.scale(m.exp_reduced(m.add(r, rest), careful=True), n)


def _limited(m: Arithmetic, n: Value) -> Value:
    n = m.f.intrinsic("llvm.smin", n.type, n, m.integer(1030))
    return m.f.intrinsic("llvm.smax", n.type, n, m.integer(-1100))


def _two_sum(m: Arithmetic, a: Value, b: Value) -> Pair:
    """a + b and its rounding error, for |a| >= |b|."""
    total = m.add(a, b)
    return total, m.add(m.sub(a, total), b)


def _log_pair(m: Arithmetic, x: Value) -> Pair:
    """ln x as a sum of two doubles, for positive finite x: ln 2^k + 2 s + (2/3) s^3 + ..."""
    k, f = m.split(x)
    two = m.const(2)
    bottom = m.add(two, f)
    bottom_low = m.add(m.sub(two, bottom), f)
    s = m.div(f, bottom)
    left = m.fma(m.f.fneg(s), bottom, f)
    s_low = m.div(m.fma(m.f.fneg(s), bottom_low, left), bottom)
    z = m.mul(s, s)
    z_low = m.fma(m.add(s, s), s_low, m.fma(s, s, m.f.fneg(z)))
    tail = m.mul(z, m.polynomial(z, polynomials.LOG_TAIL))
    # (2/3 + tail) s^3, as the product of three pairs
    factor, factor_low = _two_sum(m, m.const(TWO_THIRDS[0]), tail)
    factor_low = m.add(factor_low, m.const(TWO_THIRDS[1]))
    cube = m.mul(z, s)
    cube_low = m.fma(z, s, m.f.fneg(cube))
    cube_low = m.fma(z, s_low, m.fma(z_low, s, cube_low))
    part = m.mul(cube, factor)
    part_low = m.fma(cube, factor, m.f.fneg(part))
    part_low = m.fma(cube, factor_low, m.fma(cube_low, factor, part_low))
    # k ln 2 + 2 s + part, from the largest to the smallest
    shift = m.mul(k, m.const(LN2_PARTS[0]))
    series, series_low = _two_sum(m, m.add(s, s), part)
    # |k ln 2| exceeds |ln(1 + f)| unless it is zero, and then the sum is exact.
    high, low = _two_sum(m, shift, series)
    none = m.equal(k, 0.0)
    high = m.select(none, series, high)
    low = m.select(none, m.const(0.0), low)
    low = m.add(low, m.add(series_low, m.add(part_low, m.add(s_low, s_low))))
    low = m.fma(k, m.const(LN2_PARTS[1]), low)
    return _two_sum(m, high, low)


def _special(m: Arithmetic, x: Value, y: Value, size: Value, core: Value) -> Value:
    """The result for zeros, infinities, negative bases and NaN."""
    f, infinity = m.f, float("inf")
    one, zero, inf = m.const(1), m.const(0), m.const(infinity)
    y_size = m.absolute(y)

    def either(a: Value, b: Value) -> Value:
        return f.binary("or", a, b)

    def both(a: Value, b: Value) -> Value:
        return f.binary("and", a, b)

    extreme = either(m.equal(size, 0.0), m.equal(size, infinity))
    extreme = either(extreme, m.equal(y_size, infinity))
    # The result grows without bound if |x| > 1 and y > 0, or |x| < 1 and y < 0.
    grows = f.binary("xor", f.compare("ogt", size, one), m.less(y, 0.0))
    limit = m.select(grows, inf, zero)
    limit = m.select(m.equal(size, 1.0), one, limit)
    result = m.select(extreme, limit, core)
    whole = f.compare("oeq", f.intrinsic("llvm.floor", m.type, y), y)
    half = m.mul(y, m.const(0.5))
    even = f.compare("oeq", f.intrinsic("llvm.floor", m.type, half), half)
    odd = both(whole, f.binary("xor", even, f.const(1, even.type)))
    result = m.select(odd, m.copysign(result, x), result)
    wrong = both(m.less(x, 0.0), f.binary("xor", whole, f.const(1, whole.type)))
    wrong = both(wrong, f.binary("xor", extreme, f.const(1, extreme.type)))
    wrong = either(wrong, f.compare("uno", x, y))
    result = m.select(wrong, m.const(float("nan")), result)
    return m.select(either(m.equal(y, 0.0), m.equal(x, 1.0)), one, result)
