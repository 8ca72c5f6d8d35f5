"""Products of vectors and matrices under PyTorch's names."""

from __future__ import annotations

from typing import Any

import glubina.tensor as gl
from glubina.tensor.convert import as_tensor
from glubina.tensor.errors import ShapeError
from glubina.torch.adapters import adapted
from glubina.torch.makers import all_telling
from glubina.torch.tensor import faced


def _ranks(name: str, *given: tuple[Any, int]) -> None:
    for value, rank in given:
        if as_tensor(value).ndim != rank:
            kind = {1: "vectors", 2: "matrices", 3: "batches of matrices"}[rank]
            raise ShapeError(f"{name}: needs {kind} ({rank} axes), got the shape "
                             f"{tuple(as_tensor(value).shape)}")  # fmt: skip


def mm(input: Any, mat2: Any) -> Any:
    """The product of two matrices."""
    _ranks("mm", (input, 2), (mat2, 2))
    return faced(gl.matmul(input, mat2))


def bmm(input: Any, mat2: Any) -> Any:
    """The products of two batches of matrices, (B, N, M) and (B, M, P)."""
    _ranks("bmm", (input, 3), (mat2, 3))
    return faced(gl.matmul(input, mat2))


def mv(input: Any, vec: Any) -> Any:
    """A matrix times a vector."""
    _ranks("mv", (vec, 1))
    return faced(gl.matmul(input, vec))


def _sum(input: Any, product: gl.Tensor, beta: float, alpha: float) -> Any:
    product = product if alpha == 1 else gl.multiply(product, alpha)
    if beta == 0:
        return faced(product)
    return faced(gl.add(input if beta == 1 else gl.multiply(input, beta), product))


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Beta · input + alpha · mat1 @ mat2."""
    return _sum(input, gl.matmul(mat1, mat2), beta, alpha)


def addmv(input: Any, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Beta · input + alpha · mat @ vec."""
    return _sum(input, gl.matmul(mat, vec), beta, alpha)


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Beta · input + alpha · batch1 @ batch2."""
    return _sum(input, gl.matmul(batch1, batch2), beta, alpha)


def addr(input: Any, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """Beta · input + alpha · vec1 ⊗ vec2."""
    return _sum(input, gl.outer(vec1, vec2), beta, alpha)


def dot(input: Any, other: Any) -> Any:
    """The scalar product of two vectors."""
    _ranks("dot", (input, 1), (other, 1))
    return faced(gl.sum(gl.multiply(input, other)))


def einsum(equation: str, *operands: Any) -> Any:
    """Einstein's sum, as in `gl.einsum`; the operands may come as one list."""
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else None
    return faced(gl.einsum(equation, *(operands if given is None else given)))


FUNCTIONS: dict[str, Any] = all_telling(
    {
        "matmul": adapted(gl.matmul, "input", "other"),
        "outer": adapted(gl.outer, "input", "vec2"),
        "ger": adapted(gl.outer, "input", "vec2", name="ger"),
        "tensordot": adapted(gl.tensordot, "a", "b", dims="axes"),
        "mm": mm,
        "bmm": bmm,
        "mv": mv,
        "addmm": addmm,
        "addmv": addmv,
        "baddbmm": baddbmm,
        "addr": addr,
        "dot": dot,
        "einsum": einsum,
    }
)
