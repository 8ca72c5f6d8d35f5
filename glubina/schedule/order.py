"""The order of the kernels, and which results may overwrite the inputs that they replace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from glubina.graph.errors import GraphError
from glubina.graph.node import Node, topological
from glubina.graph.ops.scan import body_of
from glubina.graph.techniques import used
from glubina.schedule.kernel import Kernel, root

CHECKED = ("take", "scatter_add")
"""The operations whose kernels check what they are given, and may raise an error."""

CHECKED_AS_READ = "take"
"""The one whose kernels check while they write; a scatter does before its first result."""

WHOLE = ("reshape", "transpose", "broadcast", "detach", "sum", "max", "prod", "argmax")
"""The operations, besides the element-wise ones, that read every element of their sources."""

LITTLE = 64
"""The elements that a kernel may write to run as soon as it can although others wait for it."""

Check = tuple[Node, int]
"""Indices, and the extent that they must lie in."""


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
            readers.setdefault(root(node), []).append(i)
    after = needed(kernels)
    kept: dict[Node, Node] = {}
    overwritten: set[Node] = set()
    for output, taken in donated.items():
        writer = maker.get(output)
        if writer is None or taken in overwritten or not _may_overwrite(kernels[writer], taken):
            continue
        others = {i for i in readers.get(taken, ()) if i != writer}
        if any(_needs(after, i, writer) for i in others):
            continue
        after[writer] |= others
        kept[output] = taken
        overwritten.add(taken)
    _errors_first(kernels, after, {maker[output] for output in kept})
    order = in_order([sorted(needed) for needed in after])
    if used("early"):
        little = {i for i, kernel in enumerate(kernels) if _is_little(kernel)}
        order = ends_early(order, after, little)
    return [kernels[i] for i in order], kept


def needed(kernels: Sequence[Kernel]) -> list[set[int]]:
    """For each kernel those that it needs: the makers of what it reads and of what that awaits."""
    maker = {output: i for i, kernel in enumerate(kernels) for output in kernel.outputs}
    found = []
    for kernel in kernels:
        own: set[int] = set()
        seen: set[Node] = set()
        stack = list(kernel.inputs)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in maker:
                own.add(maker[node])
            else:  # an input, or one that waits: for what its sources are worked out from
                stack.extend(node.sources)
        found.append(own)
    return found


def _is_little(kernel: Kernel) -> bool:
    """Whether a kernel writes a few numbers only, for which memory is always there."""
    return sum(output.size for output in kernel.outputs) <= LITTLE


def ends_early(
    order: Sequence[int], after: Sequence[set[int]], little: Set[int] = frozenset()
) -> list[int]:
    """The order, with kernels that no other one waits for right behind the last that they need.

    Most of them update a weight: what made its gradient is in the cache still, and its memory is
    free for others sooner. The little ones, for which others wait, move up likewise: a rule's
    coefficients and the loss, which checks the targets, are there before the first weight's turn.
    """
    needed = set[int]().union(*after)
    moving = [k for k in order if k in little or (k not in needed and after[k])]
    missing = {kernel: len(after[kernel]) for kernel in moving}
    waiting: dict[int, list[int]] = {}
    for kernel in moving:
        for other in after[kernel]:
            waiting.setdefault(other, []).append(kernel)
    first = [kernel for kernel in moving if not after[kernel]]
    found: list[int] = []
    for start in (*first, *(kernel for kernel in order if kernel not in missing)):
        ready = [start]
        for kernel in ready:  # grows on the way
            found.append(kernel)
            for end in waiting.get(kernel, ()):
                missing[end] -= 1
                if not missing[end]:
                    ready.append(end)
    return found


def _errors_first(kernels: Sequence[Kernel], after: list[set[int]], writers: set[int]) -> None:
    """Let the writers wait for every kernel that can raise an error, unless that needs them.

    What one kernel checks as a whole, no writer has to see checked again: so the update of a
    network's last weight does not wait for the gradient of its first, an embedding.
    """
    checking = [(i, *_checks(kernel)) for i, kernel in enumerate(kernels)]
    checking = [found for found in checking if found[1]]
    for writer in writers:
        passed = set[Check]()
        for i, checks, whole in checking:
            if i != writer and not checks <= passed and not _needs(after, i, writer):
                after[writer].add(i)
                passed |= whole


def _checks(kernel: Kernel) -> tuple[set[Check], set[Check]]:
    """What a kernel checks, and what of it for sure in every element."""
    inside = _inside(kernel, set(kernel.inputs))
    whole = {node for node in kernel.outputs if node.size}
    for node in reversed(inside):
        if node in whole and (node.op.family == "elementwise" or node.op.name in WHOLE):
            whole.update(source for source in node.sources if source.size)
    checks, surely = set[Check](), set[Check]()
    for node in inside:
        if _may_raise(node):
            check = _check(node)
            checks.add(check)
            if node in whole:
                surely.add(check)
    return checks, surely


def _may_raise(node: Node) -> bool:
    """Whether a node, or one in the body of a loop, checks what it is given."""
    if node.op.name == "scan":
        return any(_may_raise(inner) for inner in topological(body_of(node)))
    return node.op.name in CHECKED


def _check(node: Node) -> Check:
    """The indices that a node checks and their bound; a loop's checks are its own."""
    if node.op.name == "take":
        return root(node.sources[1]), node.sources[0].shape[node.attributes.axis]
    if node.op.name == "scatter_add":
        return root(node.sources[0]), node.attributes.shape[node.attributes.axis]
    return node, 0


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


IN_PLACE = ("map", "matmul", "conv", "conv_filter", "window", "scatter")
"""The kinds of kernel whose results may lie where one of their inputs lay inside a program.

They write each element once, after all that it depends on was read.
"""


def heirs(kernel: Kernel, outputs: Iterable[Node], dying: Iterable[Node]) -> dict[Node, Node]:
    """For some outputs of a kernel the input whose memory each may take.

    dying: the inputs that nothing needs after the kernel. Each is taken once, by an output of its
    size and dtype.
    """
    found: dict[Node, Node] = {}
    if kernel.kind not in IN_PLACE:
        return found
    free = [node for node in dying if _may_overwrite(kernel, node)]
    for output in outputs:
        for node in free:
            if node.size == output.size and node.dtype == output.dtype:
                found[output] = node
                free.remove(node)
                break
    return found


def _may_overwrite(kernel: Kernel, taken: Node) -> bool:
    """Whether the kernel reads the input only at the element that it is about to write, safely.

    Every way from any of the kernel's outputs down to the input must be element-wise; a way
    through an anchor, a broadcast or a permutation would see elements already overwritten. And
    no refused index may end the kernel when half of the input is overwritten.
    """
    stop = set(kernel.inputs)
    reading = {node for node in stop if root(node) is taken}  # nodes that need the input
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
