"""`torch.nn.functional`: Glubina's functions under PyTorch's signatures, images channels first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina.nn import functional as plain
from glubina.nn.attention import scaled_dot_product_attention as _attention
from glubina.nn.checks import extents
from glubina.nn.convolution import convolution
from glubina.nn.embedding import embedding as _embedding
from glubina.nn.transposed import conv_transpose
from glubina.tensor.convert import as_tensor
from glubina.torch import creation
from glubina.torch.makers import telling
from glubina.torch.nn.layout import (
    channels_first,
    channels_last,
    on_images,
    rank_of,
    spatial_of,
    transposed_weight_last,
    weight_last,
)
from glubina.torch.nn.sampling import affine_grid as affine_grid
from glubina.torch.nn.sampling import grid_sample as grid_sample
from glubina.torch.nn.signatures import IMAGES, SAME
from glubina.torch.reductions import norm
from glubina.torch.specification import Specification
from glubina.torch.tensor import faced


def _same(name: str, text: str) -> Any:
    function, takes = getattr(plain, name), Specification(name, text)

    def call(*args: Any, **kwargs: Any) -> Any:
        return faced(function(**takes.bind(args, kwargs)))

    return telling(_named(call, name, function, takes), name)


def _of_images(name: str, text: str) -> Any:
    function, takes, rank = getattr(plain, name), Specification(name, text), rank_of(name)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = takes.bind(args, kwargs)
        return on_images(lambda x: function(x, **given), given.pop("input"), rank)

    return telling(_named(call, name, function, takes), name)


def _named(call: Any, name: str, function: Any, takes: Specification) -> Any:
    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{function.__doc__}\n\nArguments and layout are PyTorch's."
    call.__signature__ = takes.signature()
    return call


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _same(name, text) for name, text in SAME.items()},
    **{name: _of_images(name, text) for name, text in IMAGES.items()},
}


# -- convolutions --------------------------------------------------------------------------------


def _conv(rank: int) -> Callable[..., Any]:
    def conv(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
             dilation: Any = 1, groups: int = 1) -> Any:  # fmt: skip
        _filter(f"conv{rank}d", weight, rank)
        last = weight_last(weight)
        return on_images(
            lambda x: convolution(x, last, bias, stride, padding, dilation, groups),
            *(input, rank, weight.shape[1] * groups),
        )

    conv.__name__ = conv.__qualname__ = f"conv{rank}d"
    conv.__doc__ = (
        f"A convolution over {rank} axes: input (N, C, ...), weight (out, in/groups, ...)."
    )
    return conv


def _conv_transpose(rank: int) -> Callable[..., Any]:
    def conv(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
             output_padding: Any = 0, groups: int = 1, dilation: Any = 1) -> Any:  # fmt: skip
        _filter(f"conv_transpose{rank}d", weight, rank)
        last = transposed_weight_last(weight)
        given = (stride, padding, output_padding, groups, dilation)
        return on_images(
            lambda x: conv_transpose(x, last, bias, *given), input, rank, weight.shape[0]
        )

    conv.__name__ = conv.__qualname__ = f"conv_transpose{rank}d"
    conv.__doc__ = f"A transposed convolution over {rank} axes: weight (in, out/groups, ...)."
    return conv


def _filter(name: str, weight: gl.Tensor, rank: int) -> None:
    if weight.ndim != rank + 2:
        raise gl.errors.ShapeError(
            f"{name}: a weight has {rank + 2} axes, got the shape {tuple(weight.shape)}"
        )


def _max_unpool(rank: int) -> Callable[..., Any]:
    function = getattr(plain, f"max_unpool{rank}d")

    def unpool(input: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
               output_size: Any = None) -> Any:  # fmt: skip
        given = (kernel_size, stride, padding, spatial_of(output_size, rank))
        return on_images(lambda x, i: function(x, i, *given), input, rank, others=(indices,))

    unpool.__name__ = unpool.__qualname__ = f"max_unpool{rank}d"
    unpool.__doc__ = function.__doc__
    return unpool


max_unpool1d, max_unpool2d, max_unpool3d = (_max_unpool(n) for n in (1, 2, 3))
conv1d, conv2d, conv3d = (_conv(n) for n in (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = (_conv_transpose(n) for n in (1, 2, 3))


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Every channel (axis 1) to mean 0 and variance 1; see `glubina.nn.functional.batch_norm`."""
    given = (running_mean, running_var, weight, bias, training, momentum, eps)
    return on_images(lambda x: plain.batch_norm(x, *given), input)


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
           stride: Any = 1) -> Any:  # fmt: skip
    """The windows of images (N, C, H, W) as columns: (N, C · KH · KW, positions)."""
    single = input.ndim == 3
    x = channels_last(gl.expand_dims(input, 0) if single else input)
    rows = plain.unfold(x, kernel_size, dilation, padding, stride)
    n, positions, width = rows.shape
    apart = rows.reshape((n, positions, width // x.shape[-1], x.shape[-1]))
    found = gl.permute_dims(apart, (0, 3, 2, 1)).reshape((n, width, positions))
    return faced(gl.squeeze(found, 0) if single else found)


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Any:  # fmt: skip
    """Columns (N, C · KH · KW, positions) added where their windows lie: (N, C, H, W)."""
    single = input.ndim == 2
    x = gl.expand_dims(input, 0) if single else input
    taps = math.prod(extents("kernel_size", kernel_size, 2))
    if x.ndim != 3 or x.shape[1] % taps:
        raise gl.errors.ShapeError(
            f"fold: expected (N, C · {taps}, positions), got {tuple(input.shape)}"
        )
    n, width, positions = x.shape
    apart = x.reshape((n, width // taps, taps, positions))
    rows = gl.permute_dims(apart, (0, 3, 2, 1)).reshape((n, positions, width))
    found = plain.fold(rows, output_size, kernel_size, dilation, padding, stride)
    found = channels_first(found)
    return faced(gl.squeeze(found, 0) if single else found)


# -- with an axis, with classes ------------------------------------------------------------------


def _implied(name: str, x: gl.Tensor, dim: int | None) -> int:
    """PyTorch's implicit axis: 0 for 0, 1 or 3 axes, else 1."""
    return dim if dim is not None else 0 if x.ndim in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """eˣ / Σ eˣ along an axis."""
    x = as_tensor(input) if dtype is None else as_tensor(input).astype(dtype)
    return faced(plain.softmax(x, _implied("softmax", x, dim)))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """The logarithms of `softmax`, exact for small ones."""
    x = as_tensor(input) if dtype is None else as_tensor(input).astype(dtype)
    return faced(plain.log_softmax(x, _implied("log_softmax", x, dim)))


def softmin(input: Any, dim: int | None = None) -> Any:
    """`softmax` of −x."""
    return softmax(-input, dim)


def gumbel_softmax(logits: Any, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Any:
    """A softmax of logits with Gumbel noise; `hard` gives one-hot rows with the soft gradient."""
    noise = -gl.log(-gl.log(gl.clip(gl.rand_like(logits), 1e-20, 1.0 - 1e-7)))
    soft = gl.softmax((logits + noise) / tau, dim)
    if not hard:
        return faced(soft)
    place = gl.argmax(soft, dim)
    one = gl.moveaxis(gl.one_hot(place, soft.shape[dim], soft.dtype), -1, dim)
    return faced(one - soft.detach() + soft)


def prelu(input: Any, weight: Any) -> Any:
    """x above 0, weight · x elsewhere; weight has one element, or one for each channel (axis 1)."""
    if weight.numel() == 1:
        return faced(plain.prelu(input, weight.reshape(1)))
    return on_images(lambda x: plain.prelu(x, weight), input)


def _ignored(ignore_index: int, targets: Any) -> int | None:
    """None where no label is PyTorch's default −100, so that the usual kernel can run."""
    if ignore_index != -100:
        return ignore_index
    cell = targets._cell.value()
    if cell is None or cell.buffer is None or not targets.size:
        return None
    values = cell.buffer.array(cell.shape, cell.dtype)
    return ignore_index if values.dtype.kind == "i" and values.min() == -100 else None


def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """Cross-entropy from logits (N, C, ...) and class numbers (N, ...) or probabilities."""
    if target.dtype.kind == "f":
        target = target if target.ndim < 3 else gl.moveaxis(target, 1, -1)
        found = plain.cross_entropy(
            *(channels_last(input), target, weight, reduction, label_smoothing)
        )
        return faced(found)
    ignored = _ignored(ignore_index, target)
    return faced(
        plain.cross_entropy(
            *(channels_last(input), target, weight, reduction, label_smoothing, ignored)
        )
    )


def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None,
    ignore_index: int = -100, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """−ln p_label from log-probabilities (N, C, ...) and class numbers (N, ...)."""
    ignored = _ignored(ignore_index, target)
    return faced(plain.nll_loss(channels_last(input), target, weight, reduction, ignored))


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """1 − cos(a, b) where the target is 1, max(0, cos(a, b) − margin) where it is −1."""
    return faced(plain.cosine_embedding_loss(input1, input2, target, margin, reduction))


# -- the rest ------------------------------------------------------------------------------------


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Elements zero with probability p, the others scaled by 1 / (1 − p)."""
    return on_images(lambda x: plain.dropout(x, p, training), input)


def embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """The rows of weight that the whole numbers name."""
    return faced(_embedding(input, weight, padding_idx))


one_hot = creation.one_hot


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x / max(‖x‖_p, eps) along an axis."""
    size = norm(input, p, dim, True)
    return faced(gl.divide(input, gl.clip(size, eps)))


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Elements added around the last axes: (before, after) of the last axis first."""
    x = as_tensor(input)
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(f"pad: give (before, after) for at most {x.ndim} axes, got {pad!r}")
    if mode != "constant":
        return on_images(lambda x: plain.pad(x, pad, mode), x, len(pad) // 2)
    widths = [(0, 0)] * (x.ndim - len(pad) // 2)
    widths += [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    if any(n < 0 for pair in widths for n in pair):
        x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, x.shape))]
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    return faced(gl.pad(x, widths, 0.0 if value is None else value))


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """softmax(scale · Q Kᵀ + mask) V over the last two axes."""
    return faced(_attention(query, key, value, attn_mask, dropout_p, is_causal, scale))


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from start_dim to end_dim made one."""
    return faced(gl.flatten(input, start_dim, end_dim))


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """‖x1 − x2 + ε‖_p along the last axis."""
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    found = plain.pairwise_distance(gl.broadcast_to(x1, shape), gl.broadcast_to(x2, shape), p, eps)
    return faced(gl.expand_dims(found, -1) if keepdim else found)


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """x / (k + α/size · Σ x²)^β, the sum over `size` neighbouring channels (axis 1)."""
    x = as_tensor(input)
    around = [(0, 0)] * x.ndim
    around[1] = (size // 2, (size - 1) // 2)
    squares = gl.pad(gl.square(x), around)
    places = [(slice(None), slice(i, i + x.shape[1])) for i in range(size)]
    total = squares[places[0]]
    for place in places[1:]:
        total = total + squares[place]
    return faced(gl.divide(x, gl.pow(total * (alpha / size) + k, beta)))


def relu_(input: Any) -> Any:
    """The rectifier in place."""
    return input.relu_()


_OWN = (softmax, log_softmax, softmin, prelu, cross_entropy, nll_loss, dropout, embedding)
FUNCTIONS |= {f.__name__: telling(f) for f in _OWN}
globals().update(FUNCTIONS)
upsample = FUNCTIONS["interpolate"]


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'nearest'."""
    return upsample(input, size, scale_factor)


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` with mode 'bilinear' and align_corners=True."""
    return upsample(input, size, scale_factor, "bilinear", True)


__all__ = [*FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name.endswith("_") and name[:-1] in FUNCTIONS:
        return lambda input, *args, **kwargs: input.copy_(
            FUNCTIONS[name[:-1]](input, *args, **kwargs)
        )
    raise AttributeError(f"glubina.torch.nn.functional has no {name!r}")
