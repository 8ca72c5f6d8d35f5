"""Takes out of a graph the marks that say "no derivative here" where there is none to stop."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.graph.node import Node, remake, topological
from glubina.graph.ops.hook import HOOK


def is_learned(node: Node) -> bool:
    """Whether a node is a leaf that derivatives are taken by."""
    owner = getattr(node, "owner", None)
    tensor = owner() if owner is not None else None
    return tensor is not None and bool(tensor.requires_grad)


def unmarked(outputs: Sequence[Node]) -> dict[Node, Node]:
    """For each node below the outputs itself without such marks, or the node with them still.

    What is made of inputs alone is marked as it is read: nobody asks for its derivative in a
    training. A person who looks at the computation does. A `detach` that keeps a derivative from
    coming to a parameter stays.
    """
    table: dict[Node, Node] = {}
    learned: set[Node] = set()
    order = topological(outputs)
    fixed = {source for node in order if node.op is HOOK for source in node.sources}
    for node in order:
        if is_learned(node) or any(source in learned for source in node.sources):
            learned.add(node)
        idle = node.op.name == "detach" and node not in learned and node not in fixed
        sources = tuple([table[source] for source in node.sources])
        table[node] = sources[0] if idle else remake(node, sources)
    return table
