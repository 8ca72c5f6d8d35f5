"""From outputs to kernels in their final order, with the outputs that memory must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from glubina.graph.node import Node, new, topological
from glubina.graph.ops.marker import DETACH
from glubina.schedule.fuse import fuse
from glubina.schedule.kernel import Kernel, root
from glubina.schedule.order import settle
from glubina.schedule.statistics import in_one_pass


@dataclass(frozen=True)
class Schedule:
    """Kernels in order; where each output lies; which output takes which input's memory.

    `results[i]` is the node that some kernel writes and whose memory is output i. `donated[i]`
    is the number of the input whose memory output i overwrites, or -1.
    """

    inputs: tuple[Node, ...]
    kernels: tuple[Kernel, ...]
    results: tuple[Node, ...]
    donated: tuple[int, ...]


def schedule(outputs: Sequence[Node], inputs: Sequence[Node], donated: Sequence[int]) -> Schedule:
    """Fuse and order what computes the outputs.

    `donated[i]` is the number of the input whose memory output i takes, or -1. It is refused (and
    is -1 in the schedule) where sizes or dtypes differ or another output has taken the input.
    """
    results = _own_results(in_one_pass(outputs))
    wish: dict[Node, Node] = {}
    for result, number in zip(results, donated, strict=True):
        if number >= 0 and _same_memory(result, inputs[number]):
            wish[result] = inputs[number]
    kernels, kept = settle(fuse(results), wish)
    copies = _late_copies(wish, kept)
    kernels += [_copy_kernel(result, copy) for result, copy in copies.items()]
    kernels = [kernel for kernel in kernels if any(output.size for output in kernel.outputs)]
    results = tuple([copies.get(result, result) for result in results])
    numbers = {node: i for i, node in enumerate(inputs)}
    taken = tuple(numbers[kept[r]] if r in kept else -1 for r in results)
    return Schedule(tuple(inputs), tuple(kernels), results, taken)


def _own_results(outputs: Sequence[Node]) -> tuple[Node, ...]:
    """Each output as a node with memory of its own: copies of inputs and of repeated outputs."""
    results: list[Node] = []
    for output in outputs:
        node = root(output)
        if node.op.name == "input" or node in results:
            node = new(DETACH, (node,), (), node.shape, node.dtype)
        results.append(node)
    return tuple(results)


def _late_copies(wish: Mapping[Node, Node], kept: dict[Node, Node]) -> dict[Node, Node]:
    """Copies, at the end, of results that could not be written over their inputs directly.

    So what is updated is always updated in place, and a step can be repeated on the same memory.
    """
    copies: dict[Node, Node] = {}
    used = set(kept.values())
    for result, taken in wish.items():
        if result not in kept and taken not in used:
            copies[result] = new(DETACH, (result,), (), result.shape, result.dtype)
            kept[copies[result]] = taken
            used.add(taken)
    return copies


def _copy_kernel(result: Node, copy: Node) -> Kernel:
    return Kernel("map", (), (result,), (copy,), copy.shape)


def _same_memory(result: Node, taken: Node) -> bool:
    return result.size == taken.size and result.dtype == taken.dtype


def needed_inputs(outputs: Sequence[Node]) -> set[Node]:
    """The input nodes that the outputs depend on."""
    return {node for node in topological(outputs) if node.op.name == "input"}


def labels(kernels: Sequence[Kernel]) -> list[str]:
    """A name for each kernel: its anchors, then what it does to their results."""
    return [_label(kernel) for kernel in kernels]


def _label(kernel: Kernel) -> str:
    stop = set(kernel.inputs)
    names: dict[str, None] = {}
    seen: set[Node] = set()
    stack = [*kernel.outputs]
    while stack:
        node = stack.pop()
        if node in seen or node in stop:
            continue
        seen.add(node)
        if node.op.cost and node.op.family != "source" and node not in kernel.anchors:
            names[node.op.name] = None
        if node not in kernel.anchors:
            stack.extend(node.sources)
    heads = [anchor.op.name for anchor in kernel.anchors]
    if kernel.kind == "scan":
        heads = ["scan"]
    tail = [name for name in reversed(names) if name != "detach"]
    shown = "+".join([*heads, *tail[:6]]) or "copy"
    more = f"+{len(tail) - 6}" if len(tail) > 6 else ""
    return f"{shown}{more} {'x'.join(map(str, kernel.space)) or 'scalar'}"
