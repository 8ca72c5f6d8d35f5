"""What code generation hands over: the native functions of a kernel and how they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """One native function of a kernel; a barrier stands between one stage and the next.

    symbol: its name.
    buffers: its buffers: k >= 0 is the k-th of the kernel's inputs and outputs, -1 - k the k-th
        workspace.
    arguments: the 64-bit numbers that follow the buffers.
    reads: those of the buffers that it reads, if that is known; in a loop, a stage that reads only
        what is the same at every step runs once, before the first.
    """

    symbol: str
    buffers: tuple[int, ...]
    arguments: tuple[int, ...]
    reads: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Lowering:
    """A kernel as native code.

    key: a hash of everything that is compiled in; equal keys mean equal code and symbols.
    stages: the calls, in order.
    workspaces: bytes of memory that the stages share.
    ir: makes the LLVM module; needed only where the code is not in the cache.
    flops: floating-point operations done, for reports.
    shared: modules of functions that other kernels call too, by their keys.
    """

    key: str
    stages: tuple[Stage, ...]
    workspaces: tuple[int, ...]
    ir: Callable[[], str]
    flops: int
    shared: Mapping[str, Callable[[], str]] = field(default_factory=dict)

    @property
    def modules(self) -> dict[str, Callable[[], str]]:
        """All LLVM modules that the stages need, by their keys."""
        return {**self.shared, self.key: self.ir}
