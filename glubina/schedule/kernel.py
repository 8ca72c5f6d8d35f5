"""A kernel as plain data: a piece of the graph that one native loop nest computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glubina.graph.node import Node

IN_MEMORY_OF = ("reshape", "after")
"""The operations whose value lies in the memory of their first source."""


def root(node: Node) -> Node:
    """The node whose memory a value lies in: reshaping moves nothing, nor does waiting."""
    while node.op.name in IN_MEMORY_OF:
        node = node.sources[0]
    return node


@dataclass(frozen=True)
class Kernel:
    """Fused nodes: everything between `inputs` (read from memory) and `outputs` (written to it).

    `anchors` are the heavy nodes inside, all of one kind and one index space: a contraction, a
    convolution, reductions over the same axes, windows, scatters. Element-wise and movement nodes
    before an anchor are evaluated as it reads, those after it as it writes. Without anchors the
    kernel is element-wise alone. Every output has as many elements as the index space `space`.

    A kernel over rows (kind "rows", space (rows, elements of a row)) is another matter: its anchors
    reduce the last axes of the same rows and may need each other, row by row, through nodes that
    stay in the row (see `schedule.rows`), and an output has one element for each row or all.

    Each input and output lies in memory whole, in row-major order. An input may be an `after`: what
    lies in the memory of another node (`root`), and is read when something else is worked out.
    """

    kind: str
    anchors: tuple[Node, ...]
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    space: tuple[int, ...]
