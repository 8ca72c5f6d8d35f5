"""Buffers: alignment, sharing with NumPy, and the pool of freed blocks."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glubina.runtime.buffer import POOL, Buffer, Pool, bucket


@pytest.mark.parametrize("nbytes", [0, 1, 63, 64, 65, 4096, 100_000, 5_000_000])
def test_alignment(nbytes: int) -> None:
    buffer = Buffer(nbytes)
    assert buffer.nbytes == nbytes
    assert buffer.address % 64 == 0
    if nbytes >= 1 << 16:
        assert buffer.address % 4096 == 0


@given(st.integers(0, 1 << 40))
def test_bucket_holds_the_size_and_wastes_little(nbytes: int) -> None:
    capacity = bucket(nbytes)
    assert capacity >= max(64, nbytes)
    assert capacity % 64 == 0
    assert bucket(capacity) == capacity
    if nbytes > 256:
        assert capacity <= nbytes * 1.25


def test_array_shares_the_memory_and_keeps_it_alive() -> None:
    buffer = Buffer(24)
    first, second = buffer.array((2, 3), "float32"), buffer.array((6,), np.float32)
    first[...] = np.arange(6).reshape(2, 3)
    assert second.tolist() == [0, 1, 2, 3, 4, 5]
    assert first.ctypes.data == buffer.address
    del buffer, second
    gc.collect()
    others = [Buffer(24) for _ in range(50)]
    for other in others:
        other.array((6,), np.float32).fill(9)
    assert first.ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_array_larger_than_the_buffer_is_refused() -> None:
    with pytest.raises(TypeError, match="too small"):
        Buffer(64).array((1000,), np.float64)


def test_exported_while_any_view_lives() -> None:
    buffer = Buffer(64)
    assert not buffer.exported
    array = buffer.array((16,), np.float32)
    assert buffer.exported
    view = array.reshape(4, 4)[1:].view(np.int32).T
    del array
    assert buffer.exported
    memory = memoryview(view)
    del view
    assert buffer.exported
    tensor = np.from_dlpack(buffer.array((4,), np.int64))
    memory.release()
    del memory
    assert buffer.exported
    del tensor
    assert not buffer.exported


def test_from_array_copies() -> None:
    source = np.arange(12.0).reshape(3, 4).T
    buffer = Buffer.from_array(source)
    result = buffer.array((4, 3), np.float64)
    assert (result == source).all()
    source[0, 0] = 100
    assert result[0, 0] == 0


def test_from_array_without_copying_shares_aligned_memory() -> None:
    source = Buffer(40).array((5,), np.float64)
    source[:] = 1
    buffer = Buffer.from_array(source, copy=False)
    source[2] = 7
    assert buffer.array((5,), np.float64)[2] == 7
    assert buffer.address == source.ctypes.data
    assert buffer.exported  # the caller may hold it


def test_from_array_copies_what_cannot_be_shared() -> None:
    big = Buffer(160).array((20,), np.float64)
    for source in (big[1:], big[::2]):
        source[:] = 3
        buffer = Buffer.from_array(source, copy=False)
        source[:] = 4
        assert (buffer.array(source.shape, np.float64) == 3).all()
        assert not buffer.exported


def test_zeros() -> None:
    Buffer(4096).array((4096,), np.uint8).fill(255)
    assert not Buffer.zeros(4096).array((4096,), np.uint8).any()


def test_negative_size() -> None:
    with pytest.raises(ValueError, match="-1 bytes"):
        Buffer(-1)


def test_a_freed_block_is_used_again() -> None:
    buffer = Buffer(3_000_000)
    address = buffer.address
    del buffer
    assert Buffer(3_000_001).address == address


def test_a_block_that_a_view_holds_is_not_used_again() -> None:
    buffer = Buffer(3_000_000)
    array = buffer.array((10,), np.float32)
    address = buffer.address
    del buffer
    assert Buffer(3_000_000).address != address
    del array


def test_the_pool_is_bounded() -> None:
    pool = Pool(limit=1000, largest=512)
    blocks = [pool.take(256) for _ in range(8)]
    large = pool.take(1024)
    for block in [*blocks, large]:
        pool.give(block)
    assert pool.held == 768
    assert {pool.take(256)[2] for _ in range(3)} <= {b[2] for b in blocks}
    assert pool.held == 0
    pool.give(blocks[0])
    pool.clear()
    assert pool.held == 0


def test_the_global_pool_is_bounded() -> None:
    for _ in range(40):
        Buffer(POOL.largest)
    keep = [Buffer(POOL.largest // 2) for _ in range(12)]
    del keep
    assert POOL.held <= POOL.limit
    POOL.clear()
