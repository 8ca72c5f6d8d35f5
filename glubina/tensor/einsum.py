"""Einstein's summation, composed of transpositions, sums and matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from glubina.graph import ops
from glubina.graph.errors import ShapeError
from glubina.graph.node import Node
from glubina.tensor.base import consume, wrap
from glubina.tensor.convert import Operand, as_tensor
from glubina.tensor.mode import mode
from glubina.tensor.promotion import float64, int64, result_type

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def einsum(rule: str, *tensors: Operand) -> Tensor:
    """Σ over the indices that the rule leaves out: einsum("ij,jk->ik", a, b) is a @ b.

    `...` stands for any leading axes. Without `->` the result has every index that occurs once,
    in alphabetical order. Operands are combined from left to right.
    """
    given = [as_tensor(t) for t in tensors]
    dtype = result_type(*(t.dtype for t in given))
    whole = dtype.kind != "f"
    # the matrix product is of floating numbers; whole ones are exact in float64 up to 2^53
    nodes = [ops.cast(consume(t), float64 if whole else dtype) for t in given]
    inputs, output = _parse(rule, nodes)
    extents = _extents(rule, inputs, nodes)
    terms = [_diagonal(n, i) for n, i in zip(nodes, inputs, strict=True)]
    node, letters = terms[0]
    for number in range(1, len(terms)):
        later = output + "".join(inputs[number + 1 :])
        node, letters = _contract(node, letters, *terms[number], later, extents)
    node, letters = _summed(node, letters, output)
    node = ops.transpose(node, tuple(letters.index(c) for c in output))
    tracked = mode.grad and any(t._requires_grad for t in given)
    return wrap(ops.cast(node, dtype), tracked)


def _parse(rule: str, nodes: list[Node]) -> tuple[list[str], str]:
    left, arrow, right = rule.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(nodes):
        raise ShapeError(f"einsum: {rule!r} is for {len(inputs)} tensors, {len(nodes)} were given")
    spare = [c for c in _LETTERS if c not in rule]
    lead = ""
    for number, (letters, node) in enumerate(zip(inputs, nodes, strict=True)):
        missing = len(node.shape) - len(letters.replace("...", ""))
        if missing < 0 or (missing and "..." not in letters):
            raise ShapeError(f"einsum: {letters!r} does not name the axes of shape {node.shape}")
        dots = "".join(spare[-missing:]) if missing else ""
        lead = max(lead, dots, key=len)
        inputs[number] = letters.replace("...", dots)
    if not arrow:
        joined = "".join(inputs)
        once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in lead)
        return inputs, lead + "".join(once)
    output = right.replace("...", lead)
    unknown = set(output) - set("".join(inputs))
    if unknown or len(set(output)) != len(output):
        raise ShapeError(f"einsum: the result {right!r} must name indices of {left!r}, each once")
    return inputs, output


def _extents(rule: str, inputs: list[str], nodes: list[Node]) -> dict[str, int]:
    extents: dict[str, int] = {}
    for letters, node in zip(inputs, nodes, strict=True):
        for letter, extent in zip(letters, node.shape, strict=True):
            if extents.setdefault(letter, extent) != extent:
                raise ShapeError(
                    f"einsum: in {rule!r} the index {letter} has {extents[letter]} and {extent} "
                    "elements"
                )
    return extents


def _diagonal(node: Node, letters: str) -> tuple[Node, str]:
    """Keep only the diagonal of an index that a term names twice."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            rank, extent = len(letters), node.shape[first]
            order = (*(i for i in range(rank) if i not in (first, second)), first, second)
            node = ops.transpose(node, order)
            letters = "".join(letters[i] for i in order[:-1])
            shape = node.shape
            flat = ops.reshape(node, (*shape[:-2], extent * extent))
            line = ops.iota((extent,), 0, int64)
            places = ops.multiply(line, ops.full_like(line, extent + 1))
            node = ops.take(flat, places, rank - 2)
    return node, letters


def _summed(node: Node, letters: str, kept: str) -> tuple[Node, str]:
    """Sum over the indices that nothing needs any more."""
    axes = tuple(i for i, c in enumerate(letters) if c not in kept)
    return ops.sum(node, axes), "".join(c for c in letters if c in kept)


def _contract(
    a: Node, left: str, b: Node, right: str, later: str, extents: dict[str, int]
) -> tuple[Node, str]:
    """The product of two terms as one of matrices: [shared, left, sum] x [shared, sum, right]."""
    a, left = _summed(a, left, right + later)
    b, right = _summed(b, right, left + later)
    shared = [c for c in left if c in right and c in later]
    inner = [c for c in left if c in right and c not in later]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]

    def arranged(node: Node, letters: str, *groups: list[str]) -> Node:
        order = tuple(letters.index(c) for group in groups for c in group)
        shape = tuple(math.prod(extents[c] for c in group) for group in groups)
        return ops.reshape(ops.transpose(node, order), shape)

    product = ops.matmul(
        arranged(a, left, shared, rows, inner), arranged(b, right, shared, inner, columns)
    )
    letters = [*shared, *rows, *columns]
    return ops.reshape(product, tuple(extents[c] for c in letters)), "".join(letters)
