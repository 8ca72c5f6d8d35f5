"""Weight normalisation and spectral normalisation: weights computed from a direction or a norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.nn.architecture import CLASSES
from glubina.nn.formula import draws
from glubina.nn.reparametrised import Rule, install, remove
from glubina.tensor import Tensor, matmul, maximum, no_grad, permute_dims, reshape, sqrt, tensor

Array = NDArray[Any]


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """w = g · v / ‖v‖: the norm and the direction of each unit's weights are trained apart.

    module: a layer, which is returned; its parameter `name` is replaced by `name`_g (the norms)
    and `name`_v (the directions), from which it is computed whenever the layer runs. dim: the axis
    that has a norm for each index, counted as PyTorch lays the weight out (out, in, *window), so 0
    are the outputs; None takes one norm of the whole. Source: Salimans and Kingma, 2016,
    arXiv:1602.07868.
    """
    return install(module, WeightNorm(name, dim=dim))


def spectral_norm(
    module: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """w = W / σ(W): the layer's largest singular value is kept at about 1.

    module: a layer, which is returned; its parameter `name` becomes `name`_orig, and the buffers
    `name`_u and `name`_v hold the singular vectors. Each forward in training moves them by
    n_power_iterations steps of v ← Wᵀu / ‖Wᵀu‖, u ← Wv / ‖Wv‖; in use they stay. σ = uᵀ W v. dim:
    the axis of the rows of W, counted as PyTorch lays the weight out; unless told the outputs.
    Source: Miyato et al., 2018, arXiv:1802.05957.
    """
    arguments = {"n_power_iterations": n_power_iterations, "eps": eps, "dim": dim}
    return install(module, SpectralNorm(name, **arguments))


def remove_weight_norm(module: Any, name: str = "weight") -> Any:
    """Make the weight a parameter again, with the value that it has; returns the layer."""
    return remove(module, name, WeightNorm)


def remove_spectral_norm(module: Any, name: str = "weight") -> Any:
    """Make the weight a parameter again, with the value that it has; returns the layer."""
    return remove(module, name, SpectralNorm)


class WeightNorm(Rule):
    """w = g · v / ‖v‖."""

    registered = "weight_norm"

    def names(self) -> tuple[str, str]:
        """Of norm and direction."""
        return f"{self.name}_g", f"{self.name}_v"

    def _axes(self, module: Any, weight: Any) -> tuple[int, ...]:
        axis = _axis(module, weight, self.arguments["dim"], self.registered)
        return tuple(i for i in range(len(weight.shape)) if i != axis)

    def split(self, module: Any, weight: Tensor) -> dict[str, Any]:
        """Norm and direction of a weight."""
        values = weight.numpy()
        axes = self._axes(module, weight)
        whole = len(axes) == values.ndim
        norms = np.sqrt((values * values).sum(axis=axes, keepdims=not whole))
        return dict(zip(self.names(), (norms.astype(values.dtype), values)))

    def weight(self, module: Any, move: bool) -> Tensor:
        """The weight."""
        g, v = (getattr(module, name) for name in self.names())
        norms = sqrt((v * v).sum(axis=self._axes(module, v), keepdims=True))
        result: Tensor = v * (g / norms)
        return result


class SpectralNorm(Rule):
    """w = W / σ(W), with σ by power iteration."""

    registered = "spectral_norm"
    first = "v"  # which of the two vectors a step moves first
    prepared = 0  # steps when it is installed

    def __init__(self, name: str, **arguments: Any) -> None:
        steps, eps = arguments["n_power_iterations"], arguments["eps"]
        if not (isinstance(steps, int) and steps >= 1):
            raise ValueError(
                f"n_power_iterations must be a whole number of at least 1, got {steps!r}"
            )
        if not eps > 0:
            raise ValueError(f"eps must be above 0, got {eps!r}")
        super().__init__(name, **arguments)

    def names(self) -> tuple[str, str, str]:
        """Of the parameter, of u and of v."""
        return f"{self.name}_orig", f"{self.name}_u", f"{self.name}_v"

    def _axis(self, module: Any, weight: Any) -> int:
        dim = self.arguments["dim"]
        if dim is None:
            dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
        axis = _axis(module, weight, dim, self.registered)
        if len(weight.shape) < 2 or axis is None:
            raise ValueError(
                f"spectral_norm: {self.name} needs at least 2 axes and an axis for its rows, got "
                f"shape {weight.shape} and dim={self.arguments['dim']}"
            )
        return axis

    def split(self, module: Any, weight: Tensor) -> dict[str, Any]:
        """The weight itself."""
        self._axis(module, weight)
        return {self.names()[0]: weight.numpy()}

    def state(self, module: Any, weight: Tensor) -> dict[str, Any]:
        """The singular vectors, drawn."""
        axis, values = self._axis(module, weight), weight.numpy()
        matrix = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        source, eps = draws(), self.arguments["eps"]
        u, v = (_unit(source.normal(size=count), eps) for count in matrix.shape)
        for _ in range(self.prepared):
            u = _unit(matrix @ v, eps)
            v = _unit(matrix.T @ u, eps)
        vectors = (tensor(vector.astype(values.dtype)) for vector in (u, v))
        return dict(zip(self.names()[1:], vectors))

    def weight(self, module: Any, move: bool) -> Tensor:
        """The weight; `move` moves the singular vectors."""
        own, name_u, name_v = self.names()
        weight: Tensor = getattr(module, own)
        u, v = getattr(module, name_u), getattr(module, name_v)
        matrix = self._matrix(module, weight)
        if move:
            with no_grad():
                new = self._moved(matrix.detach(), u.detach() * 1, v.detach() * 1)
                u.copy_(new[0])
                v.copy_(new[1])
            u, v = new
        sigma = (u * matmul(matrix, v)).sum()
        result: Tensor = weight / sigma
        return result

    def _matrix(self, module: Any, weight: Tensor) -> Tensor:
        axis = self._axis(module, weight)
        order = (axis, *(i for i in range(len(weight.shape)) if i != axis))
        turned = weight if axis == 0 else permute_dims(weight, order)
        return reshape(turned, (weight.shape[axis], math.prod(turned.shape[1:])))

    def _moved(self, matrix: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Both vectors after the steps of power iteration."""
        eps = self.arguments["eps"]
        for _ in range(self.arguments["n_power_iterations"]):
            if self.first == "u":
                u = _normalised(matmul(matrix, v), eps)
            v = _normalised(matmul(matrix.T, u), eps)
            if self.first == "v":
                u = _normalised(matmul(matrix, v), eps)
        return u, v


def _axis(module: Any, weight: Any, dim: int | None, name: str) -> int | None:
    """The axis of the weight for PyTorch's `dim`; None for the whole."""
    rank = len(weight.shape)
    if dim is None or dim == -1:
        return None
    if not 0 <= dim < rank:
        raise ValueError(
            f"{name}: dim must be from 0 to {rank - 1}, or None, for a weight of shape "
            f"{weight.shape}, got {dim!r}"
        )
    order = getattr(module, "weight_order", "")
    if not order or rank < 3:
        return dim
    # (*window, in, out): where the axes of PyTorch's layout stand
    out, into = rank - 1, rank - 2
    first = (out, into) if order == "out in" else (into, out)
    axes: tuple[int, ...] = (*first, *range(rank - 2))
    return axes[dim]


def _normalised(vector: Tensor, eps: float) -> Tensor:
    return vector / maximum(sqrt((vector * vector).sum()), eps)


def _unit(vector: Array, eps: float) -> Array:
    unit: Array = vector / max(np.sqrt((vector * vector).sum()), eps)
    return unit


CLASSES.update(weight_norm=weight_norm, spectral_norm=spectral_norm)
