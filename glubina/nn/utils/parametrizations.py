"""Weight and spectral normalisation under the names that PyTorch's parametrizations have."""

from __future__ import annotations

from typing import Any

from glubina.nn.architecture import CLASSES
from glubina.nn.reparametrised import install
from glubina.nn.weight_norm import SpectralNorm, WeightNorm


class _WeightNorm(WeightNorm):
    """Parameters parametrizations.`name`.original0 (norms) and original1 (directions)."""

    registered = "parametrizations.weight_norm"

    def names(self) -> tuple[str, str]:
        """Of norm and direction."""
        stem = f"parametrizations.{self.name}"
        return f"{stem}.original0", f"{stem}.original1"


class _SpectralNorm(SpectralNorm):
    """Parameter parametrizations.`name`.original, buffers parametrizations.`name`.0._u and _v."""

    registered = "parametrizations.spectral_norm"
    first = "u"
    prepared = 15

    def names(self) -> tuple[str, str, str]:
        """Of the parameter, of u and of v."""
        stem = f"parametrizations.{self.name}"
        return f"{stem}.original", f"{stem}.0._u", f"{stem}.0._v"


def weight_norm(module: Any, name: str = "weight", dim: int | None = 0) -> Any:
    """As `nn.utils.weight_norm`, with the names of PyTorch's parametrizations in the state dict."""
    return install(module, _WeightNorm(name, dim=dim))


def spectral_norm(
    module: Any,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Any:
    """As `nn.utils.spectral_norm`, with the names of PyTorch's parametrizations.

    As there, 15 steps of power iteration are made at once, and each step moves u before v.
    """
    arguments = {"n_power_iterations": n_power_iterations, "eps": eps, "dim": dim}
    return install(module, _SpectralNorm(name, **arguments))


CLASSES["parametrizations.weight_norm"] = weight_norm
CLASSES["parametrizations.spectral_norm"] = spectral_norm

__all__ = ["spectral_norm", "weight_norm"]
