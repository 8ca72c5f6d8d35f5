"""What recurrent layers and embeddings have here besides their signatures."""

from __future__ import annotations

from typing import Any

import glubina.tensor as gl
from glubina import nn
from glubina.tensor.convert import as_tensor
from glubina.torch.device import on_cpu
from glubina.torch.nn.module import Parameter
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


class Masks:
    """Makes the mask that hides what comes later."""

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Any:
        """A mask (sz, sz) to be added: −∞ where a key comes after the query, else 0."""
        on_cpu(device)
        found = nn.Transformer.generate_square_subsequent_mask(sz)
        return faced(found if dtype is None else found.astype(dtype))
