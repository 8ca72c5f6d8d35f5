"""Object code to functions that can be called."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import llvmlite.binding as llvm

from glubina.codegen.target import host
from glubina.runtime.compiler import initialise, target_machine, unbundle
from glubina.runtime.gate import gate

# A linker keeps a little of every library, also of those that are gone: after so many libraries
# another one is made, and the old one goes with the last of its libraries.
_PER_LINKER = 64

_numbers = itertools.count()
_current: tuple[int, llvm.orcjit.LLJIT] | None = None


class LoadError(RuntimeError):
    """Object code that cannot be linked: damaged, for another machine, or a symbol is missing."""


class Library:
    """Functions loaded into this process; they stay valid as long as the library lives.

    nbytes: of the object code that it was made of. parts: how many objects these were.
    """

    def __init__(
        self, addresses: Mapping[str, int], tracker: object, nbytes: int = 0, parts: int = 0
    ) -> None:
        self.addresses = addresses
        self.nbytes, self.parts = nbytes, parts
        self._tracker = tracker


def load(code: bytes, symbols: Iterable[str]) -> Library:
    """Link a bundle of object code and find the addresses of `symbols` in it.

    Raises LoadError if that fails.
    """
    names = list(dict.fromkeys(symbols))
    number = next(_numbers)
    builder = llvm.JITLibraryBuilder().add_current_process()
    try:
        parts = unbundle(code)
        for part in parts:
            builder.add_object_img(part)
        for name in names:
            builder.export_symbol(name)
        with gate.inside():
            tracker = builder.link(_linker(number // _PER_LINKER), f"glubina-{number}")
    except (RuntimeError, ValueError) as error:
        raise LoadError(f"compiled code could not be loaded: {error}") from error
    return Library({name: tracker[name] for name in names}, tracker, len(code), len(parts))


def _linker(generation: int) -> llvm.orcjit.LLJIT:
    """The linker of a generation of libraries. Two threads may make one each: both are good."""
    global _current
    current = _current
    if current is None or current[0] != generation:
        initialise()
        # JITLink keeps the parts of one library near each other, as the small code model needs it
        linker = llvm.create_lljit_compiler(
            target_machine(host()), use_jit_link=True, suppress_errors=True
        )
        _current = current = generation, linker
    return current[1]
