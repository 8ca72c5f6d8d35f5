"""`torch.linalg`: norms, and decompositions worked out by NumPy (without derivatives)."""

from __future__ import annotations

from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.torch.reductions import norm, vector_norm
from glubina.torch.tensor import faced


def _by_numpy(name: str) -> Any:
    function = getattr(np.linalg, name)

    def call(*given: Any, **options: Any) -> Any:
        tensors = [as_tensor(v) if isinstance(v, gl.Tensor) else v for v in given]
        if any(isinstance(t, gl.Tensor) and t.requires_grad for t in tensors):
            raise gl.errors.GradientError(
                f"linalg.{name}: has no derivative here; detach() the input"
            )
        arrays = [t.numpy() if isinstance(t, gl.Tensor) else t for t in tensors]
        found = function(*arrays, **options)
        several = isinstance(found, tuple)
        results = [gl.tensor(np.asarray(f)) for f in (found if several else (found,))]
        return tuple(faced(r) for r in results) if several else faced(results[0])

    call.__name__ = name
    call.__doc__ = f"`numpy.linalg.{name}` of tensors, worked out now; it has no derivative."
    return call


inv, det, solve, eigh, qr, cholesky, pinv, matrix_rank, svdvals, slogdet = (
    _by_numpy(n)
    for n in (
        *("inv", "det", "solve", "eigh", "qr", "cholesky", "pinv", "matrix_rank", "svdvals"),
        "slogdet",
    )
)

__all__ = [
    "cholesky",
    "det",
    "eigh",
    "inv",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svdvals",
    "vector_norm",
]
