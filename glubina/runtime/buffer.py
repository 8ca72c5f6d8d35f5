"""Aligned blocks of memory that native programs and NumPy arrays share."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # a cache line, and the widest vector register
PAGE = 4096
BIG = 1 << 16  # blocks from here on begin at a page

# memory, where in it the block begins, the address of that, capacity
_Block = tuple[npt.NDArray[Any], int, int, int]


class Pool:
    """Freed blocks kept for reuse, by size; at most `limit` bytes in all.

    A block of a size that comes again and again (every step of a loop makes the same gradients)
    is handed out without asking the system, whose fresh pages cost a page fault each.
    """

    def __init__(self, limit: int = 256 << 20, largest: int = 64 << 20) -> None:
        self.limit = limit
        self.largest = largest
        self.held = 0
        self._free: dict[int, list[_Block]] = {}
        # re-entrant, because the garbage collector may free a buffer while this thread holds it
        self._lock = threading.RLock()

    def take(self, capacity: int) -> _Block:
        """A block of exactly `capacity` bytes (a value of `bucket`), its content undefined."""
        with self._lock:
            blocks = self._free.get(capacity)
            if blocks:
                self.held -= capacity
                return blocks.pop()
        return _allocate(capacity)

    def give(self, block: _Block) -> None:
        """Take a block back, or let it go where the pool is full."""
        capacity = block[3]
        if capacity > self.largest:
            return
        with self._lock:
            if self.held + capacity <= self.limit:
                self._free.setdefault(capacity, []).append(block)
                self.held += capacity

    def reset_after_fork(self) -> None:
        """In a child process: free the lock, which a thread of the parent may have held."""
        self._lock = threading.RLock()

    def clear(self) -> None:
        """Give every free block back to the system."""
        with self._lock:
            self._free.clear()
            self.held = 0


def bucket(nbytes: int) -> int:
    """The capacity for a size: never less than a cache line.

    There are four steps from one power of two to the next, so at most a fifth goes unused.
    """
    if nbytes <= 4 * ALIGNMENT:
        return max(ALIGNMENT, -(-nbytes // ALIGNMENT) * ALIGNMENT)
    step = 1 << ((nbytes - 1).bit_length() - 3)
    return -(-nbytes // step) * step


def _allocate(capacity: int) -> _Block:
    alignment = PAGE if capacity >= BIG else ALIGNMENT
    memory = np.empty(capacity + alignment, np.uint8)
    start = int(memory.__array_interface__["data"][0])
    offset = -start % alignment
    return memory, offset, start + offset, capacity


POOL = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.reset_after_fork)


def _references(block: _Block, count: Callable[[object], int] = sys.getrefcount) -> int:
    return count(block[0])


# what `_references` counts while no one outside the buffer holds its memory
_UNSHARED = _references(_allocate(ALIGNMENT))


class Buffer:
    """`nbytes` bytes of memory that begin at a multiple of 64 (big ones at a page).

    `address` is where they begin. The content of a new buffer is undefined.
    """

    __slots__ = ("__weakref__", "_block", "_borrowed", "address", "nbytes")

    def __init__(self, nbytes: int) -> None:
        if nbytes < 0:
            raise ValueError(f"a buffer cannot have {nbytes} bytes")
        self.nbytes = nbytes
        self._borrowed: object = None
        # what is never reused is not rounded up
        self._block = POOL.take(
            bucket(nbytes) if nbytes <= POOL.largest else -(-nbytes // PAGE) * PAGE
        )
        self.address = self._block[2]

    @classmethod
    def zeros(cls, nbytes: int) -> Buffer:
        """A buffer whose bytes are all zero."""
        buffer = cls(nbytes)
        buffer.array((nbytes,), np.uint8).fill(0)
        return buffer

    @classmethod
    def from_array(cls, array: npt.NDArray[Any], *, copy: bool = True) -> Buffer:
        """A buffer with the elements of `array` in row-major order.

        With `copy=False` the array's own memory is used where it can be (row-major and beginning
        at a multiple of 64); the buffer then counts as exported for ever, so that no program
        overwrites what the caller may still hold.
        """
        if not copy and array.flags.c_contiguous:
            address = int(array.__array_interface__["data"][0])
            if address % ALIGNMENT == 0:
                return cls._borrow(array, address)
        buffer = cls(array.nbytes)
        np.copyto(buffer.array(array.shape, array.dtype), array)
        return buffer

    @classmethod
    def _borrow(cls, array: npt.NDArray[Any], address: int) -> Buffer:
        buffer = cls.__new__(cls)
        buffer.nbytes = array.nbytes
        buffer.address = address
        buffer._borrowed = array  # a reference more, so that it counts as held by someone
        buffer._block = (array, 0, address, array.nbytes)
        return buffer

    def array(self, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The memory as a NumPy array (row-major), without copying.

        The array keeps the memory alive through its `base`. It raises TypeError if the memory is
        smaller than `shape` of `dtype` needs.
        """
        memory, offset, _, _ = self._block
        return np.ndarray(shape, dtype, memory, offset)

    @property
    def exported(self) -> bool:
        """Whether someone outside may hold the memory.

        That is so while a NumPy array made by `array`, a view of it, or anything that such a view
        was handed to is alive; and always if the memory was borrowed.
        """
        # NumPy points the base of every view, and of views of views, at the block's memory itself
        return self._borrowed is not None or _references(self._block) > _UNSHARED

    def __del__(
        self,
        # held here, because at the end of the interpreter a module's globals go first
        give: Callable[[_Block], None] = POOL.give,
        references: Callable[[_Block], int] = _references,
        unshared: int = _UNSHARED,
    ) -> None:
        block = getattr(self, "_block", None)  # None if __init__ raised
        # a view that lives on keeps the memory
        if block is not None and self._borrowed is None and references(block) <= unshared:
            give(block)

    def __repr__(self) -> str:
        return f"Buffer({self.nbytes} bytes at {self.address:#x})"
