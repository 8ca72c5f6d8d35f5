"""Pooling windows and their derivatives, evaluated at one output element (or one per lane).

A window is a loop over its positions: written out where there are few, else a real loop. Scatters
are turned around: each element gathers from the windows that can cover it, in a fixed order, so
nothing is written twice and the result does not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from glubina.codegen.elementwise import (
    float_maximum,
    integer_extreme,
    register_type,
)
from glubina.codegen.emitter import Value, is_float, vector
from glubina.graph.node import Node
from glubina.schedule.affine import Affine, Index, constant
from glubina.schedule.views import covering_windows, window_read

if TYPE_CHECKING:
    from glubina.codegen.expression import Evaluator

UNROLLED = 16
"""The most window positions that are written out one after the other."""

Step = Callable[[Affine, Index, list[Value]], list[Value]]


def over_window(
    e: Evaluator, window: tuple[int, ...], state: list[Value], step: Step
) -> list[Value]:
    """Run `step(row-major position, position per axis, state) -> state` over a window."""
    total = math.prod(window)
    if total <= UNROLLED:
        for flat in range(total):
            taps = e.space.unflatten(constant(flat), window)
            state = step(constant(flat), taps, state)
        return state
    f = e.f
    with f.loop(f.i64(0), f.i64(total), f.i64(1), state) as loop, e.index.scope():
        variable = e.space.loop(total)
        e.index.bind(variable, loop.index)
        loop.carry(step(variable, e.space.unflatten(variable, window), loop.values))
    return loop.results


def lowest(e: Evaluator, node: Node) -> Value:
    """The smallest number of a node's dtype, in every lane."""
    dtype = node.dtype
    type_ = vector(register_type(dtype), e.lanes)
    if dtype.kind == "f":
        return e.f.const(-math.inf, type_)
    if dtype.kind == "i":
        return e.f.const(-(1 << (8 * dtype.itemsize - 1)), type_)
    return e.f.const(0, type_)


def tap_value(e: Evaluator, node: Node, index: Index, taps: Index, outside: Value) -> Value:
    """The source's element under one window position, or `outside` where that is padding."""
    read = window_read(node, index, taps, e.space)
    condition = e.index.condition(read.checks)
    with e.guarded(condition):
        value = e.full(read.node, read.at)
    return value if condition is None else e.select(condition, value, outside)


def larger(e: Evaluator, a: Value, b: Value, kind: str) -> Value:
    """The larger of two values; NaN if one is."""
    if is_float(a.type):
        return float_maximum(e.f, a, b)
    return integer_extreme(e.f, "max", kind, a, b)


def beats(e: Evaluator, value: Value, best: Value, kind: str) -> Value:
    """Whether a value is larger than the best so far; NaN beats all but NaN."""
    f = e.f
    if is_float(value.type):
        return f.binary("and", f.compare("ugt", value, best), f.compare("ord", best, best))
    return f.compare("sgt" if kind == "i" else "ugt", value, best)


def pool_max(e: Evaluator, node: Node, index: Index) -> Value:
    """The largest element of a window."""
    if (node.sources[0], node.attributes) in e.indexed:
        return _with_index(e, node, index)[0]
    outside = lowest(e, node)

    def step(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        value = tap_value(e, node, index, taps, outside)
        return [larger(e, state[0], value, node.dtype.kind)]

    return over_window(e, node.attributes.window, [outside], step)[0]


def pool_index(e: Evaluator, node: Node, index: Index) -> Value:
    """Where in a window its first largest element stands."""
    return _with_index(e, node, index)[1]


def _with_index(e: Evaluator, node: Node, index: Index) -> tuple[Value, Value]:
    keys = [("window", node.sources[0], node.attributes, index, part) for part in range(2)]
    best, where = (e.index.known(key) for key in keys)
    if best is not None and where is not None:
        return best, where
    source = node.sources[0]
    outside = lowest(e, source)
    position = vector("i32", e.lanes)

    def step(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        value = tap_value(e, node, index, taps, outside)
        better = beats(e, value, state[0], source.dtype.kind)
        number = e.f.const(flat.const, position)
        if flat.terms:
            number = _everywhere(e, flat, "i32")
        return [e.f.select(better, value, state[0]), e.f.select(better, number, state[1])]

    start = [outside, e.f.const(0, position)]
    best, where = over_window(e, node.attributes.window, start, step)
    return e.index.keep(keys[0], best), e.index.keep(keys[1], where)


def _everywhere(e: Evaluator, a: Affine, scalar: str) -> Value:
    """An index in every lane as integers of a width."""
    if e.lanes > 1 and a.varies:
        value = e.index.vector(a)
        short = value.type.endswith("i32>")
        return value if short or scalar == "i64" else e.f.convert("trunc", value, scalar)
    return e.index.spread(e.index.scalar(a), scalar)


def pool_sum(e: Evaluator, node: Node, index: Index) -> Value:
    """The sum over a window."""
    zero = e.f.const(0, vector(register_type(node.dtype), e.lanes))

    def step(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        return [_plus(e, state[0], tap_value(e, node, index, taps, zero))]

    return over_window(e, node.attributes.window, [zero], step)[0]


def _plus(e: Evaluator, a: Value, b: Value) -> Value:
    return e.f.fadd(a, b) if is_float(a.type) else e.f.binary("add", a, b)


def pool_gather(e: Evaluator, node: Node, index: Index) -> Value:
    """The element of a window that the index names, chosen among all of them."""
    zero = e.f.const(0, vector(register_type(node.dtype), e.lanes))
    where = e.full(node.sources[1], index)

    def step(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        value = tap_value(e, node, index, taps, zero)
        chosen = e.f.compare("eq", where, _everywhere(e, flat, "i32"))
        return [e.f.select(chosen, value, state[0])]

    return over_window(e, node.attributes.window, [zero], step)[0]


def pool_scatter(e: Evaluator, node: Node, index: Index) -> Value:
    """The sum over the windows that cover an element and whose index names it."""
    f = e.f
    gradient, where = node.sources
    total: Value | None = None
    zero = f.const(0, vector(register_type(node.dtype), e.lanes))
    for cover in covering_windows(node, index, e.space):
        condition = e.index.condition(cover.checks)
        with e.guarded(condition):
            value = e.full(gradient, cover.at)
            number = e.full(where, cover.at)
        tap = _everywhere(e, cover.tap, "i32")
        named = f.compare("eq", number, tap)
        if condition is not None:
            named = e.index.both(named, condition)
        part = f.select(named, value, zero)
        total = part if total is None else _plus(e, total, part)
    assert total is not None
    return total
