"""Index arithmetic as symbols: sums of loop variables, with quotients and remainders folded.

An index is `const + Σ coefficient · term`. A term is a loop variable, the lane number of a vector,
a value known only at run time, or the quotient or remainder of an index by a positive constant.
Ranges and known multiples of the terms make most quotients and remainders disappear, so that a
reshape of contiguous data becomes the plain running index again: 6 (x // 6) + x % 6 = x.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import gcd
from typing import Any, NamedTuple

UNBOUNDED = 1 << 62


class Term:
    """A quantity in an index: low <= it <= high, and it is a multiple of `multiple`."""

    __slots__ = (
        "divisor", "exact", "high", "inner", "kind", "low", "multiple", "number", "twin", "value",
        "varies",
    )  # fmt: skip

    def __init__(self, kind: str, number: int, low: int, high: int, multiple: int = 1) -> None:
        self.kind = kind  # "loop", "lane", "value", "div" or "mod"
        self.number = number
        self.low = low
        self.high = high
        self.multiple = multiple
        self.inner: Affine = ZERO
        self.divisor = 1
        self.exact = False  # of a quotient: whether nothing is left over
        self.twin: Affine | None = None  # of a remainder: the quotient of the same index
        self.varies = kind == "lane"  # differs between the lanes of a vector
        self.value: Any = None  # what it is in the code being written

    def __repr__(self) -> str:
        if self.kind in ("div", "mod"):
            return f"({self.inner!r} {'//' if self.kind == 'div' else '%'} {self.divisor})"
        return f"{self.kind}{self.number}"


class Affine(NamedTuple):
    """const + Σ coefficient · term, the terms in the order in which they were made."""

    const: int
    terms: tuple[tuple[Term, int], ...]

    def __repr__(self) -> str:
        parts = [f"{k} {t!r}" if k != 1 else f"{t!r}" for t, k in self.terms]
        if self.const or not parts:
            parts.append(str(self.const))
        return " + ".join(parts)

    @property
    def varies(self) -> bool:
        """Whether it differs between the lanes of a vector."""
        return any(t.varies for t, _ in self.terms)

    def coefficient(self, term: Term) -> int:
        """How often a term is in the sum."""
        return next((k for t, k in self.terms if t is term), 0)


ZERO = Affine(0, ())
Index = tuple[Affine, ...]


def constant(value: int) -> Affine:
    """An index that is a number."""
    return Affine(value, ())


def bounds(a: Affine) -> tuple[int, int]:
    """The smallest and the largest value that the index can have."""
    low = high = a.const
    for term, k in a.terms:
        if k > 0:
            low += k * term.low
            high += k * term.high
        else:
            low += k * term.high
            high += k * term.low
    return low, high


class Space:
    """The terms of one kernel; quotients and remainders of equal indices are the same term."""

    def __init__(self) -> None:
        self.terms: list[Term] = []
        self._known: dict[tuple[str, Affine, int], Term] = {}
        self._cache: dict[tuple[str, Affine, int], Affine] = {}

    # -- making ---------------------------------------------------------------------------------

    def term(self, kind: str, low: int, high: int, multiple: int = 1) -> Term:
        """A new term; `high` may be UNBOUNDED."""
        term = Term(kind, len(self.terms), low, high, multiple)
        self.terms.append(term)
        return term

    def loop(self, extent: int | None, multiple: int = 1) -> Affine:
        """A new loop variable below the extent (None: unknown until run time)."""
        if extent == 1:
            return ZERO
        high = UNBOUNDED if extent is None else max(extent - 1, 0)
        return Affine(0, ((self.term("loop", 0, high, multiple), 1),))

    def counter(self, last: int, step: int) -> Affine:
        """A new loop variable that runs 0, step, ..., last."""
        return Affine(0, ((self.term("loop", 0, last, step), 1),))

    def combine(self, parts: Iterable[tuple[Affine, int]], const: int = 0) -> Affine:
        """const + Σ factor · index, with quotients and remainders put together again."""
        total: dict[Term, int] = {}
        folds = False
        for part, factor in parts:
            if factor:
                const += part.const * factor
                for term, k in part.terms:
                    total[term] = total.get(term, 0) + k * factor
                    folds = folds or term.exact or term.twin is not None
        if folds:
            const = self._fold(total, const)
        terms = [(t, k) for t, k in total.items() if k]
        if len(terms) > 1:
            terms.sort(key=_number)
        return Affine(const, tuple(terms))

    def add(self, a: Affine, b: Affine | int) -> Affine:
        """a + b."""
        if isinstance(b, int):
            return Affine(a.const + b, a.terms)
        return self.combine(((a, 1), (b, 1)))

    def scale(self, a: Affine, factor: int) -> Affine:
        """factor · a."""
        return a if factor == 1 else self.combine(((a, factor),))

    def _fold(self, total: dict[Term, int], const: int) -> int:
        """Replace k (x % c) + k c (x // c) by k x, and k c (x // c) alone where c divides x."""
        again = True
        while again:
            again = False
            for term, k in list(total.items()):
                if not k or not (term.exact or term.twin):
                    continue
                if term.exact:
                    ((inner, factor),) = term.inner.terms
                    if k * factor % term.divisor:
                        continue
                    del total[term]
                    total[inner] = total.get(inner, 0) + k * factor // term.divisor
                else:
                    assert term.twin is not None
                    step = k * term.divisor
                    if any(total.get(t) != step * q for t, q in term.twin.terms):
                        continue
                    del total[term]
                    for t, _ in term.twin.terms:
                        del total[t]
                    const += k * term.inner.const - step * term.twin.const
                    for inner, factor in term.inner.terms:
                        total[inner] = total.get(inner, 0) + k * factor
                again = True
                break
        return const

    # -- quotients and remainders ---------------------------------------------------------------

    def floordiv(self, a: Affine, c: int) -> Affine:
        """a // c, for c > 0."""
        if c == 1 or not a.terms:
            return a if c == 1 else constant(a.const // c)
        key = ("div", a, c)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._floordiv(a, c)
        return found

    def mod(self, a: Affine, c: int) -> Affine:
        """a % c, for c > 0; never negative."""
        if c == 1 or not a.terms:
            return constant(a.const % c)
        key = ("mod", a, c)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._mod(a, c)
        return found

    def _floordiv(self, a: Affine, c: int) -> Affine:
        whole: list[tuple[Affine, int]] = []
        rest: list[tuple[Term, int]] = []
        for term, k in a.terms:
            if k % c == 0:
                whole.append((Affine(0, ((term, 1),)), k // c))
            elif k * term.multiple % c == 0 and len(a.terms) > 1:
                whole.append((self.floordiv(Affine(0, ((term, k),)), c), 1))
            else:
                rest.append((term, k))
        const = a.const // c
        left = Affine(a.const % c, tuple(rest))
        low, high = bounds(left)
        if low // c == high // c:
            return self.combine(whole, const + low // c)
        return self.combine([*whole, (self._quotient(left, c), 1)], const)

    def _quotient(self, left: Affine, c: int) -> Affine:
        factored = self._factor(left, c)
        if factored:
            factor, big, _ = factored
            return self.floordiv(big, c // factor)
        single = _single(left)
        if single is not None and single.kind == "div":
            return self.floordiv(single.inner, single.divisor * c)
        if single is not None and single.kind == "mod" and single.divisor % c == 0:
            return self.mod(self.floordiv(single.inner, c), single.divisor // c)
        return self._intern("div", left, c)

    def _mod(self, a: Affine, c: int) -> Affine:
        rest = tuple((t, k) for t, k in a.terms if k * t.multiple % c)
        left = Affine(a.const % c, rest)
        low, high = bounds(left)
        if low // c == high // c:
            return Affine(left.const - low // c * c, rest)
        factored = self._factor(left, c)
        if factored:
            factor, big, small = factored
            return self.combine(((small, 1), (self.mod(big, c // factor), factor)))
        single = _single(left)
        if single is not None and single.kind == "mod" and single.divisor % c == 0:
            return self.mod(single.inner, c)
        return self._intern("mod", left, c)

    def _factor(self, left: Affine, c: int) -> tuple[int, Affine, Affine] | None:
        """left = factor · big + small with 0 <= small < factor, and factor divides c."""
        tried = sorted({gcd(c, k * t.multiple) for t, k in left.terms}, reverse=True)
        for factor in tried:
            if not 1 < factor < c:
                continue
            small = [(t, k) for t, k in left.terms if k * t.multiple % factor]
            rest = Affine(left.const % factor, tuple(small))
            low, high = bounds(rest)
            if low < 0 or high >= factor:
                continue
            if not small and not rest.const and any(k % factor for _, k in left.terms):
                continue  # nothing would get smaller
            parts = [
                (self.floordiv(Affine(0, ((t, k),)), factor), 1)
                for t, k in left.terms
                if k * t.multiple % factor == 0
            ]
            return factor, self.combine(parts, left.const // factor), rest
        return None

    def _intern(self, kind: str, inner: Affine, c: int) -> Affine:
        key = (kind, inner, c)
        term = self._known.get(key)
        if term is None:
            low, high = bounds(inner)
            if kind == "div":
                term = self.term("div", low // c, high // c)
                single = inner.terms[0] if len(inner.terms) == 1 and not inner.const else None
                if single and single[0].multiple * single[1] % c == 0:
                    term.multiple = abs(single[0].multiple * single[1] // c) or 1
                    term.exact = True
            else:
                term = self.term("mod", 0, c - 1)
            term.inner, term.divisor, term.varies = inner, c, inner.varies
            self._known[key] = term
            if kind == "mod":
                term.twin = self.floordiv(inner, c)
        return Affine(0, ((term, 1),))

    # -- shapes ---------------------------------------------------------------------------------

    def flatten(self, index: Sequence[Affine], shape: Sequence[int]) -> Affine:
        """The row-major position of an index; the leading extent has no influence."""
        parts, stride = [], 1
        for position, extent in zip(reversed(index), reversed(shape), strict=True):
            parts.append((position, stride))
            stride *= extent
        return self.combine(parts)

    def unflatten(self, flat: Affine, shape: Sequence[int]) -> Index:
        """The index at a row-major position; the leading extent has no influence."""
        index: list[Affine] = []
        for axis in range(len(shape) - 1, -1, -1):
            if axis == 0:
                index.append(flat)
                break
            extent = max(shape[axis], 1)
            index.append(self.mod(flat, extent))
            flat = self.floordiv(flat, extent)
        return tuple(reversed(index))


def _number(pair: tuple[Term, int]) -> int:
    return pair[0].number


def _single(a: Affine) -> Term | None:
    """The term of an index that is just that term."""
    return a.terms[0][0] if not a.const and len(a.terms) == 1 and a.terms[0][1] == 1 else None
