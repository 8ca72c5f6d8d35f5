"""What is compiled into a kernel and what is handed to it when it runs, and so its name.

Leading extents, scalar constants and the streams of random numbers are handed over, so that
kernels that differ only in them share one piece of code. Everything else is in the key.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glubina.codegen.target import Target
from glubina.graph import ops
from glubina.graph.node import Node, make
from glubina.schedule.kernel import Kernel

COMPILED_CONSTANTS = (0.0, 1.0, -1.0, 0.5, 2.0)


class Structure(NamedTuple):
    """A kernel with what its code depends on.

    kernel: the kernel that is compiled (flattened where that changes nothing).
    order: the nodes between its inputs and its outputs, sources first.
    numbers: the nodes whose scalar (a constant, a random stream) is an argument.
    key: a hash of all that is compiled in.
    """

    kernel: Kernel
    order: tuple[Node, ...]
    numbers: tuple[Node, ...]
    key: str

    def arguments(self) -> tuple[int, ...]:
        """The 64-bit words of the scalars."""
        return tuple(_word(node) for node in self.numbers)


@functools.cache
def code_version() -> str:
    """A hash of the code generator's own text: changed code makes changed kernels."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def structure(kernel: Kernel, target: Target) -> Structure:
    """The kernel's structure; equal keys mean equal code."""
    kernel = flattened(kernel)
    order = inner_nodes(kernel)
    numbers = tuple(node for node in order if _is_number(node))
    known = {node: i for i, node in enumerate(kernel.inputs)}
    lines = [repr((kernel.kind, len(kernel.space), kernel.space[1:], target, code_version()))]
    lines += [f"{n.dtype.num} {len(n.shape)} {n.shape[1:]}" for n in kernel.inputs]
    for node in order:
        sources = [known[s] for s in node.sources]
        known[node] = len(known)
        lines.append(
            f"{node.op.name} {sources} {len(node.shape)} {node.shape[1:]} {node.dtype.num} "
            f"{_compiled(node)}"
        )
    lines.append(repr([[known[n] for n in part] for part in (kernel.anchors, kernel.outputs)]))
    key = hashlib.blake2b("\n".join(lines).encode(), digest_size=12).hexdigest()
    return Structure(kernel, order, numbers, key)


def inner_nodes(kernel: Kernel) -> tuple[Node, ...]:
    """The nodes between a kernel's inputs and its outputs, sources first."""
    order: list[Node] = []
    seen = set(kernel.inputs)
    stack = [(n, False) for n in reversed((*kernel.anchors, *kernel.outputs))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((s, False) for s in reversed(node.sources) if s not in seen)
    return tuple(order)


def _is_number(node: Node) -> bool:
    if node.op.name == "random_bits":
        return True
    if node.op.name != "constant" or node.dtype.kind != "f" or node.dtype.itemsize < 4:
        return False
    value = np.frombuffer(node.attributes.bits, node.dtype)[0]
    return not (value in COMPILED_CONSTANTS and not (value == 0 and np.signbit(value)))


def _word(node: Node) -> int:
    if node.op.name == "random_bits":
        return int(node.attributes.stream) & 0xFFFFFFFF
    word = int.from_bytes(node.attributes.bits, "little")
    return word - (1 << 64) if word >> 63 else word


def _compiled(node: Node) -> object:
    """What a node's code depends on beside its sources, dtype and trailing extents."""
    name, a = node.op.name, node.attributes
    if name in ("reshape", "random_bits"):
        return ""
    if name == "broadcast":
        have = node.sources[0].shape
        want = node.shape[len(node.shape) - len(have) :]
        return [h == 1 and w != 1 for h, w in zip(have, want)]
    if name == "slice":
        return a.starts, a.steps
    if name == "iota":
        return a.axis
    if name == "constant":
        return "" if _is_number(node) else a.bits
    if name == "concat":
        return a.axis, [s.shape[0] for s in node.sources] if a.axis == 0 else ""
    if name == "pad":
        moved = a.low[:1], a.high[:1], a.interior[:1]
        return a, node.sources[0].shape[0] if any(any(m) for m in moved) else ""
    if name == "scatter_add":
        return a.axis, a.shape[1:], a.shape[0] if a.axis == 0 else ""
    if name == "take":
        return a.axis, node.sources[0].shape[0] if a.axis == 0 else ""
    return a


# -- flattening ---------------------------------------------------------------------------------


def flattened(kernel: Kernel) -> Kernel:
    """The same kernel over one axis, if it only works element by element.

    Then all shapes of one size, and in fact of any size, share their code: an optimizer's update
    is compiled once for all parameters.
    """
    if kernel.kind != "map":
        return kernel
    total = kernel.outputs[0].size
    order = inner_nodes(kernel)
    if not all(_is_flat(node, total) for node in order):
        return kernel
    keys = {node.sources[0] for node in order if node.op.name == "random_bits"}
    if not all(node.size in (1, total) for node in kernel.inputs if node not in keys):
        return kernel
    if not keys <= set(kernel.inputs) or (keys and total <= 2):
        return kernel
    table: dict[Node, Node] = {}
    for node in kernel.inputs:
        table[node] = node if node in keys else ops.input((node.size,), node.dtype)
    for node in order:
        table[node] = _flat(node, total, table)
    return Kernel(
        "map",
        (),
        tuple(table[n] for n in kernel.inputs),
        tuple(table[n] for n in kernel.outputs),
        (total,),
    )


def _is_flat(node: Node, total: int) -> bool:
    name = node.op.name
    if node.size != total and node.size != 1:
        return False
    if node.op.family == "elementwise" or name in ("constant", "reshape", "detach"):
        return True
    if name == "broadcast":
        return node.sources[0].size == 1
    return name == "random_bits" and node.size == total


def _flat(node: Node, total: int, table: dict[Node, Node]) -> Node:
    name = node.op.name
    sources = tuple(table[s] for s in node.sources)
    if name in ("reshape", "detach"):
        return sources[0]
    if name == "broadcast":
        return sources[0] if node.size == 1 else ops.broadcast(sources[0], (total,))
    if name == "random_bits":
        return ops.random_bits(sources[0], node.attributes.stream, (total,))
    if name == "constant":
        return ops.reshape(node, (1,))
    return make(node.op, sources, node.attributes)
