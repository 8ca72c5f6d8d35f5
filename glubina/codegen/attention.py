"""Kernels of attention: where their arrays lie, and the calls that compute them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from glubina.codegen.attention_backward import Backward
from glubina.codegen.attention_forward import Forward
from glubina.codegen.attention_plan import NUMBERS, chunk, plan_attention, word
from glubina.codegen.canonical import Structure
from glubina.codegen.emitter import module
from glubina.codegen.lowered import Lowering, Stage
from glubina.codegen.operands import Operands
from glubina.codegen.target import Target
from glubina.graph.node import Node
from glubina.graph.ops.attention_plain import AttentionAttributes
from glubina.schedule.views import affine_view

GRADIENTS = ("dquery", "dkey", "dvalue")


def lower(form: Structure, target: Target) -> Lowering:
    """The native functions of an attention with its totals, or of its gradients."""
    backward = form.kernel.anchors[0].op.name == "attention_gradient"
    return _Lowered(form, target, backward).lowering()


class _Lowered:
    def __init__(self, form: Structure, target: Target, backward: bool) -> None:
        anchor = form.kernel.anchors[0]
        self.form, self.target, self.backward = form, target, backward
        self.a: AttentionAttributes = anchor.attributes.of if backward else anchor.attributes
        alone = not any(x.op.name == "attention" for x in form.kernel.anchors)
        self.workspace = ("shares" if backward else "result") if alone else ""
        self.operands = Operands(form, target, int(alone))
        self.slots: dict[str, int] = {}
        self.numbers = dict.fromkeys(NUMBERS, 0)
        self.query, self.key, self.value = anchor.sources[:3]
        rest = list(anchor.sources[3:])
        for name, node in (("query", self.query), ("key", self.key), ("value", self.value)):
            self._rows(name, node, (0, 2, 1))
        self.mask = ""
        if self.a.masked:
            mask = rest.pop(0)
            self.mask = "bool" if mask.dtype.kind == "b" else "add"
            self._rows("mask", mask, (0, 1, 2))
        if self.a.chance is not None:
            self.slots["random"] = self.operands.plain(rest.pop(0))
        if backward:
            result, total, slope = rest
            self._rows("result", result, (0, 2, 1))
            self._rows("slope", slope, (0, 2, 1))
            self.slots["total"] = self.operands.plain(total)
        self._results(form.kernel.anchors)

    def _rows(self, name: str, node: Node, axes: tuple[int, int, int]) -> None:
        """Where an array lies: rows with stride 1; `axes`: those of batch, head and row."""
        inputs = self.operands.inputs
        view = affine_view(node, frozenset(inputs))
        if view is not None and view.root in inputs and (view.strides[3] == 1 or node.shape[3] < 2):
            self.slots[name] = inputs.index(view.root)
            offset, strides = view.offset, view.strides
        else:
            self.slots[name] = self.operands.plain(node)
            _, x, y, z = node.shape
            offset, strides = 0, (x * y * z, y * z, z, 1)
        self.numbers[name] = offset
        for letter, axis in zip("bht", axes, strict=True):
            self.numbers[f"{name}_{letter}"] = strides[axis]

    def _results(self, anchors: Sequence[Node]) -> None:
        kernel = self.form.kernel
        for anchor in anchors:
            name = "total" if anchor.op.name == "attention_total" else "result"
            if self.backward:
                name = GRADIENTS[anchor.attributes.which]
            self.slots[name] = len(kernel.inputs) + kernel.outputs.index(anchor)
        if self.workspace:
            self.slots[self.workspace] = -1

    def lowering(self) -> Lowering:
        """The stages: what lies nowhere is worked out first."""
        b, t, h, d = self.query.shape
        s, e = self.value.shape[1], self.value.shape[3]
        dtype = self.query.dtype
        plan = plan_attention(t, d, e, self.mask, self.a, dtype, self.target)
        n = self.numbers
        n |= {"batch": b, "heads": h, "queries": t, "keys": s, "chunk": chunk(plan, b, h, t)}
        n |= {"scale": word(self.a.scale, dtype), "grown": word(self.a.grown, dtype)}
        n |= {"chance": self.a.chance or 0, "stream": self.a.stream & 0xFFFFFFFF}
        names = tuple(self.slots)
        text = f"{self.form.key} {plan!r} {names} {self.operands.compiled}"
        key = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        make = Backward if self.backward else Forward
        symbol = f"{'attention_backward' if self.backward else 'attention'}_{key}"
        stage = Stage(symbol, tuple(self.slots.values()), tuple(n[name] for name in NUMBERS))
        per_score = 2 * (3 * d + 2 * e if self.backward else d + e)
        flops = b * h * t * s * per_score // (2 if self.a.causal else 1)
        each = 1 if self.backward else e
        own = (max(64, b * h * t * each * dtype.itemsize),) if self.workspace else ()
        return Lowering(
            key,
            (*self.operands.stages(key), stage),
            (*own, *self.operands.workspaces),
            lambda: module([*self.operands.functions(key), make(symbol, plan, names).function()]),
            flops,
        )
