"""sin and cos of whole vectors: reduction by multiples of π/2 over the whole range, polynomials.

Up to 2^16 (float) or 2^20 (double) three parts of π/2 are subtracted with fused multiplications.
Beyond that the lanes go one by one through exact integer arithmetic on the bits of 2/π that matter
(Payne and Hanek, "Radian reduction for trigonometric functions", 1983).
"""

from __future__ import annotations

from glubina.codegen import polynomials
from glubina.codegen.arithmetic import ROUNDER, Arithmetic
from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, lanes_of, vector

TWO_OVER_PI = 0.6366197723675814
HALF_PI = {
    "float": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "double": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
LIMIT = {"float": 2.0**16, "double": 2.0**20}

# The first 1280 bits of 2/π after the point, after 64 zeros that small exponents reach.
BITS_OF_TWO_OVER_PI = (
    0, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041,
    0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0, 0x06492EEA09D1921C,
    0xFE1DEB1CB129A73E, 0xE88235F52EBB4484, 0xE99C7026B45F7E41,
    0x3991D639835339F4, 0x9C845F8BBDF9283B, 0x1FF897FFDE05980F,
    0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08,
    0x56033046FC7B6BAB, 0xF0CFBC209AF4361D,
)  # fmt: skip


def write_sin(m: Arithmetic, x: list[Value]) -> Value:
    """sin x."""
    result = _wave(m, x[0], 0)
    tiny = m.less(m.absolute(x[0]), 2.0**-13 if m.single else 2.0**-27)
    return m.select(tiny, x[0], result)  # -0 stays -0


def write_cos(m: Arithmetic, x: list[Value]) -> Value:
    """cos x = sin(x + π/2)."""
    return _wave(m, x[0], 1)


def _wave(m: Arithmetic, x: Value, quarter: int) -> Value:
    f = m.f
    finite = m.less(m.absolute(x), float("inf"))
    x = m.select(finite, x, m.const(float("nan")))
    n, r = _reduce(m, x)
    z = m.mul(r, r)
    sine = m.fma(m.mul(r, z), m.polynomial(z, polynomials.SIN), r)
    half = m.mul(z, m.const(0.5))
    one = m.const(1)
    head = m.sub(one, half)
    rest = m.sub(m.sub(one, head), half)
    cosine = m.add(head, m.fma(m.mul(z, z), m.polynomial(z, polynomials.COS), rest))
    turn = f.binary("add", n, m.integer(quarter)) if quarter else n
    odd = f.compare("ne", f.binary("and", turn, m.integer(1)), m.integer(0))
    value = m.select(odd, cosine, sine)
    sign_bit = 30 if m.single else 62
    sign = f.binary("shl", f.binary("and", turn, m.integer(2)), m.integer(sign_bit))
    return m.from_bits(f.binary("xor", m.to_bits(value), sign))


def _reduce(m: Arithmetic, x: Value) -> tuple[Value, Value]:
    """n and r with x = n π/2 + r, |r| <= π/4; n modulo 4 is right."""
    f = m.f
    shifted = m.fma(x, m.const(TWO_OVER_PI), m.const(ROUNDER[m.scalar]))
    minus = m.sub(m.const(ROUNDER[m.scalar]), shifted)
    n = m.to_bits(shifted)
    r = x
    for part in HALF_PI[m.scalar]:
        r = m.fma(minus, m.const(part), r)
    large = f.compare("ogt", m.absolute(x), m.const(LIMIT[m.scalar]))
    seldom, join = f.label("large"), f.label("join")
    before = f.label("small")
    f.line(f"br label %{before}")
    f.block(before)
    f.line(f"br i1 {f.any(large).name}, label %{seldom}, label %{join}")
    f.block(seldom)
    lanes = lanes_of(m.type)
    name = f"math.reduce.{m.scalar}{lanes}"
    pair_type = f"{{ {n.type}, {m.type} }}"
    pair = f.call_helper(name, lambda: _write_lanes(name, m.scalar, lanes), pair_type, x)
    n_large = f.emit(n.type, f"extractvalue {pair}, 0")
    r_large = f.emit(m.type, f"extractvalue {pair}, 1")
    n_mixed, r_mixed = f.select(large, n_large, n), f.select(large, r_large, r)
    f.line(f"br label %{join}")
    f.block(join)
    phi = f"phi {{0}} [{{1}}, %{before}], [{{2}}, %{seldom}]"
    return (
        f.emit(n.type, phi.format(n.type, n.name, n_mixed.name)),
        f.emit(m.type, phi.format(m.type, r.name, r_mixed.name)),
    )


def _write_lanes(name: str, scalar: str, lanes: int) -> Function:
    """The exact reduction of every lane that is large."""
    bits = "i32" if scalar == "float" else "i64"
    n_type, type_ = vector(bits, lanes), vector(scalar, lanes)
    pair = f"{{ {n_type}, {type_} }}"
    f = Function(name, [("x", type_)], pair, "noinline cold nounwind", "internal ")
    (x,) = f.parameters
    n, r = f.const(0, n_type), f.const(0, type_)
    if lanes == 1:
        n, r = _one_lane(f, x, scalar, bits)
    else:
        with f.loop(f.i64(0), f.i64(lanes), f.i64(1), [n, r]) as loop:
            lane = f.emit(scalar, f"extractelement {x}, {loop.index}")
            one_n, one_r = _one_lane(f, lane, scalar, bits)
            n, r = loop.values
            n = f.emit(n_type, f"insertelement {n}, {one_n}, {loop.index}")
            r = f.emit(type_, f"insertelement {r}, {one_r}, {loop.index}")
            loop.carry([n, r])
        n, r = loop.results
    first = f.emit(pair, f"insertvalue {pair} poison, {n}, 0")
    f.return_(f.emit(pair, f"insertvalue {first}, {r}, 1"))
    return f


def _one_lane(f: Function, x: Value, scalar: str, bits: str) -> tuple[Value, Value]:
    wide = f.convert("fpext", x, "double") if scalar == "float" else x
    pair = "{ i64, double }"
    both = f.call_helper("math.reduce", _write_exact, pair, wide)
    n, r = f.emit("i64", f"extractvalue {both}, 0"), f.emit("double", f"extractvalue {both}, 1")
    if scalar == "float":
        n, r = f.convert("trunc", n, bits), f.convert("fptrunc", r, "float")
    return n, r


def _write_exact() -> Function:
    """n and r for one double of at least 2^16 in size; any n and r for NaN and smaller ones."""
    f = Function("math.reduce", [("x", "double")], "{ i64, double }", "noinline cold nounwind",
                 "internal ")  # fmt: skip
    (x,) = f.parameters

    def wide(a: Value) -> Value:
        return f.convert("zext", a, "i128")

    bits = f.convert("bitcast", x, "i64")
    exponent = f.binary("and", f.binary("lshr", bits, f.i64(52)), f.i64(0x7FF))
    mantissa = f.binary("and", bits, f.i64((1 << 52) - 1))
    mantissa = f.binary("or", mantissa, f.i64(1 << 52))
    # x = mantissa 2^e; the bit of 2/π whose product has weight 2 is number e - 2.
    start = f.binary("add", exponent, f.i64(64 - 1075 - 2))
    start = f.maximum(start, f.i64(0))
    start = f.minimum(start, f.i64(64 * (len(BITS_OF_TWO_OVER_PI) - 4)))
    word, shift = f.binary("lshr", start, f.i64(6)), f.binary("and", start, f.i64(63))
    texts = ", ".join(f"i64 {w}" for w in BITS_OF_TWO_OVER_PI)
    table = Value(f"<{texts}>", f"<{len(BITS_OF_TWO_OVER_PI)} x i64>")
    words = []
    for k in range(4):
        position = f.binary("add", word, f.i64(k))
        words.append(f.emit("i64", f"extractelement {table}, {position}"))
    parts = [f.intrinsic("llvm.fshl", "i64", words[k], words[k + 1], shift) for k in range(3)]
    m = wide(mantissa)
    low = f.binary("lshr", f.binary("mul", m, wide(parts[2])), f.const(64, "i128"))
    middle = f.binary("add", f.binary("mul", m, wide(parts[1])), low)
    top = f.binary("shl", f.binary("mul", m, wide(parts[0])), f.const(64, "i128"))
    total = f.binary("add", top, middle)  # two bits of whole number, 126 of fraction
    rounded = f.binary("add", total, f.const(1 << 125, "i128"))
    n = f.convert("trunc", f.binary("lshr", rounded, f.const(126, "i128")), "i64")
    fraction = f.binary("shl", total, f.const(2, "i128"))
    negative = f.compare("slt", fraction, f.const(0, "i128"))
    size = f.select(negative, f.binary("sub", f.const(0, "i128"), fraction), fraction)
    zeros = f.emit("i128", f"call i128 @llvm.ctlz.i128({size}, i1 false)")
    f.declarations.add("declare i128 @llvm.ctlz.i128(i128, i1)")
    zeros = f.binary("and", zeros, f.const(127, "i128"))
    leading = f.binary("shl", size, zeros)
    leading = f.convert("trunc", f.binary("lshr", leading, f.const(64, "i128")), "i64")
    value = f.convert("uitofp", leading, "double")
    count = f.convert("trunc", zeros, "i64")
    power = f.binary("shl", f.binary("sub", f.i64(1023 - 64), count), f.i64(52))
    value = f.emit("double", f"fmul {value}, {f.convert('bitcast', power, 'double').name}")
    r = f.emit("double", f"fmul {value}, {f.const(HALF_PI['double'][0], 'double').name}")
    minus_x = f.compare("slt", bits, f.i64(0))
    flip = f.binary("xor", negative, minus_x)
    r = f.select(flip, f.fneg(r), r)
    n = f.select(minus_x, f.binary("sub", f.i64(0), n), n)
    first = f.emit("{ i64, double }", f"insertvalue {{ i64, double }} poison, {n}, 0")
    f.return_(f.emit("{ i64, double }", f"insertvalue {first}, {r}, 1"))
    return f
