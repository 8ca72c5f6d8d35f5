"""The machine that code is made for: its name, its features, the shape of its registers."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SCALARS = {
    "bool": "i8", "int8": "i8", "uint8": "i8", "int16": "i16", "uint16": "i16",
    "int32": "i32", "uint32": "i32", "int64": "i64", "uint64": "i64",
    "float16": "half", "float32": "float", "float64": "double",
}  # fmt: skip

# Of each level its vectors' bits, its registers, and features that tell whether a CPU has it.
LEVELS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "x86-64": (128, 16, ("sse2",)),
    "x86-64-v2": (128, 16, ("sse4.2", "popcnt")),
    "x86-64-v3": (256, 16, ("avx2", "fma", "bmi2", "f16c", "movbe")),
    "x86-64-v4": (512, 32, ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd")),
}

HALVED = ("znver4",)
"""CPUs whose unit has 256 bits: a vector of 512 passes it in two halves."""


def llvm_type(dtype: np.dtype) -> str:
    """The LLVM type of one element in memory (a bool is a byte)."""
    return SCALARS[dtype.name]


@dataclass(frozen=True)
class Target:
    """What code generation needs to know of a CPU, and of the precision that is asked for.

    direct: whether convolutions are computed without transforms.
    repeats: whether kernels run in a loop, so that what is packed may serve all its steps.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    direct: bool = False
    repeats: bool = False

    def lanes(self, dtype: np.dtype) -> int:
        """How many elements one vector register holds."""
        return max(1, self.vector_bits // 8 // max(1, dtype.itemsize))

    def lanes_along(self, dtype: np.dtype, channels: int) -> int:
        """The lanes of vectors that run along so many channels.

        Vectors of 256 bits instead of 512 where the channels do not fill the half of one, and
        where two halves take no longer than the whole, if that leaves clearly fewer lanes empty.
        """
        whole = self.lanes(dtype)
        half = whole // 2
        if self.vector_bits != 512:
            return whole
        wanted, full = -(-channels // half) * half, -(-channels // whole) * whole
        fewer = wanted <= half or (self.cpu in HALVED and wanted <= 0.85 * full)
        return half if fewer else whole

    def vectors(self, dtype: np.dtype, channels: int) -> float:
        """The time of one operation on so many channels, by that of one on a whole vector."""
        lanes = self.lanes_along(dtype, channels)
        share = lanes / self.lanes(dtype) if self.cpu in HALVED else 1.0
        return -(-channels // lanes) * share


@functools.cache
def host() -> Target:
    """The CPU that this process runs on.

    `GLUBINA_CPU` restricts it to a level of x86-64 ("x86-64-v3": AVX2 and FMA, no AVX-512).
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
    cpu, given = llvm.get_host_cpu_name(), [features.flatten()]
    if level := os.environ.get("GLUBINA_CPU", ""):
        bits, registers = _level(level, features)
        cpu, given = level, []
    bits = min(bits, int(os.environ.get("GLUBINA_VECTOR_BITS", bits)))
    text = ",".join([*given, "-prefer-256-bit"] if bits == 512 else given)
    direct = os.environ.get("GLUBINA_CONV", "") == "direct"
    return Target(triple, cpu, text, bits, registers, direct)


def _level(name: str, features: Mapping[str, bool]) -> tuple[int, int]:
    """The vector bits and registers of a level of x86-64; ValueError if this CPU is below it."""
    if name not in LEVELS:
        raise ValueError(f"GLUBINA_CPU is one of {', '.join(LEVELS)}, got {name!r}")
    bits, registers, needed = LEVELS[name]
    lacking = [feature for feature in needed if not features.get(feature)]
    if lacking:
        raise ValueError(f"GLUBINA_CPU={name} needs {', '.join(lacking)}, which this CPU lacks")
    return bits, registers
