"""The values that generated code works with, and their types: both plain text."""

from __future__ import annotations

import struct
from typing import NamedTuple

FLOATS = ("half", "float", "double")


class Value(NamedTuple):
    """An SSA value or a constant: its text and its LLVM type."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


def vector(scalar: str, lanes: int) -> str:
    """The type of `lanes` scalars side by side; one lane is the scalar itself."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def lanes_of(type_: str) -> int:
    """How many lanes a type has (1 for a scalar)."""
    return int(type_[1 : type_.index(" ")]) if type_[0] == "<" else 1


def scalar_of(type_: str) -> str:
    """The element type of a vector, or the type itself."""
    return type_[type_.index("x ") + 2 : -1] if type_[0] == "<" else type_


def is_float(type_: str) -> bool:
    """Whether the (element) type is a floating-point one."""
    return scalar_of(type_) in FLOATS


def float_text(value: float, scalar: str) -> str:
    """A floating-point constant as LLVM reads it: exact, by its bits as a double."""
    if scalar == "float":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"


def both_known(a: Value, b: Value) -> tuple[int, int] | None:
    """Two scalar integer constants as numbers, if they are that."""
    if a.name[0] == "%" or b.name[0] == "%" or a.type[0] == "<" or a.type == "i1":
        return None
    return int(a.name), int(b.name)


def mangled(type_: str) -> str:
    """A type as it stands in the names of intrinsics: "v16f32"."""
    scalar = scalar_of(type_)
    short = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(scalar, scalar)
    return f"v{lanes_of(type_)}{short}" if type_[0] == "<" else short
