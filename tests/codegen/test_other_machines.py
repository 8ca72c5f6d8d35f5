"""Contractions for other processors than this one: LLVM takes the code and uses their vectors."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from glubina.codegen.lowering import lower
from glubina.codegen.target import Target
from glubina.graph import Node, gradients, ops
from glubina.graph.ops.contraction import ConvAttributes
from glubina.runtime.compiler import assembly
from glubina.schedule.kernel import Kernel
from glubina.schedule.plan import schedule

F32 = np.dtype(np.float32)
MACHINES = {
    "arm64": (Target("aarch64-unknown-linux-gnu", "neoverse-n1", "", 128, 32), "fmla"),
    "avx2": (Target("x86_64-unknown-linux-gnu", "haswell", "", 256, 16), "vfmadd"),
    "avx512": (
        Target("x86_64-unknown-linux-gnu", "skylake-avx512", "-prefer-256-bit", 512, 32),
        "vfmadd",
    ),
}


def kernel_of(kind: str) -> Kernel:
    geometry = ConvAttributes((1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    shapes = {
        "matmul": ((128, 300), (300, 10)),
        "conv": ((2, 9, 9, 8), (3, 3, 8, 20)),
        "conv_filter": ((2, 9, 9, 8), (2, 9, 9, 20)),
    }[kind]
    x, y = (ops.input(shape, F32) for shape in shapes)
    anchor: Node
    if kind == "matmul":
        anchor = ops.matmul(x, y)
    elif kind == "conv":
        anchor = ops.conv(x, y, geometry)
    else:
        anchor = ops.conv_filter(x, y, geometry, (3, 3))
    return Kernel(kind, (anchor,), (x, y), (ops.relu(anchor),), anchor.shape)


@pytest.mark.parametrize("kind", ["matmul", "conv", "conv_filter"])
@pytest.mark.parametrize("machine", MACHINES)
def test_contractions(machine, kind):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target, instruction = MACHINES[machine]
    try:
        llvm.Target.from_triple(target.triple)
    except RuntimeError:
        pytest.skip(f"this LLVM was built without {target.triple}")
    text = assembly(lower(kernel_of(kind), target).ir(), target)
    lines = text.splitlines()
    multiplications = [i for i, line in enumerate(lines) if instruction in line]
    assert len(multiplications) >= 8
    if target.vector_bits == 512:
        assert any("zmm" in lines[i] for i in multiplications)


@pytest.mark.parametrize("machine", MACHINES)
def test_attention(machine):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target, instruction = MACHINES[machine]
    try:
        llvm.Target.from_triple(target.triple)
    except RuntimeError:
        pytest.skip(f"this LLVM was built without {target.triple}")
    x, key = ops.input((2, 64, 2, 32), F32), ops.input((2,), np.dtype(np.uint64))
    result = ops.attention(x, x, x, causal=True, dropout=(key, 0, 0.9))
    outputs = [result, *gradients(ops.sum(result, (0, 1, 2, 3)), [x])]
    kernels = schedule(outputs, [x, key], [-1, -1]).kernels
    found = [kernel for kernel in kernels if kernel.kind == "attention"]
    assert len(found) == 2
    for kernel in found:
        assert assembly(lower(kernel, target).ir(), target).count(instruction) >= 8
