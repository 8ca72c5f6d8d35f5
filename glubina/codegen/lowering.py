"""From a kernel to native code: finds the generator for its kind."""

from __future__ import annotations

from glubina.codegen import attention, contraction, reduce, rows, scatter
from glubina.codegen import map as map_kernel
from glubina.codegen.canonical import structure
from glubina.codegen.lowered import Lowering
from glubina.codegen.target import Target
from glubina.schedule.kernel import Kernel


def lower(kernel: Kernel, target: Target) -> Lowering:
    """The native functions that compute a kernel's outputs from its inputs."""
    form = structure(kernel, target)
    if kernel.kind in ("matmul", "conv", "conv_filter"):
        return contraction.lower(form, target)
    if kernel.kind == "attention":
        return attention.lower(form, target)
    if kernel.kind == "reduce":
        return reduce.lower(form, target)
    if kernel.kind == "rows":
        return rows.lower(form, target)
    if any(anchor.op.name == "scatter_add" for anchor in kernel.anchors):
        return scatter.lower(form, target)
    return map_kernel.lower(form, target)
