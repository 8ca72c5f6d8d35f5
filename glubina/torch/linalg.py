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


inv, det, solve, eigh, qr, cholesky, pinv, matrix_rank, svdvals, slogdet, lstsq = (
    _by_numpy(n)
    for n in (
        *("inv", "det", "solve", "eigh", "qr", "cholesky", "pinv", "matrix_rank", "svdvals"),
        *("slogdet", "lstsq"),
    )
)
_svd = _by_numpy("svd")


def svd(A: Any, full_matrices: bool = False, some: bool = True) -> Any:
    """U, S and V of A = U · diag(S) · Vᵀ, as the old `torch.svd` gives them (without derivatives).

    NumPy's third result is Vᵀ; `numpy.linalg.svd` and `torch.linalg.svd` give that.
    """
    u, s, vt = _svd(A, full_matrices=full_matrices)
    return u, s, faced(gl.swapaxes(vt, -1, -2))


def eigvalsh(A: Any) -> Any:
    """The eigenvalues of a symmetric matrix, ascending (without a derivative)."""
    return eigh(A)[0]


def matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Any:
    """Frobenius' norm of matrices."""
    if ord != "fro":
        raise NotImplementedError(f"matrix_norm: ord can only be 'fro' here, got {ord!r}")
    return norm(A, "fro", dim, keepdim)


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
