"""`gradcheck`: whether derivatives agree with differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.tensor.errors import GradientError
from glubina.tensor.mode import no_grad
from glubina.torch.autograd.derivatives import grad
from glubina.torch.tensor import faced


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]


def _by_differences(function: Callable[..., Any], inputs: list[Any], which: int, eps: float) -> Any:
    """∂output / ∂input `which`, an array for each output, (output elements, input elements)."""
    values = inputs[which].numpy().astype(np.float64)
    columns: list[list[Any]] = []
    for place in range(values.size):
        ends = []
        for step in (eps, -eps):
            moved = values.copy()
            moved.flat[place] += step
            given = [faced(gl.tensor(moved.astype(inputs[which].dtype))) if i == which else v
                     for i, v in enumerate(inputs)]  # fmt: skip
            with no_grad():
                ends.append([y.numpy().astype(np.float64) for y in _several(function(*given))])
        columns.append([(a - b).reshape(-1) / (2 * eps) for a, b in zip(*ends, strict=True)])
    return [np.stack(each, 1) for each in zip(*columns, strict=True)]


def gradcheck(
    func: Callable[..., Any], inputs: Any, eps: float = 1e-6, atol: float = 1e-5,
    rtol: float = 1e-3, raise_exception: bool = True, **options: Any,
) -> bool:  # fmt: skip
    """Whether the derivatives of `func` agree with central differences, in every entry.

    inputs: tensors; those that require gradients are checked, best in float64. GradientError (or
    False, without `raise_exception`) says which input is wrong. `gl.check_gradients` says which
    entry, and does not depend on the dtype.
    """
    given = [faced(v) for v in _several(inputs)]
    checked = [i for i, v in enumerate(given) if isinstance(v, gl.Tensor) and v.requires_grad]
    if not checked:
        raise ValueError("gradcheck: at least one input must require gradients")
    fixed = [v.detach() if isinstance(v, gl.Tensor) else v for v in given]
    for which in checked:
        expected = _by_differences(func, fixed, which, eps)
        for number, y in enumerate(_several(func(*given))):
            if y.dtype.kind != "f":
                continue
            wanted = np.zeros_like(expected[number])
            flat = y.reshape(-1)
            for row in range(y.numel()):
                if not y.requires_grad:
                    break
                (found,) = grad(flat[row], given[which], retain_graph=True, allow_unused=True)
                if found is not None:
                    wanted[row] = found.numpy().reshape(-1)
            if not np.allclose(wanted, expected[number], rtol, atol):
                if not raise_exception:
                    return False
                raise GradientError(
                    f"gradcheck: the Jacobian of output {number} by input {which} is wrong:\n"
                    f"numerical:\n{expected[number].T}\nanalytical:\n{wanted.T}"
                )
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, **options: Any) -> bool:
    """`gradcheck` of the first derivatives of the sum of the outputs."""
    options.pop("grad_outputs", None)

    def first(*given: Any) -> Any:
        wanted = [v for v in given if isinstance(v, gl.Tensor) and v.requires_grad]
        wanted = wanted or [v.requires_grad_() for v in given if isinstance(v, gl.Tensor)]
        from glubina.tensor.mode import enable_grad

        with enable_grad():
            total = sum(y.sum() for y in _several(func(*given)))
            return grad(total, wanted, create_graph=True)

    return gradcheck(first, inputs, **options)
