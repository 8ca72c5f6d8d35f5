"""Symbolic indices as code: numbers for scalars and lanes, cached where they stay valid."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from glubina.codegen.emitter import Function
from glubina.codegen.values import Value, vector
from glubina.schedule.affine import ZERO, Affine, Space, Term, bounds
from glubina.schedule.views import Check


class IndexCode:
    """Writes indices and conditions on them into a function.

    The `lane` term stands for the lane number, so that one symbolic index names the elements of
    all lanes. What was written is found again through scopes: code that may not run, or runs in
    another loop, opens a scope of its own.
    """

    def __init__(self, f: Function, space: Space, lanes: int) -> None:
        self.f = f
        self.space = space
        self.lanes = lanes
        self.scopes: list[dict[Hashable, Value]] = [{}]
        self.lane = ZERO
        self._lane_terms: dict[int, Affine] = {}
        with self.lanes_in_use(None):
            everyday = self.lane
        self.lane = everyday

    @contextmanager
    def lanes_in_use(self, count: int | None) -> Iterator[None]:
        """Inside, `lane` is below `count`: what happens in other lanes has no importance."""
        count = count or self.lanes
        before = self.lane
        if self.lanes > 1:
            if count not in self._lane_terms:
                term = self.space.term("lane", 0, count - 1)
                self._lane_terms[count] = Affine(0, ((term, 1),))
            self.lane = self._lane_terms[count]
        yield
        self.lane = before

    # -- what was written already ---------------------------------------------------------------

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Values written inside are forgotten at the end."""
        self.scopes.append({})
        yield
        self.scopes.pop()

    @contextmanager
    def resumed(self, scope: dict[Hashable, Value]) -> Iterator[None]:
        """A scope that was opened before, with the values that were written in it."""
        self.scopes.append(scope)
        yield
        self.scopes.pop()

    def known(self, key: Hashable) -> Value | None:
        """The value that was written for a key, where it is still valid."""
        for scope in reversed(self.scopes):
            if key in scope:
                return scope[key]
        return None

    def keep(self, key: Hashable, value: Value) -> Value:
        """Remember a value until the scope ends."""
        self.scopes[-1][key] = value
        return value

    # -- values ---------------------------------------------------------------------------------

    def bind(self, index: Affine, value: Value) -> None:
        """Say what a loop variable (an index that is one term) is in the code."""
        if index.terms:
            index.terms[0][0].value = value

    def parts(self, a: Affine) -> tuple[Affine, Affine]:
        """The part that is the same in all lanes, and the part that is not."""
        same = tuple(pair for pair in a.terms if not pair[0].varies)
        if len(same) == len(a.terms):
            return a, Affine(0, ())
        return Affine(a.const, same), Affine(0, tuple(p for p in a.terms if p[0].varies))

    def scalar(self, a: Affine) -> Value:
        """An index that is the same in all lanes, as i64."""
        f = self.f
        if not a.terms:
            return f.i64(a.const)
        found = self.known(a)
        if found is not None:
            return found
        total: Value | None = None
        for term, k in a.terms:
            part = f.mul(self._scalar_term(term), f.i64(k))
            total = part if total is None else f.add(total, part)
        assert total is not None
        return self.keep(a, f.add(total, f.i64(a.const)))

    def _scalar_term(self, term: Term) -> Value:
        if term.kind in ("loop", "value"):
            assert isinstance(term.value, Value), "a loop variable without a value"
            return term.value
        found = self.known(term)
        if found is not None:
            return found
        low, _ = bounds(term.inner)
        lift = -(low // term.divisor) * term.divisor if low < 0 else 0
        inner = self.scalar(Affine(term.inner.const + lift, term.inner.terms))
        value = self._divide(term, inner, lift)
        return self.keep(term, value)

    def _divide(self, term: Term, inner: Value, lift: int) -> Value:
        """A quotient or remainder of an index that `lift` has made positive."""
        f = self.f
        divisor = f.const(term.divisor, inner.type)
        if term.kind == "mod":
            return f.binary("urem", inner, divisor)
        quotient = f.binary("udiv", inner, divisor)
        return f.sub(quotient, f.const(lift // term.divisor, inner.type)) if lift else quotient

    def vector(self, a: Affine) -> Value:
        """An index in every lane: i32 where its range allows, else i64."""
        f = self.f
        low, high = bounds(a)
        scalar = "i32" if low >= -(1 << 31) and high < 1 << 31 else "i64"
        found = self.known(("vector", a))
        if found is not None:
            return found
        same, varying = self.parts(a)
        total: Value | None = None
        for term, k in varying.terms:
            part = self._cast(self._vector_term(term), scalar)
            part = f.mul(part, f.const(k, part.type)) if k != 1 else part
            total = part if total is None else f.binary("add", total, part)
        if total is None or same.terms or same.const:
            start = self.spread(self.scalar(same), scalar)
            total = start if total is None else f.binary("add", start, total)
        return self.keep(("vector", a), total)

    def spread(self, value: Value, scalar: str) -> Value:
        """A scalar i64 in all lanes, as integers of another width."""
        if not value.name.startswith("%"):
            return self.f.const(int(value.name), vector(scalar, self.lanes))
        narrow = self.f.convert("trunc", value, scalar) if scalar != "i64" else value
        return self.f.splat(narrow, self.lanes)

    def _cast(self, value: Value, scalar: str) -> Value:
        have = int(value.type.split("x i")[1][:-1])
        want = int(scalar[1:])
        if have == want:
            return value
        return self.f.convert("sext" if want > have else "trunc", value, scalar)

    def _vector_term(self, term: Term) -> Value:
        f = self.f
        if term.kind == "lane":
            return f.lane_numbers(self.lanes, "i32")
        if term.kind == "value":
            assert isinstance(term.value, Value)
            return term.value
        found = self.known(term)
        if found is None:
            found = self.keep(term, self._vector_division(term))
        return found

    def _vector_division(self, term: Term) -> Value:
        """(same + varying) // c = same // c + (same % c + varying) // c, in small numbers."""
        f, c = self.f, term.divisor
        same, varying = self.parts(term.inner)
        quotient, rest = self._scalar_division(same, c)
        low, high = bounds(varying)
        lift = -(low // c) * c if low < 0 else 0
        scalar = "i32" if high + lift + c < 1 << 31 else "i64"
        inside = self._cast(self.vector(varying), scalar)
        start = f.add(rest, f.i64(lift)) if lift else rest
        inside = f.binary("add", self.spread(start, scalar), inside)
        divisor = f.const(c, inside.type)
        if term.kind == "mod":
            return f.binary("urem", inside, divisor)
        small = f.binary("udiv", inside, divisor)
        base = f.sub(quotient, f.i64(lift // c)) if lift else quotient
        if base.name == "0":
            return small
        return f.binary("add", self.spread(base, "i64"), self._cast(small, "i64"))

    def _scalar_division(self, a: Affine, c: int) -> tuple[Value, Value]:
        """a // c and a % c of an index that is the same in all lanes."""
        space = self.space
        return self.scalar(space.floordiv(a, c)), self.scalar(space.mod(a, c))

    # -- conditions -----------------------------------------------------------------------------

    def condition(self, checks: tuple[Check, ...]) -> Value | None:
        """Whether all checks hold: i1, or one per lane; None if there are none."""
        result: Value | None = None
        for check in checks:
            found = self.known(check)
            if found is None:
                found = self.keep(check, self._check(check))
            result = found if result is None else self.both(result, found)
        return result

    def both(self, a: Value, b: Value) -> Value:
        """a and b, conditions of one lane or all."""
        if a.type != b.type:
            a, b = (self.f.splat(v, self.lanes) if v.type == "i1" else v for v in (a, b))
        return self.f.binary("and", a, b)

    def _check(self, check: Check) -> Value:
        f = self.f
        low, high = bounds(check.position)
        position = self.vector if check.position.varies else self.scalar
        value = position(check.position)
        result: Value | None = None
        if low < 0 or high >= check.limit:
            # As an unsigned number a negative position is larger than every limit.
            result = f.compare("ult", value, f.const(check.limit, value.type))
        if check.divisor > 1:
            whole = self.space.mod(check.position, check.divisor)
            rest = (self.vector if whole.varies else self.scalar)(whole)
            even = f.compare("eq", rest, f.const(0, rest.type))
            result = even if result is None else self.both(result, even)
        assert result is not None
        return result
