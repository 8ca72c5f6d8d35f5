"""Philox4x32-10 as vector code; `glubina.graph.philox` defines the numbers that come out."""

from __future__ import annotations

from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, lanes_of, scalar_of, vector
from glubina.graph.philox import MULTIPLIERS, ROUNDS, WEYL


def words(f: Function, block: Value, stream: Value, seed: Value, counter: Value) -> list[Value]:
    """The four 32-bit output words (as i32) for each block number in a vector of i64.

    Words are kept in the low halves of 64-bit lanes, where multiplying two of them is one
    instruction and gives both halves of the product; the high halves may hold anything between.
    """
    lanes = lanes_of(block.type)
    name = f"philox.{lanes}"
    wide = vector("i64", lanes)
    array = f"[4 x {vector('i32', lanes)}]"
    operands = (block, stream, seed, counter)
    result = f.call_helper(name, lambda: _write(name, wide), array, *operands)
    return [f.emit(vector("i32", lanes), f"extractvalue {result}, {i}") for i in range(4)]


def _write(name: str, wide: str) -> Function:
    lanes = lanes_of(wide)
    half = vector("i32", lanes)
    array = f"[4 x {half}]"
    parameters = [("block", wide), ("stream", "i64"), ("seed", "i64"), ("counter", "i64")]
    f = Function(name, parameters, array, "alwaysinline nounwind", "internal ")
    block, stream, seed, counter = f.parameters
    shift = f.const(32, wide)
    low = f.const(0xFFFFFFFF, wide)

    def product(a: Value, factor: int) -> Value:
        return f.binary("mul", f.binary("and", a, low), f.const(factor, wide))

    def spread(a: Value) -> Value:
        return f.splat(a, lanes)

    high_count = f.binary("lshr", counter, f.i64(32))
    a, b, c, d = block, spread(stream), spread(counter), spread(high_count)
    first, second = seed, f.binary("lshr", seed, f.i64(32))
    for _ in range(ROUNDS):
        p, q = product(a, MULTIPLIERS[0]), product(c, MULTIPLIERS[1])
        high_p, high_q = f.binary("lshr", p, shift), f.binary("lshr", q, shift)
        a = f.binary("xor", f.binary("xor", high_q, b), spread(first))
        c = f.binary("xor", f.binary("xor", high_p, d), spread(second))
        b, d = q, p
        first, second = f.add(first, f.i64(WEYL[0])), f.add(second, f.i64(WEYL[1]))
    result = Value("poison", array)
    for i, word in enumerate((a, b, c, d)):
        part = f.convert("trunc", word, "i32")
        result = f.emit(array, f"insertvalue {result}, {part}, {i}")
    assert scalar_of(half) == "i32"
    f.return_(result)
    return f
