"""The order of the kernels, and which results may overwrite the inputs that they replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glubina.graph.node import Node
from glubina.schedule.kernel import Kernel


def settle(
    kernels: Sequence[Kernel], donated: Mapping[Node, Node]
) -> tuple[list[Kernel], dict[Node, Node]]:
    """Order the kernels so that donated inputs are overwritten after their last reader.

    `donated` maps an output to the input whose memory it may take. Returns the ordered kernels
    and the donations that could be kept: one is dropped where the kernel that writes the output
    reads the input other than element for element, or where the order would need a circle.
    """
    maker = {output: i for i, kernel in enumerate(kernels) for output in kernel.outputs}
    readers: dict[Node, list[int]] = {}
    for i, kernel in enumerate(kernels):
        for node in kernel.inputs:
            readers.setdefault(node, []).append(i)
    after: list[set[int]] = [
        {maker[n] for n in kernel.inputs if n in maker} for kernel in kernels
    ]
    kept: dict[Node, Node] = {}
    for output, taken in donated.items():
        writer = maker.get(output)
        if writer is None or not _reads_in_step(kernels[writer], output, taken):
            continue
        others = {i for i in readers.get(taken, ()) if i != writer}
        if any(_needs(after, i, writer) for i in others):
            continue
        after[writer] |= others
        kept[output] = taken
    return [kernels[i] for i in _sorted(after)], kept


def _needs(after: Sequence[set[int]], kernel: int, other: int) -> bool:
    """Whether a kernel must run after another."""
    stack, seen = [kernel], set[int]()
    while stack:
        current = stack.pop()
        if current == other:
            return True
        if current not in seen:
            seen.add(current)
            stack.extend(after[current])
    return False


def _sorted(after: Sequence[set[int]]) -> list[int]:
    """Depth first from the first kernel on: what a kernel needs runs shortly before it."""
    done: dict[int, None] = {}
    for first in range(len(after)):
        stack = [(first, False)]
        while stack:
            i, ready = stack.pop()
            if i in done:
                continue
            if ready:
                done[i] = None
            else:
                stack.append((i, True))
                stack.extend((j, False) for j in sorted(after[i], reverse=True))
    return list(done)


def _reads_in_step(kernel: Kernel, output: Node, taken: Node) -> bool:
    """Whether the kernel reads the input only at the element that it is about to write.

    Every way from any of the kernel's outputs down to the input must be element-wise; a way
    through an anchor, a broadcast or a permutation would see elements already overwritten.
    """
    if taken not in kernel.inputs:
        return True
    stop = set(kernel.inputs)
    reaches: dict[Node, bool] = {}

    def reads(node: Node) -> bool:
        if node not in reaches:
            inner = node not in stop and any([reads(s) for s in node.sources])
            reaches[node] = node is taken or inner
        return reaches[node]

    def straight(node: Node) -> bool:
        if node in stop or not reads(node):
            return True
        if node.op.family != "elementwise" and node.op.name != "reshape":
            return False
        return all([straight(s) for s in node.sources])

    return all(straight(o) for o in kernel.outputs) and not any(
        reads(source) for anchor in kernel.anchors for source in anchor.sources
    )
