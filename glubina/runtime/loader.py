"""Object code to functions that can be called."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping

import llvmlite.binding as llvm

from glubina.codegen.target import host
from glubina.runtime.compiler import initialise, target_machine, unbundle
from glubina.runtime.gate import gate

_numbers = itertools.count()


class LoadError(RuntimeError):
    """Object code that cannot be linked: damaged, for another machine, or a symbol is missing."""


class Library:
    """Functions loaded into this process; they stay valid as long as the library lives."""

    def __init__(self, addresses: Mapping[str, int], tracker: object) -> None:
        self.addresses = addresses
        self._tracker = tracker


def load(code: bytes, symbols: Iterable[str]) -> Library:
    """Link a bundle of object code and find the addresses of `symbols` in it.

    Raises LoadError if that fails.
    """
    names = list(dict.fromkeys(symbols))
    builder = llvm.JITLibraryBuilder().add_current_process()
    try:
        for part in unbundle(code):
            builder.add_object_img(part)
        for name in names:
            builder.export_symbol(name)
        with gate.inside():
            tracker = builder.link(_linker(), f"glubina-{next(_numbers)}")
    except (RuntimeError, ValueError) as error:
        raise LoadError(f"compiled code could not be loaded: {error}") from error
    return Library({name: tracker[name] for name in names}, tracker)


@functools.cache
def _linker() -> llvm.orcjit.LLJIT:
    initialise()
    # JITLink keeps the parts of one library near each other, as the small code model needs it
    return llvm.create_lljit_compiler(
        target_machine(host()), use_jit_link=True, suppress_errors=True
    )
