"""The loops of an element-wise kernel: which axes run together as one, and how long that is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from glubina.graph.node import Node
from glubina.schedule.affine import Affine, Index, Space, Term
from glubina.schedule.views import Accesses, reshaped


def inner_extent(
    outputs: Sequence[Node], leaves: frozenset[Node], space: tuple[int, ...], lanes: int,
    shortest: int,
) -> int | None:  # fmt: skip
    """How many neighbouring elements the innermost loop runs over; None: all there are.

    Neighbouring axes run as one where every index in the kernel allows it: where it needs no
    quotients and remainders of the common index. An innermost axis shorter than `shortest` is
    joined with the next one all the same, and one that a reshape cuts into pieces is
    cut into those.
    """
    extents = [space[0] if space else 1, *(e for e in space[1:] if e != 1)]
    symbols = Space()
    variables = [symbols.loop(None), *(symbols.loop(e) for e in extents[1:])]
    accesses = Accesses(symbols, leaves)
    for output in outputs:
        accesses.visit(output, output_index(output, variables, extents, symbols))
    terms: list[Term] = [v.terms[0][0] for v in variables]
    used = affines([position for _, position in accesses.loads], accesses.indices)
    if len(extents) > 1:
        piece = _piece(used, terms[-1], extents[-1], lanes)
        if piece:
            return piece
    first = len(extents) - 1
    inner = extents[-1]
    while first > 0 and (inner < shortest or joins(used, terms, extents, first)):
        first -= 1
        inner *= extents[first]
    return None if first == 0 else math.prod(extents[first:])


def output_index(
    output: Node, variables: Sequence[Affine], extents: Sequence[int], space: Space
) -> Index:
    """The index of the output's element at a place in the kernel's index space."""
    return reshaped(tuple(variables), tuple(extents), output.shape, space) if output.shape else ()


def affines(*groups: Iterable[Affine]) -> list[Affine]:
    """The indices, and those inside their quotients and remainders."""
    found: dict[Affine, None] = {}
    stack = [a for group in groups for a in group]
    while stack:
        a = stack.pop()
        if a not in found:
            found[a] = None
            stack.extend(term.inner for term, _ in a.terms if term.kind in ("div", "mod"))
    return list(found)


def joins(used: Sequence[Affine], terms: Sequence[Term], extents: Sequence[int], axis: int) -> bool:
    """Whether axis - 1 and axis can run as one: their steps fit in every index."""
    outer, inner, extent = terms[axis - 1], terms[axis], extents[axis]
    return all(a.coefficient(outer) == a.coefficient(inner) * extent for a in used)


def _piece(used: list[Affine], term: Term, extent: int, lanes: int) -> int:
    """The piece that quotients cut an axis into, if it fills half a vector; else 0."""
    pieces = {
        t.divisor
        for a in used
        for t, _ in a.terms
        if t.kind in ("div", "mod")
        and t.inner.const == 0
        and len(t.inner.terms) == 1
        and t.inner.terms[0] == (term, 1)
    }
    fitting = [p for p in pieces if extent % p == 0 and 2 * p >= lanes]
    return min(fitting) if fitting else 0
