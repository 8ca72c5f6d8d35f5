"""When an element-wise kernel runs in square tiles: where it reads memory across its own order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from glubina.codegen.canonical import Structure
from glubina.codegen.nest import affines, joins, output_index
from glubina.graph.node import Node
from glubina.schedule.affine import Affine, Space, Term
from glubina.schedule.views import Accesses

MOST_WORK = 40
"""Operations per element above which reading across is no longer what takes the time."""


class Tiling(NamedTuple):
    """The axes of a kernel's index space, joined where they run as one.

    extents: their lengths, the first one without meaning (it is known at run time only).
    across: the axis along which what is read lies side by side; the last is the written one.
    """

    extents: tuple[int, ...]
    across: int


def tiling(form: Structure, lanes: int) -> Tiling | None:
    """How to cut the kernel into tiles; None where each vector is read as it is written."""
    kernel = form.kernel
    if lanes == 1 or sum(node.op.cost for node in form.order) > MOST_WORK:
        return None
    space = kernel.space or (1,)
    extents = [space[0], *(e for e in space[1:] if e != 1)]
    found = _reads(kernel.outputs, frozenset(kernel.inputs), extents)
    if found is None or len(extents) == 1:
        return None
    reads, terms = found
    groups: list[tuple[int, Term]] = [(extents[0], terms[0])]
    for axis in range(1, len(extents)):
        if joins([a for _, a in reads], terms, extents, axis):
            groups[-1] = (groups[-1][0] * extents[axis], terms[axis])
        else:
            groups.append((extents[axis], terms[axis]))
    inner = groups[-1]
    crossing = [(n, a) for n, a in reads if abs(a.coefficient(inner[1])) > 1]
    if len(groups) == 1 or not crossing or 2 * inner[0] < lanes:
        return None
    best = max(range(len(groups) - 1), key=lambda g: _side_by_side(crossing, groups[g][1]))
    wide = best == 0 or 2 * groups[best][0] >= lanes
    if not wide or not _side_by_side(crossing, groups[best][1]):
        return None
    return Tiling(tuple(extent for extent, _ in groups), best)


def _reads(
    outputs: Sequence[Node], leaves: frozenset[Node], extents: Sequence[int]
) -> tuple[list[tuple[Node, Affine]], list[Term]] | None:
    """What is read and where, and the variable of each axis; None if that is not plain strides."""
    symbols = Space()
    variables = [symbols.loop(None), *(symbols.loop(e) for e in extents[1:])]
    accesses = Accesses(symbols, leaves)
    for output in outputs:
        accesses.visit(output, output_index(output, variables, extents, symbols))
    reads = list(accesses.loads)
    used = affines([a for _, a in reads])
    if accesses.indices or any(t.kind != "loop" for a in used for t, _ in a.terms):
        return None
    return reads, [v.terms[0][0] for v in variables]


def _side_by_side(reads: Sequence[tuple[Node, Affine]], term: Term) -> int:
    """How many of the reads have their elements side by side along an axis."""
    return sum(a.coefficient(term) == 1 for _, a in reads)
