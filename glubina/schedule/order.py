"""The order of the kernels, and which results may overwrite the inputs that they replace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from glubina.graph.errors import GraphError
from glubina.graph.node import Node, topological
from glubina.graph.ops.scan import body_of
from glubina.schedule.kernel import Kernel

CHECKED = ("take", "scatter_add")
"""The operations whose kernels check what they are given, and may raise an error."""

CHECKED_AS_READ = "take"
"""The one whose kernels check while they write; a scatter does before its first result."""


def settle(
    kernels: Sequence[Kernel], donated: Mapping[Node, Node]
) -> tuple[list[Kernel], dict[Node, Node]]:
    """Order the kernels so that donated inputs are overwritten after their last reader.

    `donated` maps an output to the input whose memory it may take. Returns the ordered kernels
    and the donations that could be kept: one is dropped where the kernel that writes the output
    reads the input other than element for element or checks indices as it writes, where the order
    would need a circle, or where another output has taken the input. Kernels that can
    raise an error run before those that overwrite an input, so that a refused index changes
    nothing.
    """
    maker = {output: i for i, kernel in enumerate(kernels) for output in kernel.outputs}
    readers: dict[Node, list[int]] = {}
    for i, kernel in enumerate(kernels):
        for node in kernel.inputs:
            readers.setdefault(node, []).append(i)
    after: list[set[int]] = [{maker[n] for n in kernel.inputs if n in maker} for kernel in kernels]
    kept: dict[Node, Node] = {}
    used: set[Node] = set()
    for output, taken in donated.items():
        writer = maker.get(output)
        if writer is None or taken in used or not _may_overwrite(kernels[writer], taken):
            continue
        others = {i for i in readers.get(taken, ()) if i != writer}
        if any(_needs(after, i, writer) for i in others):
            continue
        after[writer] |= others
        kept[output] = taken
        used.add(taken)
    _errors_first(kernels, after, {maker[output] for output in kept})
    order = ends_early(in_order([sorted(needed) for needed in after]), after)
    return [kernels[i] for i in order], kept


def ends_early(order: Sequence[int], after: Sequence[set[int]]) -> list[int]:
    """The order, with kernels that no other one waits for right behind the last that they need.

    Most of them update a weight: what made its gradient is in the cache still, and its memory is
    free for others sooner.
    """
    needed = set[int]().union(*after)
    place = {kernel: position for position, kernel in enumerate(order)}
    behind: dict[int, list[int]] = {}
    for kernel in order:
        if kernel not in needed and after[kernel]:
            behind.setdefault(max(after[kernel], key=place.__getitem__), []).append(kernel)
    ends = {kernel for group in behind.values() for kernel in group}
    found: list[int] = []
    for kernel in order:
        if kernel not in ends:
            found += [kernel, *behind.get(kernel, ())]
    return found


def _errors_first(kernels: Sequence[Kernel], after: list[set[int]], writers: set[int]) -> None:
    """Let the writers wait for every kernel that can raise an error, unless that needs them."""
    for i, kernel in enumerate(kernels):
        if any(_may_raise(node) for node in _inside(kernel, set(kernel.inputs))):
            for writer in writers - {i}:
                if not _needs(after, i, writer):
                    after[writer].add(i)


def _may_raise(node: Node) -> bool:
    """Whether a node, or one in the body of a loop, checks what it is given."""
    if node.op.name == "scan":
        return any(_may_raise(inner) for inner in topological(body_of(node)))
    return node.op.name in CHECKED


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


def in_order(after: Sequence[Iterable[int]]) -> list[int]:
    """The kernels' numbers so that each comes after those in its `after`.

    Depth first from the first kernel on: what a kernel needs runs shortly before it. GraphError
    where kernels need each other.
    """
    done: dict[int, None] = {}
    entered: set[int] = set()
    for first in range(len(after)):
        stack = [(first, False)]
        while stack:
            i, ready = stack.pop()
            if i in done:
                continue
            if ready:
                done[i] = None
                continue
            if i in entered:
                raise GraphError(f"kernels need each other: number {i} waits for itself")
            entered.add(i)
            stack.append((i, True))
            stack.extend((j, False) for j in reversed(list(after[i])))
    return list(done)


def _may_overwrite(kernel: Kernel, taken: Node) -> bool:
    """Whether the kernel reads the input only at the element that it is about to write, safely.

    Every way from any of the kernel's outputs down to the input must be element-wise; a way
    through an anchor, a broadcast or a permutation would see elements already overwritten. And
    no refused index may end the kernel when half of the input is overwritten.
    """
    stop = set(kernel.inputs)
    reading = {taken}  # nodes that need the input
    for node in _inside(kernel, stop):
        if node.op.name == CHECKED_AS_READ:
            return False
        if any(source in reading for source in node.sources):
            if node.op.family != "elementwise" and node.op.name != "reshape":
                return False
            reading.add(node)
    return True


def _inside(kernel: Kernel, stop: set[Node]) -> list[Node]:
    """The nodes that the kernel works out, sources first."""
    order: dict[Node, None] = {}
    stack = [(node, False) for node in kernel.outputs]
    while stack:
        node, ready = stack.pop()
        if ready:
            order[node] = None
        elif node not in order and node not in stop:
            stack.append((node, True))
            stack.extend((source, False) for source in node.sources)
    return list(order)
