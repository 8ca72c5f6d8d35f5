"""Reductions: sums, products, maxima and their places, of an expression over some of its axes.

The reduced elements are cut into blocks of a few thousand, a cut that depends on shapes alone.
Where there are enough results to keep the threads busy, each is worked out whole, block after
block; where there are few, the blocks are shared among the threads, their states go to a
workspace, and a second stage puts them together. `reduce_rows` and `reduce_columns` write the
loops, for the reduced or a kept axis as the innermost one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glubina.codegen import map as map_kernel
from glubina.codegen import reduce_columns, reduce_rows
from glubina.codegen.accumulate import Reduction
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import module
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.nest import affines
from glubina.codegen.reduce_plan import Plan
from glubina.codegen.target import Target
from glubina.graph.node import Node
from glubina.schedule.affine import Space
from glubina.schedule.rows import reduced_axes
from glubina.schedule.views import Accesses

ENOUGH_RESULTS = 64
"""Independent pieces of work from which on a single stage keeps all threads busy."""

FEW_ELEMENTS = 1 << 14
"""Elements below which a second stage would cost more than it brings."""


def lower(form: Structure, target: Target) -> Lowering:
    """The native functions of a reduction kernel."""
    anchors = form.kernel.anchors
    source = anchors[0].sources[0]
    axes = reduced_axes(anchors[0])
    if all(source.shape[a] == 1 and a > 0 for a in axes):
        return map_kernel.lower(form, target)  # nothing is added up: the anchors are reshapes
    plan = make_plan(form, target)
    pieces = plan.kept * plan.tiles
    two = plan.blocks > 1 and pieces < ENOUGH_RESULTS and source.size > FEW_ELEMENTS
    key = f"{form.key}{'b' if two else 'a'}"
    count = len(form.kernel.inputs) + len(form.kernel.outputs)
    arguments = (plan.kept, plan.reduced, plan.blocks, *form.arguments())
    buffers = tuple(range(count))
    cost = sum(n.op.cost for n in form.order if n.dtype.kind == "f" and n.size >= source.size)
    flops = source.size * (cost + len(anchors))
    writer = reduce_rows if plan.inner_reduced else reduce_columns
    if not two:
        stage = Stage(f"reduce_{key}", buffers, arguments)
        return Lowering(
            key, (stage,), (), lambda: module([writer.whole(stage.symbol, form, plan)]), flops
        )
    reductions = [Reduction(a) for a in anchors]
    workspaces = tuple(
        plan.kept * plan.blocks * plan.width * _bytes(scalar)
        for reduction in reductions
        for scalar in reduction.types
    )
    buffers += tuple(-1 - i for i in range(len(workspaces)))
    first = Stage(f"reduce_{key}_blocks", buffers, arguments)
    second = Stage(f"reduce_{key}_results", buffers, arguments)

    def text() -> str:
        return module(
            [writer.partial(first.symbol, form, plan), writer.combine(second.symbol, form, plan)]
        )

    return Lowering(key, (first, second), workspaces, text, flops)


def _bytes(scalar: str) -> int:
    return {"float": 4, "double": 8}.get(scalar) or int(scalar[1:]) // 8


@dataclass
class _Group:
    """Neighbouring axes that run as one."""

    reduced: bool
    extent: int


def make_plan(form: Structure, target: Target) -> Plan:
    """Which axes run together, and how the work is cut."""
    anchors = form.kernel.anchors
    source = anchors[0].sources[0]
    axes = reduced_axes(anchors[0])
    groups = _groups(anchors, frozenset(form.kernel.inputs), axes)
    size = min(8, max(4, max(a.sources[0].dtype.itemsize for a in anchors)))
    lanes = target.vector_bits // 8 // size
    kept = [g.extent for g in groups if not g.reduced]
    reduced = [g.extent for g in groups if g.reduced]
    inner = groups[-1]
    plan = Plan(
        shape=source.shape,
        groups=tuple((g.reduced, g.extent) for g in groups),
        lanes=lanes,
        inner_reduced=inner.reduced,
        inner=inner.extent if len(groups) > 1 else None,
        kept=math.prod(kept if inner.reduced else kept[:-1]),
        reduced=math.prod(reduced[:-1] if inner.reduced else reduced),
        width=1 if inner.reduced else inner.extent,
    )
    if plan.inner is None:
        plan.reduced = inner.extent
    return plan


def _groups(
    anchors: tuple[Node, ...], leaves: frozenset[Node], axes: tuple[int, ...]
) -> list[_Group]:
    """The source's axes, joined where neighbours are of one sort and every index allows it."""
    source = anchors[0].sources[0]
    symbols = Space()
    index = [symbols.loop(e if i else None) for i, e in enumerate(source.shape)]
    accesses = Accesses(symbols, leaves)
    for anchor in anchors:
        accesses.visit(anchor.sources[0], tuple(index))
    used = affines([position for _, position in accesses.loads], accesses.indices)
    groups: list[_Group] = []
    previous = None
    single = any(a.op.name == "argmax" for a in anchors)
    for axis, extent in enumerate(source.shape):
        if axis and extent == 1:
            continue
        reduced = axis in axes
        term = index[axis].terms[0][0]
        joins = (
            previous is not None
            and groups[-1].reduced == reduced
            and all(a.coefficient(previous) == a.coefficient(term) * extent for a in used)
        )
        if joins and not (single and reduced):
            groups[-1].extent *= extent
        else:
            groups.append(_Group(reduced, extent))
        previous = term
    return groups
