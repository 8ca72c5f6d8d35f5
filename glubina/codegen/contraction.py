"""Kernels around a matrix product or a convolution: the fused work before and after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from glubina.codegen import (
    conv_filter,
    conv_filter_depthwise,
    conv_filter_plan,
    conv_planes,
    conv_planes_filter,
    convolution,
    matmul,
    planes_plan,
    product,
    winograd,
    winograd_filter,
)
from glubina.codegen.canonical import Structure
from glubina.codegen.conv_plan import ConvShape, plan_conv
from glubina.codegen.emitter import Function, module
from glubina.codegen.epilogue import Epilogue
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.matmul_plan import Factor, MatmulShape, plan_matmul, workspaces
from glubina.codegen.operands import Operands
from glubina.codegen.target import Target
from glubina.codegen.winograd_choice import choose
from glubina.codegen.winograd_parts import shared_modules
from glubina.codegen.winograd_plan import (
    Tile,
    plan_winograd,
    plan_winograd_filter,
)
from glubina.graph.node import Node
from glubina.graph.ops.movement import pad


def lower(form: Structure, target: Target) -> Lowering:
    """The native functions of a kernel anchored at a contraction."""
    name = form.kernel.anchors[0].op.name
    return _LOWER[name](form, target)


def _key(form: Structure, *compiled: object) -> str:
    text = f"{form.key} {compiled!r}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _finish(
    form: Structure, lanes: int, first: int, shape: tuple[int, ...], period: int = 0
) -> Callable[[Frame], Epilogue]:
    return lambda frame: Epilogue(frame, form, lanes, first, shape, period)


def _lowering(
    key: str,
    operands: Operands,
    stages: Sequence[Stage],
    workspaces: Sequence[int],
    write: Callable[[], list[Function]],
    flops: int,
) -> Lowering:
    """The stages that work out operands, then those of the contraction."""
    return Lowering(
        key,
        (*operands.stages(key), *stages),
        (*workspaces, *operands.workspaces),
        lambda: module(operands.functions(key) + write()),
        flops,
    )


# -- matrix product -----------------------------------------------------------------------------


def _matmul(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    operands = Operands(form, target, matmul.WORKSPACES)
    a, b = (Factor(*operands.strided(source)) for source in anchor.sources)
    k = anchor.sources[0].shape[-1]
    shape = MatmulShape(prod(anchor.shape[:-2]), anchor.shape[-2], k, anchor.shape[-1], a, b)
    if shape.n == 1:
        shape = shape.turned()
    plan = plan_matmul(shape, anchor.dtype, target)
    key = _key(form, "matmul", plan, operands.compiled)
    own = len(kernel.inputs) + len(kernel.outputs)
    finish = _finish(form, plan.lanes, product.NUMBERS, (shape.batch, shape.m, shape.n))
    return _lowering(
        key,
        operands,
        matmul.stages(plan, shape, key, own, form.arguments()),
        workspaces(plan, shape),
        lambda: matmul.functions(plan, key, own, finish),
        2 * shape.batch * shape.m * shape.n * k,
    )


# -- convolution --------------------------------------------------------------------------------


def _conv(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, w = anchor.sources
    shape = ConvShape(
        x.shape[0], x.shape[1:-1], x.shape[-1], w.shape[:-2], anchor.shape[1:-1],
        w.shape[-1], anchor.attributes,
    )  # fmt: skip
    if tile := choose(shape, anchor.dtype, target, False):
        return _winograd(form, target, shape, tile)
    if planes_plan.pays(shape, anchor.dtype, target):
        return _planes(form, target, shape)
    calls = plan_conv(shape, anchor.dtype, target)
    plans = list(dict.fromkeys(call.plan for call in calls))
    own = len(kernel.inputs) + len(kernel.outputs)
    operands = Operands(form, target, 0)
    places = operands.plain(x), operands.plain(w)
    key = _key(form, "conv", plans, operands.compiled, places)
    scalars = form.arguments()
    stages = []
    for call in calls:
        buffers = (*range(own), *places)
        stages.append(
            Stage(f"conv{plans.index(call.plan)}_{key}", buffers, (*call.numbers, *scalars))
        )
    first = len(calls[0].numbers)

    def write() -> list[Function]:
        finish = _finish(form, plans[0].lanes, first, anchor.shape)
        return [
            convolution.emit_conv(f"conv{i}_{key}", plan, finish, own + 2)
            for i, plan in enumerate(plans)
        ]

    flops = 2 * anchor.size * prod(w.shape[:-1])
    return _lowering(key, operands, stages, (), write, flops)


def _winograd(form: Structure, target: Target, shape: ConvShape, tile: Tile) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, w = anchor.sources
    call = plan_winograd(shape, tile, target)
    plan = call.plan
    operands = Operands(form, target, len(call.workspaces))
    places = operands.plain(x), operands.plain(w)
    key = _key(form, "winograd", plan, operands.compiled, places)
    own = len(kernel.inputs) + len(kernel.outputs)
    turn = winograd.turn(plan)
    before = Stage(turn.name, (places[1], -2), call.turn, (places[1],))
    buffers = (*range(own), places[0], places[1] if plan.local else -2, -1)
    stage = Stage(f"winograd_{key}", buffers, (*call.numbers, *form.arguments()))
    finish = _finish(form, plan.lanes, len(call.numbers), anchor.shape)

    def write() -> list[Function]:
        return [winograd.emit_winograd(f"winograd_{key}", plan, finish, own + 3)]

    parts = list(winograd.parts(plan).values())
    shared = shared_modules(parts if plan.local else [turn, *parts])
    flops = 2 * anchor.size * prod(w.shape[:-1])
    stages = (stage,) if plan.local else (before, stage)
    lowering = _lowering(key, operands, stages, call.workspaces, write, flops)
    return replace(lowering, shared=shared)


def _planes(form: Structure, target: Target, shape: ConvShape) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, w = anchor.sources
    others = (node for node in kernel.inputs if node not in (x, w))
    even = all(node.size in (1, anchor.shape[-1], anchor.size) for node in others)
    calls = planes_plan.plan_planes(shape, anchor.dtype, target, even)
    plan, first = calls[0].plan, len(calls[0].numbers)
    operands = Operands(form, target, 1)
    places = operands.plain(x), operands.plain(w)
    key = _key(form, "planes", plan, operands.compiled, places)
    own = len(kernel.inputs) + len(kernel.outputs)
    counted = anchor.shape
    if plan.flat:
        counted = (*anchor.shape[:-2], anchor.shape[-2] * anchor.shape[-1])
    finish = _finish(form, plan.lanes, first, counted, anchor.shape[-1] if plan.flat else 0)
    buffers = (*range(own), *places, -1)
    stages = [Stage(f"planes_{key}", buffers, (*call.numbers, *form.arguments())) for call in calls]

    def write() -> list[Function]:
        return [conv_planes.emit_planes(f"planes_{key}", plan, finish, own + 3)]

    flops = 2 * anchor.size * prod(w.shape[:-1])
    work = max(call.workspace for call in calls)
    return _lowering(key, operands, stages, (work,), write, flops)


def _conv_filter(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, g = anchor.sources
    geometry, window = anchor.attributes.geometry, anchor.attributes.window
    if any(d != 1 for d in geometry.input_dilation):
        # The kernel reads the input without gaps: they are filled with zeros first.
        rank = len(x.shape)
        between = (0, *(d - 1 for d in geometry.input_dilation), 0)
        x = pad(x, (0,) * rank, (0,) * rank, between)
        geometry = geometry._replace(input_dilation=(1,) * len(window))
    shape = ConvShape(
        x.shape[0], x.shape[1:-1], x.shape[-1], window, g.shape[1:-1], g.shape[-1], geometry
    )
    call = conv_filter_plan.plan_filter(shape, anchor.dtype, target)
    if tile := choose(shape, anchor.dtype, target, True):
        return _winograd_filter(form, target, shape, tile, call.plan, call.numbers, (x, g))
    if conv_planes_filter.pays(shape, anchor.dtype, target):
        return _planes_filter(form, target, shape, call.plan, call.numbers, (x, g))
    plan = call.plan
    operands = Operands(form, target, 1)
    places = operands.plain(x), operands.plain(g)
    key = _key(form, "conv_filter", plan, operands.compiled, places)
    own = len(kernel.inputs) + len(kernel.outputs)
    stages = (
        Stage(f"partial_{key}", (*places, -1), call.numbers),
        Stage(f"filter_{key}", (*range(own), -1), (*call.numbers, *form.arguments())),
    )
    finish = _finish(form, plan.lanes, len(call.numbers), anchor.shape)

    def write() -> list[Function]:
        return [
            conv_filter_depthwise.emit_partials(f"partial_{key}", plan)
            if plan.depthwise
            else conv_filter.emit_partials(f"partial_{key}", plan),
            conv_filter.emit_combine(f"filter_{key}", plan, finish, own + 1),
        ]

    flops = 2 * g.size * prod(window) * (x.shape[-1] // geometry.groups)
    return _lowering(key, operands, stages, (call.workspace,), write, flops)


def _planes_filter(
    form: Structure, target: Target, shape: ConvShape, plan: conv_filter_plan.FilterPlan,
    numbers: tuple[int, ...], sources: tuple[Node, Node],
) -> Lowering:  # fmt: skip
    """The sums by planes; the last stage as in the direct way, whose plan and numbers are given."""
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    call = conv_planes_filter.plan_planes_filter(shape, anchor.dtype, target)
    operands = Operands(form, target, len(call.workspaces))
    places = operands.plain(sources[0]), operands.plain(sources[1])
    key = _key(form, "planes_filter", call.plan, plan, operands.compiled, places)
    own = len(kernel.inputs) + len(kernel.outputs)
    numbers = (*numbers[:3], 1, *numbers[4:])
    stages = (
        Stage(f"strips_{key}", (*places, -1, -2), call.numbers),
        Stage(f"sums_{key}", (-2, -3), call.numbers),
        Stage(f"filter_{key}", (*range(own), -3), (*numbers, *form.arguments())),
    )
    finish = _finish(form, plan.lanes, len(numbers), anchor.shape)

    def write() -> list[Function]:
        return [
            conv_planes_filter.emit_partials(f"strips_{key}", call.plan),
            conv_planes_filter.emit_sums(f"sums_{key}", call.plan),
            conv_filter.emit_combine(f"filter_{key}", plan, finish, own + 1),
        ]

    flops = 2 * prod(shape.outputs) * shape.batch * shape.cout * prod(shape.window)
    flops *= shape.cin // shape.geometry.groups
    return _lowering(key, operands, stages, call.workspaces, write, flops)


def _winograd_filter(
    form: Structure, target: Target, shape: ConvShape, tile: Tile,
    plan: conv_filter_plan.FilterPlan, numbers: tuple[int, ...], sources: tuple[Node, Node],
) -> Lowering:  # fmt: skip
    """The parts by transforms; their sum as in the direct way, whose plan and numbers are given."""
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    call = plan_winograd_filter(shape, tile, target)
    operands = Operands(form, target, len(call.workspaces))
    places = operands.plain(sources[0]), operands.plain(sources[1])
    key = _key(form, "winograd_filter", plan, operands.compiled, places)
    first = winograd_filter.partials(call.plan)
    own = len(kernel.inputs) + len(kernel.outputs)
    numbers = (*numbers[:3], call.parts, *numbers[4:])
    stages = (
        Stage(first.name, (*places, -1, -2), call.numbers),
        Stage(f"filter_{key}", (*range(own), -1), (*numbers, *form.arguments())),
    )
    finish = _finish(form, plan.lanes, len(numbers), anchor.shape)

    def write() -> list[Function]:
        return [conv_filter.emit_combine(f"filter_{key}", plan, finish, own + 1)]

    shared = shared_modules([first, *winograd_filter.parts(call.plan).values()])
    flops = 2 * prod(shape.outputs) * shape.batch * shape.cout * prod(shape.window) * shape.cin
    lowering = _lowering(key, operands, stages, call.workspaces, write, flops)
    return replace(lowering, shared=shared)


_LOWER: dict[str, Callable[[Structure, Target], Lowering]] = {
    "matmul": _matmul,
    "conv": _conv,
    "conv_filter": _conv_filter,
}
