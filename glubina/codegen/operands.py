"""The operands of contractions: where they lie in memory, or a stage that puts them there."""

from __future__ import annotations

from itertools import pairwise

from glubina.codegen import map as map_kernel
from glubina.codegen.canonical import Structure, structure
from glubina.codegen.emitter import Function
from glubina.codegen.lowered import Stage
from glubina.codegen.target import Target
from glubina.graph.node import Node
from glubina.schedule.kernel import Kernel
from glubina.schedule.views import View, affine_view


class Operands:
    """Finds operands among a kernel's inputs; others are worked out into workspaces first."""

    def __init__(self, form: Structure, target: Target, workspaces: int) -> None:
        """`workspaces`: how many workspaces the contraction itself has (they come first)."""
        self.inputs = form.kernel.inputs
        self.target = target
        self._drafts: list[tuple[Structure, tuple[int, ...], tuple[int, ...]]] = []
        self.workspaces: list[int] = []
        self.compiled: list[str] = []
        self._first = workspaces

    def plain(self, node: Node) -> int:
        """The buffer in which a node lies in row-major order."""
        view = affine_view(node, frozenset(self.inputs))
        if view is not None and view.root in self.inputs and _is_plain(node, view):
            return self.inputs.index(view.root)
        return self._work_out(node)

    def strided(self, node: Node) -> tuple[int, int, tuple[int, int, int]]:
        """The buffer of a factor of a matrix product, its offset and its three strides.

        The strides are those of all batches counted as one axis, of rows and of columns.
        """
        view = affine_view(node, frozenset(self.inputs))
        if view is not None and view.root in self.inputs:
            batch = _one_stride(node.shape[:-2], view.strides[:-2])
            if batch is not None:
                slot = self.inputs.index(view.root)
                return slot, view.offset, (batch, view.strides[-2], view.strides[-1])
        rows, columns = node.shape[-2:]
        return self.plain(node), 0, (rows * columns, columns, 1)

    def _work_out(self, node: Node) -> int:
        inputs = tuple(n for n in self.inputs if n in _below(node, frozenset(self.inputs)))
        form = structure(Kernel("map", (), inputs, (node,), node.shape), self.target)
        (stage,) = map_kernel.lower(form, self.target).stages
        self.workspaces.append(max(64, node.size * node.dtype.itemsize))
        there = -self._first - len(self.workspaces)
        slots = (*(self.inputs.index(n) for n in inputs), there)
        self._drafts.append((form, slots, stage.arguments))
        self.compiled.append(form.key)
        return there

    def stages(self, key: str) -> list[Stage]:
        """The calls that work operands out, for a contraction with this key.

        The key is in their names: two contractions may work out alike operands.
        """
        return [
            Stage(f"operand{i}_{key}", slots, arguments, slots[:-1])
            for i, (_, slots, arguments) in enumerate(self._drafts)
        ]

    def functions(self, key: str) -> list[Function]:
        """The code of the stages."""
        return [
            map_kernel.write(f"operand{i}_{key}", form, self.target)
            for i, (form, _, _) in enumerate(self._drafts)
        ]


def _below(node: Node, leaves: frozenset[Node]) -> set[Node]:
    """The leaves that a node is worked out from."""
    stack, seen = [node], set[Node]()
    while stack:
        current = stack.pop()
        if current not in seen:
            seen.add(current)
            if current not in leaves:
                stack.extend(current.sources)
    return seen & leaves


def _is_plain(node: Node, view: View) -> bool:
    """Whether the view is the whole memory of its root, in order."""
    step = 1
    for extent, stride in zip(reversed(node.shape), reversed(view.strides), strict=True):
        if extent != 1 and stride != step:
            return False
        step *= extent
    return view.offset == 0


def _one_stride(shape: tuple[int, ...], strides: tuple[int, ...]) -> int | None:
    """The stride of these axes counted as one, if there is one."""
    axes = [(e, s) for e, s in zip(shape, strides, strict=True) if e != 1]
    for (_, outer), (extent, inner) in pairwise(axes):
        if outer != inner * extent:
            return None
    return axes[-1][1] if axes else 0
