"""The steps that the mathematical functions share: splitting exponents, polynomials, constants."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.codegen import polynomials
from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, lanes_of, scalar_of, vector

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has zeros at its end, so that n times it is exact.
LN2_HIGH = {"float": 0.693359375, "double": 6.93147180369123816490e-01}
LN2_LOW = {"float": -2.12194440e-4, "double": 1.90821492927058770002e-10}
# Adding and subtracting this rounds to a whole number, which stands in the lowest bits.
ROUNDER = {"float": 1.5 * 2.0**23, "double": 1.5 * 2.0**52}
# Multiplies by a power of two: the type that only AVX-512 has registers for, and its instruction.
SCALED = ("<16 x float>", "llvm.x86.avx512.mask.scalef.ps.512")


class Arithmetic:
    """Floating-point arithmetic on one type of a function under construction."""

    def __init__(self, f: Function, type_: str) -> None:
        self.f = f
        self.type = type_
        self.scalar = scalar_of(type_)
        self.single = self.scalar == "float"
        self.bits = "i32" if self.single else "i64"
        self.mantissa = 23 if self.single else 52
        self.bias = 127 if self.single else 1023
        self._wholes: dict[Value, Value] = {}  # integers that are there as floats already

    # -- plain steps ----------------------------------------------------------------------------

    def const(self, value: float) -> Value:
        """A constant in every lane."""
        return self.f.const(value, self.type)

    def integer(self, value: int) -> Value:
        """An integer of the same width in every lane."""
        return self.f.const(value, vector(self.bits, lanes_of(self.type)))

    def add(self, a: Value, b: Value) -> Value:
        """a + b, not to be merged with a product."""
        return self.f.emit(self.type, f"fadd {a}, {b.name}")

    def sub(self, a: Value, b: Value) -> Value:
        """a - b, not to be merged with a product."""
        return self.f.emit(self.type, f"fsub {a}, {b.name}")

    def mul(self, a: Value, b: Value) -> Value:
        """a * b, rounded."""
        return self.f.emit(self.type, f"fmul {a}, {b.name}")

    def div(self, a: Value, b: Value) -> Value:
        """a / b."""
        return self.f.fdiv(a, b)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        return self.f.fma(a, b, c)

    def absolute(self, a: Value) -> Value:
        """|a|."""
        return self.f.intrinsic("llvm.fabs", self.type, a)

    def copysign(self, a: Value, b: Value) -> Value:
        """|a| with the sign of b."""
        return self.f.intrinsic("llvm.copysign", self.type, a, b)

    def less(self, a: Value, b: Value | float) -> Value:
        """a < b, false for NaN."""
        return self.f.compare("olt", a, b if isinstance(b, Value) else self.const(b))

    def equal(self, a: Value, b: float) -> Value:
        """a == b, false for NaN."""
        return self.f.compare("oeq", a, self.const(b))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        """a where the condition holds, else b."""
        return self.f.select(condition, a, b)

    def to_bits(self, a: Value) -> Value:
        """The bits as an integer."""
        return self.f.convert("bitcast", a, self.bits)

    def from_bits(self, a: Value) -> Value:
        """The number with these bits."""
        return self.f.convert("bitcast", a, self.scalar)

    def clamp(self, a: Value, low: float, high: float) -> Value:
        """a within [low, high]; NaN stays."""
        a = self.select(self.less(a, low), self.const(low), a)
        return self.select(self.less(self.const(high), a), self.const(high), a)

    def polynomial(self, x: Value, table: polynomials.Table | Sequence[float]) -> Value:
        """c0 + c1 x + c2 x^2 + ..., by Horner's rule."""
        coefficients = table[self.scalar] if isinstance(table, dict) else table
        total = self.const(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            total = self.fma(total, x, self.const(c))
        return total

    # -- powers of two --------------------------------------------------------------------------

    def power_of_two(self, n: Value) -> Value:
        """2^n for an integer n whose power is a normal number."""
        biased = self.f.binary("add", n, self.integer(self.bias))
        return self.from_bits(self.f.binary("shl", biased, self.integer(self.mantissa)))

    def scale(self, a: Value, n: Value) -> Value:
        """a 2^n, in two steps so that denormal results come out right; or by one instruction."""
        if self.type == SCALED[0]:  # as many lanes as only AVX-512 has in a register
            power = self._wholes.get(n) or self.f.convert("sitofp", n, self.scalar)
            everywhere, nearest = Value("-1", "i16"), Value("4", "i32")
            return self.f.call(SCALED[1], self.type, a, power, a, everywhere, nearest)
        half = self.f.binary("ashr", n, self.integer(1))
        rest = self.f.binary("sub", n, half)
        return self.mul(self.mul(a, self.power_of_two(half)), self.power_of_two(rest))

    def reduce_exp(self, x: Value) -> tuple[Value, Value]:
        """The integer n and r with x = n ln 2 + r, |r| <= ln 2 / 2 (for |x| up to 1000)."""
        shifted = self.fma(x, self.const(LOG2_E), self.const(ROUNDER[self.scalar]))
        whole = self.sub(shifted, self.const(ROUNDER[self.scalar]))
        start = self.to_bits(self.const(ROUNDER[self.scalar]))
        n = self.f.binary("sub", self.to_bits(shifted), start)
        self._wholes[n] = whole
        minus = self.f.fneg(whole)
        r = self.fma(minus, self.const(LN2_HIGH[self.scalar]), x)
        return n, self.fma(minus, self.const(LN2_LOW[self.scalar]), r)

    def exp_reduced(self, r: Value, careful: bool = False) -> Value:
        """e^r = 1 + r + r^2 (...) for |r| <= ln 2 / 2; careful: with half the error."""
        q = self.polynomial(r, polynomials.EXP)
        one = self.const(1)
        if not careful:
            return self.add(one, self.fma(self.mul(r, r), q, r))
        head = self.add(one, r)
        lost = self.add(self.sub(one, head), r)
        return self.add(head, self.fma(self.mul(r, r), q, lost))

    # -- logarithms -----------------------------------------------------------------------------

    def split(self, x: Value) -> tuple[Value, Value]:
        """k (as a float) and f with x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); x > 0."""
        f = self.f
        smallest = 2.0**-126 if self.single else 2.0**-1022
        up = 2.0**25 if self.single else 2.0**54
        tiny = self.less(x, smallest)
        x = self.select(tiny, self.mul(x, self.const(up)), x)
        bits = self.to_bits(x)
        # Counting the exponent from sqrt(1/2) makes it change there instead of at 1.
        root = 0x3F3504F3 if self.single else 0x3FE6A09E667F3BCD
        above = f.binary("sub", bits, self.integer(root))
        k = f.binary("ashr", above, self.integer(self.mantissa))
        k_bits = f.binary("shl", k, self.integer(self.mantissa))
        m = self.from_bits(f.binary("sub", bits, k_bits))
        shift = self.const(-25.0 if self.single else -54.0)
        k_float = f.convert("sitofp", k, self.scalar)
        k_float = self.add(k_float, self.select(tiny, shift, self.const(0)))
        return k_float, self.sub(m, self.const(1))

    def log_sum(self, k: Value, f: Value, lost: Value | None) -> Value:
        """k ln 2 + ln(1 + f) + lost."""
        low = self.mul(k, self.const(LN2_LOW[self.scalar]))
        if lost is not None:
            low = self.add(low, lost)
        half = self.mul(self.mul(f, f), self.const(0.5))
        if self.single:
            cubic = self.mul(self.mul(f, f), f)
            tail = self.fma(cubic, self.polynomial(f, polynomials.LOG), low)
            part = self.add(self.sub(tail, half), f)
        else:
            s = self.div(f, self.add(f, self.const(2)))
            z = self.mul(s, s)
            r = self.mul(z, self.polynomial(z, polynomials.LOG_RATIO))
            tail = self.fma(s, self.add(half, r), low)
            part = self.sub(f, self.sub(half, tail))
        return self.fma(k, self.const(LN2_HIGH[self.scalar]), part)

    def log_special(self, x: Value, result: Value) -> Value:
        """The logarithm's result, put right for 0, negative numbers, infinity and NaN."""
        infinity = float("inf")
        result = self.select(self.equal(x, infinity), x, result)
        result = self.select(self.equal(x, 0.0), self.const(-infinity), result)
        result = self.select(self.less(x, 0.0), self.const(float("nan")), result)
        return self.select(self.f.compare("uno", x, x), x, result)
