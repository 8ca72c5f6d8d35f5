"""What recurrent layers and embeddings have here besides their signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.nn.embedding import embedding as _rows
from glubina.tensor.convert import as_tensor
from glubina.torch.makers import told
from glubina.torch.nn import init
from glubina.torch.nn.module import Module, Parameter
from glubina.torch.nn.utils.rnn import PackedSequence
from glubina.torch.tensor import faced


class Packing:
    """Lets a recurrent layer take packed sequences, and give packed outputs."""

    batch_first: bool

    def forward(self, input: Any, hx: Any = None, lengths: Any = None) -> Any:
        """The outputs of the last layer, and the last states; see the layer of `glubina.nn`."""
        run: Any = super().forward  # type: ignore[misc]
        if not isinstance(input, PackedSequence):
            return faced(run(input, hx, lengths))
        padded, counts = input._padded, input._lengths
        given = gl.swapaxes(padded, 0, 1) if self.batch_first else padded
        y, states = run(given, hx, counts)
        y = gl.swapaxes(y, 0, 1) if self.batch_first else y
        return PackedSequence.of(faced(y), counts, input._sorts), faced(states)


class Pretrained:
    """Makes an embedding of vectors that are there already."""

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **options: Any
    ) -> Any:
        """An embedding with the rows of a matrix; frozen ones are not trained."""
        table = as_tensor(embeddings)
        if table.ndim != 2:
            raise ValueError(f"from_pretrained: needs a matrix, got {tuple(table.shape)}")
        self: Any = cls(*table.shape, padding_idx=padding_idx, **options)  # type: ignore[call-arg]
        self.weight = Parameter(table.detach(), requires_grad=not freeze)
        return self


def embedding_bag(
    input: Any, weight: Any, offsets: Any = None, max_norm: None = None, norm_type: float = 2,
    scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
    per_sample_weights: Any = None, include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:  # fmt: skip
    """Sums, means or maxima of the rows of weight that each bag of symbols names.

    input: (bags, symbols), or a vector that `offsets` cuts into bags. per_sample_weights: a factor
    for each symbol, with mode 'sum'. Symbols `padding_idx` do not count.
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode is 'sum', 'mean' or 'max', got {mode!r}")
    if max_norm is not None:
        raise NotImplementedError("embedding_bag: max_norm can only be None here")
    symbols = as_tensor(input)
    if symbols.ndim == 1:
        if offsets is None:
            raise ValueError("embedding_bag: a vector of symbols needs offsets, where bags begin")
        starts = as_tensor(offsets).numpy()
        starts = starts[:-1] if include_last_offset else starts
        bag = np.searchsorted(starts, np.arange(symbols.shape[0]), "right") - 1
        count = len(starts)
    else:
        count = symbols.shape[0]
        bag = np.repeat(np.arange(count), symbols.shape[1])
    flat = symbols.reshape(-1)
    rows = _rows(flat, weight)
    there = np.ones(len(bag), bool) if padding_idx is None else flat.numpy() != padding_idx
    if per_sample_weights is not None:
        if mode != "sum":
            raise ValueError("embedding_bag: per_sample_weights goes with mode='sum'")
        rows = gl.multiply(rows, gl.reshape(per_sample_weights, (-1, 1)))
    if mode == "max":
        return faced(gl.stack([_largest(rows, (bag == b) & there) for b in range(count)], 0))
    kept = gl.where(gl.tensor(there[:, None]), rows, 0.0)
    total = gl.index_add(gl.zeros((count, rows.shape[1]), dtype=rows.dtype), gl.tensor(bag), kept)
    if mode == "mean":
        sizes = np.maximum(np.bincount(bag[there], minlength=count), 1)
        total = gl.divide(total, gl.tensor(sizes[:, None].astype(rows.dtype)))
    return faced(total)


def _largest(rows: gl.Tensor, chosen: np.ndarray[Any, Any]) -> gl.Tensor:
    places = np.flatnonzero(chosen)
    if not places.size:
        return gl.zeros(rows.shape[1:], dtype=rows.dtype)
    return gl.max(gl.take(rows, gl.tensor(places), 0), 0)


class EmbeddingBag(Module):
    """The sum, mean or maximum of the vectors of a bag of symbols; see `embedding_bag`."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, mode: str = "mean",
        sparse: bool = False, _weight: Any = None, include_last_offset: bool = False,
        padding_idx: int | None = None, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if max_norm is not None:
            raise NotImplementedError("EmbeddingBag: max_norm can only be None here")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.mode, self.include_last_offset, self.padding_idx = (
            *(mode, include_last_offset, padding_idx),
        )
        shape = (num_embeddings, embedding_dim)
        self.weight = Parameter(gl.zeros(shape) if _weight is None else _weight)
        if _weight is None:
            init.normal_(self.weight)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Any:
        """A bag with the rows of a matrix; frozen ones are not trained."""
        weight = as_tensor(embeddings).detach()
        self = cls(weight.shape[0], weight.shape[1], _weight=weight, **options)
        self.weight.requires_grad_(not freeze)
        return self

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """(bags, embedding_dim) from (bags, symbols), or from a vector and where bags begin."""
        found = embedding_bag(
            input, self.weight, offsets, mode=self.mode, per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset, padding_idx=self.padding_idx,
        )  # fmt: skip
        return told(found, "EmbeddingBag")

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
