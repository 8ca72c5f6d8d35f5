"""What goes on inside a network: its filters, what its layers give, where its attention goes."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.shown import Shown
from glubina.nn import Conv2d, Linear, Module, MultiheadAttention
from glubina.tensor import Tensor, tensor
from glubina.train.protocol import in_use

Array = NDArray[Any]


# -- filters ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filters(Shown):
    """The filters of a layer as pictures: images (filters, H, W, C); name, of the layer."""

    name: str
    images: Array

    def plot(self, path: str | os.PathLike[str], columns: int = 8) -> None:
        """Draw them as a PNG: in colour if there are 3 channels, else a picture for each channel.

        Of one channel, blue is negative and red positive, each filter on its own scale. Raises
        MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_filters

        plot_filters(self, path, columns)


def filters(model: Module, layer: str | None = None, shape: Sequence[int] | None = None) -> Filters:
    """The weights of a Conv2d or Linear layer, by default the first one, as pictures.

    layer: its dotted name. shape: of a Linear layer's input as a picture, (H, W) or (H, W, C); it
    may be left out where the input is a square.
    """
    name, found = _weighted(model, layer)
    weight = found.weight.numpy()
    if isinstance(found, Conv2d):
        return Filters(name, weight.transpose(3, 0, 1, 2).copy())
    side = round(float(weight.shape[1]) ** 0.5)
    form = (side, side) if shape is None else tuple(shape)
    if len(form) not in (2, 3) or int(np.prod(form)) != weight.shape[1]:
        raise ExplainError(
            f"{name or type(found).__name__} has {weight.shape[1]} inputs, which are no picture "
            f"of shape {form}: give shape=(H, W) or (H, W, C)"
        )
    return Filters(name, weight.reshape(len(weight), *form, *((1,) if len(form) == 2 else ())))


def _weighted(model: Module, layer: str | None) -> tuple[str, Any]:
    for name, module in model.named_modules():
        if name == layer or (layer is None and isinstance(module, (Conv2d, Linear))):
            if not isinstance(module, (Conv2d, Linear)):
                raise ExplainError(f"{name} is a {type(module).__name__}, not Conv2d or Linear")
            return name, module
    raise ExplainError(f"there is no layer {layer!r}" if layer else "there is no Conv2d or Linear")


# -- feature maps -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeatureMaps(Shown):
    """What each layer gives for a batch: maps, by the layer's name in the order of the run.

    Of images (n, H, W, C), of vectors (n, features). inputs: the batch. kinds: the layers' types,
    by the same names.
    """

    inputs: Array
    maps: dict[str, Array]
    kinds: dict[str, str]

    def plot(self, path: str | os.PathLike[str], example: int = 0, channels: int = 8) -> None:
        """Draw one example as a PNG: a row of the first channels for each layer.

        What is no image is drawn as a strip. Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_feature_maps

        plot_feature_maps(self, path, example, channels)


def feature_maps(model: Module, x: Any, layers: Sequence[str] | None = None) -> FeatureMaps:
    """What the layers of any network give for a batch of inputs, in use (no dropout).

    layers: dotted names; by default all modules that have none inside. A layer that runs several
    times has "name (2)" for the second. Of several results the first is taken.
    """
    found: dict[str, Tensor] = {}
    kinds: dict[str, str] = {}
    modules = dict(model.named_modules())
    if layers is None:
        chosen = {n: m for n, m in modules.items() if next(iter(m.children()), None) is None}
    else:
        for name in layers:
            if name not in modules:
                raise ExplainError(f"there is no layer {name!r}; there are {', '.join(modules)}")
        chosen = {name: modules[name] for name in layers}

    def keep(name: str) -> Callable[[Module, tuple[Any, ...], Any], None]:
        def hook(module: Module, arguments: tuple[Any, ...], result: Any) -> None:
            first = result[0] if isinstance(result, (tuple, list)) else result
            if isinstance(first, Tensor):
                again = 2
                place = name or type(module).__name__
                while place in found:
                    place, again = f"{name} ({again})", again + 1
                found[place], kinds[place] = first, type(module).__name__

        return hook

    inputs = batch_of(model, x)
    with ExitStack() as stack, in_use(model):
        for name, module in chosen.items():
            stack.callback(module.register_forward_hook(keep(name)))
        model(inputs)
        maps = {name: value.numpy() for name, value in found.items()}
    return FeatureMaps(inputs.numpy(), maps, kinds)


def batch_of(model: Module, x: Any) -> Tensor:
    """Inputs as a tensor; real ones in the dtype of the parameters."""
    made = tensor(x)
    dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), None)
    return made if dtype is None or made.dtype.kind != "f" else made.astype(dtype)


# -- attention ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttentionMaps(Shown):
    """Where attention goes: weights, by the layer's name, (n, heads, queries, keys).

    Each row of keys adds up to 1.
    """

    weights: dict[str, Array]

    def plot(
        self,
        path: str | os.PathLike[str],
        example: int = 0,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Draw one example as a PNG: a row for each layer, a panel for each head.

        labels: what the positions are called. Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.learned_plot import plot_attention

        plot_attention(self, path, example, labels)


def attention(model: Module, *inputs: Any) -> AttentionMaps:
    """The weights of every MultiheadAttention in a network that is run on inputs, in use.

    They are read whether or not the network asks for them, with the masks that it gives; the
    matrix of weights, which is otherwise never in memory, is then made.
    """
    named = [(n, m) for n, m in model.named_modules() if isinstance(m, MultiheadAttention)]
    if not named:
        raise ExplainError(f"there is no MultiheadAttention in {type(model).__name__}")
    found: dict[str, Tensor] = {}
    with ExitStack() as stack, in_use(model):
        for name, module in named:
            stack.enter_context(_read(module, name or type(module).__name__, found))
        model(*(batch_of(model, x) for x in inputs))
        weights = {name: value.numpy() for name, value in found.items()}
    return AttentionMaps({n: w if w.ndim == 4 else w[None] for n, w in weights.items()})


@contextmanager
def _read(module: MultiheadAttention, name: str, found: dict[str, Tensor]) -> Iterator[None]:
    """Keep the weights of each run of a layer, which otherwise does what it did."""
    held: Any = module
    original: Any = module.forward

    signature = inspect.signature(original)

    def forward(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        asked = dict(given.arguments)
        given.arguments |= {"need_weights": True, "average_attn_weights": False}
        result, weights = original(*given.args, **given.kwargs)
        place, again = name, 2
        while place in found:
            place, again = f"{name} ({again})", again + 1
        found[place] = weights
        if not asked["need_weights"]:
            return result, None
        return result, weights.mean(axis=-3) if asked["average_attn_weights"] else weights

    before = vars(module).get("forward")
    held.forward = forward
    try:
        yield
    finally:
        if before is None:
            del held.forward
        else:
            held.forward = before
