"""The machine that code is made for: its name, its features, the shape of its registers."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import numpy as np

SCALARS = {
    "bool": "i8", "int8": "i8", "uint8": "i8", "int16": "i16", "uint16": "i16",
    "int32": "i32", "uint32": "i32", "int64": "i64", "uint64": "i64",
    "float16": "half", "float32": "float", "float64": "double",
}  # fmt: skip


def llvm_type(dtype: np.dtype) -> str:
    """The LLVM type of one element in memory (a bool is a byte)."""
    return SCALARS[dtype.name]


@dataclass(frozen=True)
class Target:
    """What code generation needs to know of a CPU, and of the precision that is asked for.

    direct: whether convolutions are computed without transforms.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    direct: bool = False

    def lanes(self, dtype: np.dtype) -> int:
        """How many elements one vector register holds."""
        return max(1, self.vector_bits // 8 // max(1, dtype.itemsize))


@functools.cache
def host() -> Target:
    """The CPU that this process runs on.

    `GLUBINA_VECTOR_BITS` narrows its vectors. `GLUBINA_CONV=direct` asks for direct convolutions,
    which are more precise than the faster ones by transforms.
    """
    import llvmlite.binding as llvm

    triple = llvm.get_process_triple()
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512vl"):
        bits, registers = 512, 32
    elif features.get("avx2") and features.get("fma"):
        bits, registers = 256, 16
    elif triple.startswith(("aarch64", "arm64")):
        bits, registers = 128, 32
    else:
        bits, registers = 128, 16
    bits = min(bits, int(os.environ.get("GLUBINA_VECTOR_BITS", bits)))
    text = features.flatten()
    if bits == 512:
        text += ",-prefer-256-bit"
    direct = os.environ.get("GLUBINA_CONV", "") == "direct"
    return Target(triple, llvm.get_host_cpu_name(), text, bits, registers, direct)
