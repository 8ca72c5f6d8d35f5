"""Philox4x32-10, the counter-based random generator: the reference that every kernel equals.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

A draw is named by (seed, counter, stream). Its element e, counted in row-major order, is

    group g = e // 64,   word w = e % 64 // 16,   j = e % 16,
    random_bits[e] = philox(counter words, key words)[w]    with
    counter words  = (low32(16 g + j), low32(stream), low32(counter), high32(counter)),
    key words      = (low32(seed), high32(seed)),

so 64 neighbouring elements are the four output words of 16 neighbouring Philox blocks: a vector
of blocks gives four vectors of consecutive elements. Numbers repeat after 2^34 elements of a draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
BLOCKS = 16  # neighbouring blocks that make one group
GROUP = 4 * BLOCKS  # elements of one group

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[np.uint64, np.uint64]
) -> tuple[NDArray[np.uint64], ...]:
    """The four output words of Philox4x32-10 (32-bit words, each held in a uint64)."""
    a, b, c, d = counter
    k, m = key
    for _ in range(ROUNDS):
        p, q = a * np.uint64(MULTIPLIERS[0]), c * np.uint64(MULTIPLIERS[1])
        a, b, c, d = (q >> _HALF) ^ b ^ k, q & _LOW, (p >> _HALF) ^ d ^ m, p & _LOW
        k, m = (k + np.uint64(WEYL[0])) & _LOW, (m + np.uint64(WEYL[1])) & _LOW
    return a, b, c, d


def random_bits(key: NDArray[Any], stream: int, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    """Uniform 32-bit numbers in the given shape; `key` is uint64 (seed, counter)."""
    seed, count = np.uint64(key[0]), np.uint64(key[1])
    total = int(np.prod(shape, dtype=np.int64))
    groups = -(-total // GROUP)
    block = np.arange(groups * BLOCKS, dtype=np.uint64)
    words = philox(
        (
            block & _LOW,
            np.full_like(block, stream & 0xFFFFFFFF),
            np.full_like(block, count & _LOW),
            np.full_like(block, count >> _HALF),
        ),
        (seed & _LOW, seed >> _HALF),
    )
    lines = np.stack([w.astype(np.uint32).reshape(groups, BLOCKS) for w in words], axis=1)
    return lines.reshape(-1)[:total].reshape(shape)
