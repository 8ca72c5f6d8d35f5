"""Pooling windows and their derivatives, evaluated at one output element (or one per lane).

A window is a loop over its positions: written out where there are few, else a real loop. Scatters
are turned around: each element gathers from the windows that can cover it, in a fixed order, so
nothing is written twice and the result does not depend on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from glubina.codegen.elementwise import (
    integer_extreme,
    register_type,
)
from glubina.codegen.values import Value, is_float, vector
from glubina.graph.node import Node
from glubina.schedule.affine import ZERO, Affine, Index, constant
from glubina.schedule.views import covering_windows, window_read

if TYPE_CHECKING:
    from glubina.codegen.expression import Evaluator

UNROLLED = 16
"""The most window positions that are written out one after the other."""


class Tap(NamedTuple):
    """An element of a window, and which one it is, in row-major order."""

    value: Value
    number: Affine


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


def inner_tap(e: Evaluator, node: Node, index: Index, flat: Affine, taps: Index) -> Tap | None:
    """The tap, or the nearest one of the window that meets the image where this one does not.

    Meeting an element twice changes no maximum, and costs less than asking for every tap whether
    it is there. Only where every window meets the image, and all lanes meet it together.
    """
    a = node.attributes
    narrow = all(low < n and high < n for n, (low, high) in zip(a.window, a.padding, strict=True))
    read = window_read(node, index, taps, e.space)
    if not narrow or any(check.position.varies for check in read.checks):
        return None
    at = list(read.at)
    number, stride = flat, 1
    for axis in range(len(taps) - 1, -1, -1):
        spot = read.at[1 + axis]
        if any(check.position == spot for check in read.checks):
            inside = _clamped(e, spot, node.sources[0].shape[1 + axis])
            at[1 + axis] = inside
            moved = e.space.combine(((inside, 1), (spot, -1)))
            number = e.space.combine(((number, 1), (moved, stride)))
        stride *= a.window[axis]
    return Tap(e.full(read.node, tuple(at)), number)


def _clamped(e: Evaluator, spot: Affine, extent: int) -> Affine:
    """The position inside the axis that is nearest to a position."""
    f, key = e.f, ("clamped", spot, extent)
    found = e.index.known(key)
    if found is None:
        wanted = e.index.scalar(spot)
        found = e.index.keep(key, f.maximum(f.minimum(wanted, f.i64(extent - 1)), f.i64(0)))
    held = e.clamped.get((spot, extent))
    if held is None:
        held = e.space.term("value", 0, extent - 1)
        e.clamped[spot, extent] = held
    held.value = found
    return Affine(0, ((held, 1),))


def beats(e: Evaluator, value: Value, best: Value, kind: str) -> Value:
    """Whether a value is larger than the best so far; NaN beats all but NaN."""
    f = e.f
    if is_float(value.type):
        return f.binary("and", f.compare("ugt", value, best), f.compare("ord", best, best))
    return f.compare("sgt" if kind == "i" else "ugt", value, best)


def pool_max(e: Evaluator, node: Node, index: Index) -> Value:
    """The largest element of a window; NaN if one is."""
    if (node.sources[0], node.attributes) in e.indexed:
        return _with_index(e, node, index)[0]
    f, outside = e.f, lowest(e, node)
    real = is_float(outside.type)
    waiting: list[Value] = []

    def step(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        value = _element(e, node, index, flat, taps, outside).value
        if not real:
            return [integer_extreme(f, "max", node.dtype.kind, state[0], value)]
        above = f.compare("ogt", value, state[0])
        strange = _watched(e, flat, value, state[1], waiting)
        return [f.select(above, value, state[0]), strange]

    start = [outside, _none(e)] if real else [outside]
    found = over_window(e, node.attributes.window, start, step)
    if not real:
        return found[0]
    found[1] = _last_watched(e, found[1], waiting)
    return f.select(found[1], f.const(math.nan, outside.type), found[0])


def _watched(e: Evaluator, flat: Affine, value: Value, seen: Value, waiting: list[Value]) -> Value:
    """The lanes that have met NaN; where the taps are written out, two are compared at once."""
    if flat.terms:
        return e.f.binary("or", seen, e.f.compare("uno", value, value))
    if not waiting:
        waiting.append(value)
        return seen
    return e.f.binary("or", seen, e.f.compare("uno", value, waiting.pop()))


def _last_watched(e: Evaluator, seen: Value, waiting: list[Value]) -> Value:
    """The same with the tap that found no other."""
    if not waiting:
        return seen
    last = waiting.pop()
    return e.f.binary("or", seen, e.f.compare("uno", last, last))


def _none(e: Evaluator) -> Value:
    """The condition that holds in no lane."""
    return e.f.const(False, vector("i1", e.lanes))


def _element(
    e: Evaluator, node: Node, index: Index, flat: Affine, taps: Index, outside: Value
) -> Tap:
    inner = inner_tap(e, node, index, flat, taps)
    return inner or Tap(tap_value(e, node, index, taps, outside), flat)


def pool_index(e: Evaluator, node: Node, index: Index) -> Value:
    """Where in a window its first largest element stands."""
    return _with_index(e, node, index)[1]


def _with_index(e: Evaluator, node: Node, index: Index) -> tuple[Value, Value]:
    keys = [("window", node.sources[0], node.attributes, index, part) for part in range(2)]
    best, where = (e.index.known(key) for key in keys)
    if best is not None and where is not None:
        return best, where
    f, source = e.f, node.sources[0]
    outside = lowest(e, source)
    kind, position = source.dtype.kind, vector("i32", e.lanes)
    waiting: list[Value] = []
    start = [outside, f.const(0, position)]

    def taken(tap: Tap, better: Value | None, state: list[Value]) -> list[Value]:
        number = f.const(tap.number.const, position)
        if tap.number.terms:
            number = _everywhere(e, tap.number, "i32")
        if better is None:
            return [tap.value, number]
        return [f.select(better, tap.value, state[0]), f.select(better, number, state[1])]

    def exactly(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        tap = _element(e, node, index, flat, taps, outside)
        better = None if flat == ZERO else beats(e, tap.value, state[0], kind)
        return taken(tap, better, state)

    def quickly(flat: Affine, taps: Index, state: list[Value]) -> list[Value]:
        tap = _element(e, node, index, flat, taps, outside)
        better = None if flat == ZERO else f.compare("ogt", tap.value, state[0])
        return [*taken(tap, better, state), _watched(e, flat, tap.value, state[2], waiting)]

    window = node.attributes.window
    if kind != "f" or math.prod(window) > UNROLLED:
        best, where = over_window(e, window, start, exactly)
    else:
        # NaN is told from numbers beside the chain of comparisons; only where there is one
        # everything is compared again with it in mind
        *found, strange = over_window(e, window, [*start, _none(e)], quickly)
        strange = _last_watched(e, strange, waiting)
        again = f.select(f.any(strange), f.i64(1), f.i64(0))
        with f.loop(f.i64(0), again, f.i64(1), found) as once, e.index.scope():
            once.carry(over_window(e, window, start, exactly))
        best, where = once.results
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
        if condition is not None and condition.type == "i1" and not cover.tap.varies:
            # no window names the tap -1
            scalar = f.select(condition, e.index.scalar(cover.tap), f.i64(-1))
            tap = e.index.spread(scalar, "i32")
            condition = None
        named = f.compare("eq", number, tap)
        if condition is not None:
            named = e.index.both(named, condition)
        part = f.select(named, value, zero)
        total = part if total is None else _plus(e, total, part)
    assert total is not None
    return total
