"""What in an input a network's answer depends on: saliency and class-activation maps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.inside import batch_of
from glubina.explain.shown import Shown
from glubina.graph import ops
from glubina.graph.node import Node
from glubina.nn import Linear, Module
from glubina.tensor import Tensor, tensor
from glubina.tensor.base import wrap
from glubina.tensor.functional import grad
from glubina.train.protocol import behaving, in_use

Array = NDArray[Any]


@dataclass(frozen=True)
class Saliency(Shown):
    """The derivative of a class's output by the input.

    inputs, gradients: (n, ...). targets: (n,), the classes. maps: the largest absolute value over
    the channels of images (n, H, W), else of each input.
    """

    inputs: Array
    gradients: Array
    targets: Array

    @property
    def maps(self) -> Array:
        """How strongly the answer depends on each place."""
        size: Array = np.abs(self.gradients)
        return size.max(axis=-1) if size.ndim == 4 else size

    def plot(self, path: str | os.PathLike[str], count: int = 8) -> None:
        """Draw the first inputs, and under each its map, as a PNG.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_maps

        plot_maps(self.inputs, self.maps, self.targets, path, count, overlay=False)


@dataclass(frozen=True)
class ActivationMaps(Shown):
    """Where in an image a network sees a class.

    maps: (n, h, w), of the layer's size. targets: (n,), the classes. layer: whose outputs they
    are made of. inputs: (n, H, W, C).
    """

    inputs: Array
    maps: Array
    targets: Array
    layer: str

    def plot(self, path: str | os.PathLike[str], count: int = 8) -> None:
        """Draw the first images, and under each its map laid over it, as a PNG.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_maps

        plot_maps(self.inputs, self.maps, self.targets, path, count, overlay=True)


def saliency(
    model: Module,
    x: Any,
    target: ArrayLike | None = None,
    *,
    smooth: int = 0,
    noise: float = 0.15,
    seed: int = 0,
) -> Saliency:
    """∂ output[target] / ∂ input for each input of a batch, the network in use (no dropout).

    target: a class, or one for each input; by default the one with the largest output. smooth:
    the mean over so many copies of the input with Gaussian noise, of standard deviation `noise`
    times the input's range.

    Source: Simonyan et al., 2014, arXiv:1312.6034; SmoothGrad: Smilkov et al., 2017,
    arXiv:1706.03825.
    """
    inputs = batch_of(model, x)
    if inputs.dtype.kind != "f":
        raise ExplainError(f"there is no derivative by inputs of {inputs.dtype}")
    targets = _targets(model, inputs, target)

    def score(given: Tensor) -> Tensor:
        return _score(model(given), targets)

    by_input = grad(score)
    array = inputs.numpy()
    rng = np.random.default_rng(seed)
    axes = tuple(range(1, array.ndim))
    width = noise * np.ptp(array, axis=axes, keepdims=True)
    with behaving(model, training=False):
        if not smooth:
            gradients = by_input(inputs).numpy()
        else:
            total = np.zeros(array.shape, np.float64)
            for _ in range(smooth):
                noisy = array + width * rng.standard_normal(array.shape)
                total += by_input(tensor(noisy.astype(array.dtype))).numpy()
            gradients = (total / smooth).astype(array.dtype)
    return Saliency(array, gradients, targets)


def class_activation(
    model: Module,
    x: Any,
    layer: str | None = None,
    target: ArrayLike | None = None,
    *,
    method: str = "grad-cam",
) -> ActivationMaps:
    """Class-activation maps: a layer's channels, added up by what the class owes to each.

    "grad-cam": max(0, Σ_k α_k A_k), α_k the mean over places of ∂ output[target] / ∂ A_k. "cam":
    Σ_k w_k A_k with the weights w of the last Linear layer, for networks that end in global
    average pooling and this layer; the map's mean is then the class's output less its bias.
    layer: its dotted name; by default the last one that gives images of more than one place.

    Source: CAM: Zhou et al., 2016, arXiv:1512.04150; Grad-CAM: Selvaraju et al., 2017,
    arXiv:1610.02391.
    """
    if method not in ("grad-cam", "cam"):
        raise ExplainError(f"the method is 'grad-cam' or 'cam', got {method!r}")
    inputs = batch_of(model, x)
    targets = _targets(model, inputs, target)
    names = {module: name for name, module in model.named_modules()}
    if layer is not None and layer not in names.values():
        raise ExplainError(f"there is no layer {layer!r}; there are {', '.join(names.values())}")
    seen: list[tuple[str, Node]] = []

    def hook(module: Module, arguments: tuple[Any, ...], result: Any) -> None:
        images = isinstance(result, Tensor) and len(result.shape) == 4
        if images and (layer is not None or result.shape[1] * result.shape[2] > 1):
            seen.append((names[module], result._cell.node))

    watched = [m for m, n in names.items() if n == layer or (layer is None and _innermost(m))]
    removers = [module.register_forward_hook(hook) for module in watched]
    try:
        with behaving(model, training=False):
            outputs = model(inputs)
            value = _score(outputs, targets)
    finally:
        for remove in removers:
            remove()
    if not seen:
        raise ExplainError(f"{layer or type(model).__name__} gives no images (n, H, W, C)")
    name, node = seen[-1]
    features = wrap(node)
    slopes = wrap(ops.gradient(value._cell.node, node))
    scores, maps, slope = outputs.numpy(), features.numpy(), slopes.numpy()
    if method == "cam":
        found = _cam(model, maps, scores, targets)
    else:
        found = np.maximum(np.einsum("nhwk,nk->nhw", maps, slope.mean(axis=(1, 2))), 0)
    return ActivationMaps(inputs.numpy(), found, targets, name)


def _cam(model: Module, maps: Array, scores: Array, targets: Array) -> Array:
    last = next((m for m in reversed(list(model.modules())) if isinstance(m, Linear)), None)
    wrong = ExplainError(
        "cam is for networks that end in global average pooling of the layer and one Linear layer; "
        "use method='grad-cam'"
    )
    if last is None or last.weight.shape != (scores.shape[-1], maps.shape[-1]):
        raise wrong
    found: Array = np.einsum("nhwk,nk->nhw", maps, last.weight.numpy()[targets])
    bias = 0.0 if last.bias is None else last.bias.numpy()[targets]
    score = scores[np.arange(len(scores)), targets]
    if not np.allclose(found.mean(axis=(1, 2)) + bias, score, rtol=1e-3, atol=1e-3):
        raise wrong
    return found


def _innermost(module: Module) -> bool:
    return next(iter(module.children()), None) is None


def _targets(model: Module, inputs: Tensor, target: ArrayLike | None) -> Array:
    """The class of each input."""
    with in_use(model):
        scores = model(inputs).numpy()
    if scores.ndim != 2:
        raise ExplainError(f"expected outputs of shape (n, classes), got {scores.shape}")
    if target is None:
        return np.asarray(scores.argmax(axis=1))
    found = np.asarray(target)
    if found.dtype.kind not in "iu" or found.shape not in ((), (len(scores),)):
        raise ExplainError(f"target is a class or {len(scores)} classes, got {target!r}")
    if found.size and not 0 <= found.min() <= found.max() < scores.shape[1]:
        raise ExplainError(f"there are {scores.shape[1]} classes, got {target!r}")
    return np.broadcast_to(found, (len(scores),)).copy()


def _score(outputs: Tensor, targets: Array) -> Tensor:
    """The sum over inputs of each one's output of its class."""
    chosen = np.zeros(outputs.shape, outputs.dtype)
    chosen[np.arange(len(targets)), targets] = 1
    return (outputs * tensor(chosen)).sum()
