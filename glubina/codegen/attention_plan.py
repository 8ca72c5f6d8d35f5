"""How an attention is cut into blocks, and the numbers that its kernels are given."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from glubina.codegen.target import Target
from glubina.graph.ops.attention_plain import AttentionAttributes
from glubina.graph.philox import GROUP

BLOCK = 64
"""Queries and keys of a block in the backward pass: its scores stay in the first-level cache."""

KEYS = 128
"""Keys of a block in the forward pass."""

CHUNK = 512
"""The most queries of one piece of work in the forward pass."""

PIECES = 16
"""So many pieces of work are made, if the queries suffice: more than most computers have cores."""

LEAST = 64
"""The fewest queries of a piece: each piece turns the keys around for itself."""

NUMBERS = (
    *("batch", "heads", "queries", "keys", "chunk", "scale", "chance", "grown", "stream"),
    *("query", "query_b", "query_h", "query_t"),
    *("key", "key_b", "key_h", "key_t"),
    *("value", "value_b", "value_h", "value_t"),
    *("mask", "mask_b", "mask_h", "mask_t"),
    *("result", "result_b", "result_h", "result_t"),
    *("slope", "slope_b", "slope_h", "slope_t"),
)
"""The run-time numbers of a stage, in order: extents, settings, then of each array the first
element and the strides of batch, head and row."""


@dataclass(frozen=True)
class AttentionPlan:
    """What is compiled in.

    rows: queries of a register block; key_rows: keys of one whose rows are keys; vectors: of
    scores beside each other. query_block: queries of a block in the backward pass. mask: "",
    "bool" or "add".
    """

    dtype: str
    lanes: int
    rows: int
    key_rows: int
    vectors: int
    across: int
    query_block: int
    depth: int
    columns: int
    causal: bool
    mask: str
    dropout: bool

    @property
    def width(self) -> int:
        """Scores beside each other in a register block."""
        return self.vectors * self.lanes


def plan_attention(
    queries: int, depth: int, columns: int, mask: str, a: AttentionAttributes,
    dtype: np.dtype, target: Target,
) -> AttentionPlan:  # fmt: skip
    """Choose the register blocks; few queries are taken as they are."""
    lanes = target.lanes(dtype)
    many = target.registers == 32
    most = 8 if many else 4
    rows = max(1, min(most, queries))
    vectors = 2 if rows * 2 > most or GROUP % (4 * lanes) else 4
    return AttentionPlan(
        dtype.name, lanes, rows, most, vectors, 3 if many else 2,
        BLOCK if rows == most else rows, depth, columns,
        a.causal, mask, a.chance is not None,
    )  # fmt: skip


def chunk(plan: AttentionPlan, batch: int, heads: int, queries: int) -> int:
    """The queries of one piece of work: it depends on shapes alone, as all that is done does."""
    size = min(queries, CHUNK)
    while size > LEAST and batch * heads * -(-queries // size) < PIECES:
        size = max(LEAST, size // 2)
    return max(plan.rows, -(-size // plan.rows) * plan.rows)


def word(value: float, dtype: np.dtype) -> int:
    """The bits of a floating number as a signed 64-bit word."""
    form = "f" if dtype.itemsize == 4 else "d"
    return int.from_bytes(struct.pack("<" + form, value), "little", signed=True)
