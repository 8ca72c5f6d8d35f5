"""Kernels around a matrix product or a convolution: the fused work before and after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from math import prod

from glubina.codegen import convolution, conv_filter, matmul
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import Function, Value, module
from glubina.codegen.expression import Evaluator
from glubina.codegen.frame import Frame
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.target import Target
from glubina.graph.node import Node
from glubina.schedule.affine import Affine, Space
from glubina.schedule.views import View, affine_view, reshaped, steady_inputs


def lower(form: Structure, target: Target) -> Lowering:
    """The native functions of a kernel anchored at a contraction."""
    name = form.kernel.anchors[0].op.name
    return _LOWER[name](form, target)


class Finish:
    """The epilogue: evaluates all that follows the anchor and stores the kernel's outputs.

    The frame's buffers are the kernel's inputs and outputs, then those of the contraction; the
    structure's scalars begin at position `first` among its numbers.
    """

    def __init__(self, frame: Frame, form: Structure, lanes: int, first: int) -> None:
        kernel = form.kernel
        self.kernel = kernel
        self.anchor = kernel.anchors[0]
        count = len(kernel.inputs)
        pointers = {node: frame.buffer(i) for i, node in enumerate(kernel.inputs)}
        self.targets = [frame.buffer(count + i) for i in range(len(kernel.outputs))]
        self.space = Space()
        steady = steady_inputs(kernel)
        constants = frame.constants(form.numbers, first)
        self.evaluator = Evaluator(frame, self.space, lanes, pointers, constants, steady)

    def prepare(self, f: Function) -> None:
        """Load the scalars that the expressions read, once."""
        e = self.evaluator
        for node in self.kernel.inputs:
            if node.size == 1 and node in e.steady:
                e.evaluate(node, (Affine(0, ()),) * len(node.shape))

    def store(
        self, f: Function, index: tuple[Value, ...], values: Value, mask: Value | None
    ) -> None:
        """Finish the anchor's values at an index (of the first lane) and store the outputs."""
        e, space = self.evaluator, self.space
        shape = self.anchor.shape
        index = index[len(index) - len(shape) :]
        with e.masked(mask), e.index.scope():
            places = []
            for value, extent in zip(index, shape, strict=True):
                place = space.loop(extent)
                e.index.bind(place, value)
                places.append(place if extent > 1 else Affine(0, ()))
            start = space.flatten(places, shape)
            flat = space.add(start, e.index.lane)
            at = (*places[:-1], space.add(places[-1], e.index.lane))
            e.given = {self.anchor: (flat, values)}
            results = []
            for output in self.kernel.outputs:
                where = reshaped(at, shape, output.shape, space)
                results.append(e.evaluate(output, where))
            for output, target, value in zip(
                self.kernel.outputs, self.targets, results, strict=True
            ):
                e.store(target, output, start, value)


def _key(form: Structure, *compiled: object) -> str:
    text = f"{form.key} {compiled!r}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _finish(
    form: Structure, lanes: int, first: int
) -> Callable[[Frame], Finish]:
    return lambda frame: Finish(frame, form, lanes, first)


def _place(kernel_inputs: Sequence[Node], node: Node) -> int:
    return kernel_inputs.index(node)


# -- matrix product -----------------------------------------------------------------------------


def _view(form: Structure, operand: Node) -> View:
    """The factor as strided memory of one of the kernel's inputs."""
    view = affine_view(operand, frozenset(form.kernel.inputs))
    if view is None or view.root not in form.kernel.inputs:
        raise ValueError(f"matmul: {operand!r} is not strided memory of an input")
    return view


def _batch_stride(shape: Sequence[int], strides: Sequence[int]) -> int | None:
    """One stride for all leading axes together, if they are evenly spaced."""
    stride, expected = 0, None
    for extent, step in zip(reversed(shape), reversed(strides), strict=True):
        if extent == 1:
            continue
        if expected is None:
            stride = step
        elif step != expected:
            return None
        expected = step * extent
    return stride


def even_batches(view: View, shape: Sequence[int]) -> bool:
    """Whether a factor's leading axes can be walked with a single stride."""
    return _batch_stride(shape[:-2], view.strides[:-2]) is not None


def _matmul(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    left, right = (_view(form, source) for source in anchor.sources)
    a_batch = _batch_stride(anchor.shape[:-2], left.strides[:-2]) or 0
    b_batch = _batch_stride(anchor.shape[:-2], right.strides[:-2]) or 0
    batch, m, n = prod(anchor.shape[:-2]), anchor.shape[-2], anchor.shape[-1]
    k = anchor.sources[0].shape[-1]
    sam, sak = left.strides[-2:]
    sbk, sbn = right.strides[-2:]
    shape = matmul.MatmulShape((batch,), m, k, n, (sam, sak), (sbk, sbn))
    plan = matmul.plan_matmul(shape, anchor.dtype, target)
    key = _key(form, "matmul", plan)
    own = len(kernel.inputs) + len(kernel.outputs)
    a, b = _place(kernel.inputs, left.root), _place(kernel.inputs, right.root)
    everything = tuple(range(own))
    scalars = form.arguments()
    flops = 2 * batch * m * n * k
    if plan.small:
        numbers = (batch, m, k, n, a_batch, sam, sak, b_batch, sbk, sbn, left.offset, right.offset)
        stage = Stage(f"small_{key}", (*everything, a, b), (*numbers, *scalars))
        finish = _finish(form, plan.lanes, len(numbers))
        return Lowering(
            key, (stage,), (),
            lambda: module([matmul.emit_small(f"small_{key}", plan, finish, own + 2)]), flops,
        )  # fmt: skip
    columns = plan.vectors * plan.lanes
    rows = matmul.panel_rows(plan)
    across = sbn != 1 and sbk == 1
    stages = (
        Stage(f"left_{key}", (a, -1), (batch, m, k, sam, sak, a_batch, left.offset)),
        Stage(f"right_{key}", (b, -2), (batch, n, k, sbn, sbk, b_batch, right.offset)),
        Stage(f"matmul_{key}", (*everything, -1, -2), (batch, m, k, n, *scalars)),
    )
    finish = _finish(form, plan.lanes, 4)

    def ir() -> str:
        return module(
            [
                matmul.emit_pack(f"left_{key}", plan, plan.a_by_row, plan.rows, rows),
                matmul.emit_pack(f"right_{key}", plan, across, columns, columns),
                matmul.emit_product(f"matmul_{key}", plan, finish, own + 2),
            ]
        )

    return Lowering(key, stages, matmul.workspaces(plan, shape), ir, flops)


# -- convolution --------------------------------------------------------------------------------


def _conv(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, w = anchor.sources
    shape = convolution.ConvShape(
        x.shape[0], x.shape[1:-1], x.shape[-1], w.shape[:-2], anchor.shape[1:-1],
        w.shape[-1], anchor.attributes,
    )  # fmt: skip
    calls = convolution.plan_conv(shape, anchor.dtype, target)
    plans = list(dict.fromkeys(call.plan for call in calls))
    key = _key(form, "conv", plans)
    own = len(kernel.inputs) + len(kernel.outputs)
    operands = tuple(_operand(form, node) for node in (x, w))
    strip = max(convolution.strip_bytes(call) for call in calls)
    strips = (strip * convolution.MOST_STRIPS,) if strip else ()
    scalars = form.arguments()
    stages = []
    for call in calls:
        buffers = (*range(own), *operands, *((-1,) if call.plan.padded else ()))
        stages.append(
            Stage(f"conv{plans.index(call.plan)}_{key}", buffers, (*call.numbers, *scalars))
        )
    first = len(calls[0].numbers)

    def ir() -> str:
        return module(
            [
                convolution.emit_conv(
                    f"conv{i}_{key}", plan, _finish(form, plan.lanes, first),
                    own + (3 if plan.padded else 2),
                )
                for i, plan in enumerate(plans)
            ]
        )  # fmt: skip

    flops = 2 * anchor.size * prod(w.shape[:-1])
    return Lowering(key, tuple(stages), strips, ir, flops)


def _operand(form: Structure, node: Node) -> int:
    """The position among the inputs of what lies in memory as `node` (reshapes move nothing)."""
    inputs = form.kernel.inputs
    while node not in inputs and node.op.name == "reshape":
        node = node.sources[0]
    return inputs.index(node)


def _conv_filter(form: Structure, target: Target) -> Lowering:
    kernel, anchor = form.kernel, form.kernel.anchors[0]
    x, g = anchor.sources
    a = anchor.attributes
    shape = convolution.ConvShape(
        x.shape[0], x.shape[1:-1], x.shape[-1], a.window, g.shape[1:-1], g.shape[-1], a.geometry
    )
    call = conv_filter.plan_filter(shape, anchor.dtype, target)
    plan = call.plan
    key = _key(form, "conv_filter", plan)
    own = len(kernel.inputs) + len(kernel.outputs)
    operands = tuple(_operand(form, node) for node in (x, g))
    stages = (
        Stage(f"partial_{key}", (*operands, -1), call.numbers),
        Stage(f"filter_{key}", (*range(own), -1), (*call.numbers, *form.arguments())),
    )
    finish = _finish(form, plan.lanes, len(call.numbers))

    def ir() -> str:
        return module(
            [
                conv_filter.emit_partials(f"partial_{key}", plan),
                conv_filter.emit_combine(f"filter_{key}", plan, finish, own + 1),
            ]
        )

    flops = 2 * g.size * prod(a.window) * (x.shape[-1] // a.geometry.groups)
    return Lowering(key, stages, (call.workspace,), ir, flops)


_LOWER: dict[str, Callable[[Structure, Target], Lowering]] = {
    "matmul": _matmul,
    "conv": _conv,
    "conv_filter": _conv_filter,
}
