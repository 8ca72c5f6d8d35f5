"""Contractions: the matrix product and the n-dimensional convolution with its filter gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Shape, Typed, make
from glubina.graph.ops.movement import flip, pad, reshape, transpose


def _check_floats(name: str, x: Node, y: Node) -> None:
    if x.dtype != y.dtype or x.dtype.kind != "f":
        raise DTypeError(f"{name}: needs one floating dtype, got {x.dtype} and {y.dtype}")


def _matmul_infer(sources: tuple[Node, ...], attributes: Any) -> Typed:
    a, b = sources
    _check_floats("matmul", a, b)
    fits = (
        len(a.shape) == len(b.shape) >= 2
        and a.shape[:-2] == b.shape[:-2]
        and a.shape[-1] == b.shape[-2]
    )
    if not fits:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape} do not fit")
    return (*a.shape[:-1], b.shape[-1]), a.dtype


def swap_last(x: Node) -> Node:
    """The last two axes exchanged."""
    rank = len(x.shape)
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


MATMUL = Primitive(
    "matmul",
    "contraction",
    r"X Y",
    _matmul_infer,
    lambda attributes, a, b: np.matmul(a, b),
    lambda z, g: (
        matmul(g, swap_last(z.sources[1])),
        matmul(swap_last(z.sources[0]), g),
    ),
)


def matmul(a: Node, b: Node) -> Node:
    """C[..., m, n] = Σ_k A[..., m, k] B[..., k, n]; equal leading axes."""
    return make(MATMUL, (a, b))


class ConvAttributes(NamedTuple):
    """How a window moves: all per spatial axis.

    Output position o and window position k read the input (spread out by `input_dilation`) at
    o·stride + k·dilation − padding[0]; outside it reads zeros. Padding may be negative (crops).
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    input_dilation: tuple[int, ...]
    groups: int


class FilterAttributes(NamedTuple):
    """The geometry of the convolution whose filter gradient this is, and the filter's extents."""

    geometry: ConvAttributes
    window: tuple[int, ...]


def output_extents(spatial: Shape, window: Shape, a: ConvAttributes) -> Shape:
    """The spatial extents of a convolution's result."""
    extents = []
    for n, k, stride, (low, high), dilation, spread in zip(
        spatial, window, a.stride, a.padding, a.dilation, a.input_dilation, strict=True
    ):
        reach = (n - 1) * spread + 1 + low + high - ((k - 1) * dilation + 1)
        extents.append(reach // stride + 1 if reach >= 0 and n > 0 else 0)
    return tuple(extents)


def _check_geometry(name: str, x: Node, a: ConvAttributes) -> None:
    rank = len(x.shape) - 2
    counts = {len(a.stride), len(a.padding), len(a.dilation), len(a.input_dilation)}
    if rank < 1 or counts != {rank}:
        raise ShapeError(f"{name}: stride, padding and dilation for {rank} spatial axes, got {a}")
    if min(*a.stride, *a.dilation, *a.input_dilation, a.groups) < 1:
        raise ShapeError(f"{name}: stride, dilation and groups must be at least 1, got {a}")


def _check_extents(name: str, spatial: Shape, window: Shape, a: ConvAttributes) -> Shape:
    """The output's extents; ShapeError if the window does not fit."""
    if len(window) != len(spatial) or min(window) < 1:
        raise ShapeError(f"{name}: the window {window} over an input {spatial}")
    extents = output_extents(spatial, window, a)
    if min(extents) < 1:
        raise ShapeError(f"{name}: the window {window} is larger than the padded input {spatial}")
    return extents


def _conv_infer(sources: tuple[Node, ...], a: ConvAttributes) -> Typed:
    x, w = sources
    _check_floats("conv", x, w)
    _check_geometry("conv", x, a)
    if len(w.shape) != len(x.shape):
        raise ShapeError(f"conv: input {x.shape} and filter {w.shape} differ in rank")
    if w.shape[-2] * a.groups != x.shape[-1] or w.shape[-1] % a.groups:
        raise ShapeError(
            f"conv: input with {x.shape[-1]} channels, filter {w.shape} and {a.groups} groups "
            "do not fit"
        )
    extents = _check_extents("conv", x.shape[1:-1], w.shape[:-2], a)
    return (x.shape[0], *extents, w.shape[-1]), x.dtype


def _spread(x: Array, a: ConvAttributes, window: Shape, outputs: Shape) -> Array:
    """The padded, dilated input as [N, *outputs, *window, C] (a view of a padded copy)."""
    rank = len(window)
    reach = [
        (o - 1) * s + (k - 1) * d + 1
        for o, s, k, d in zip(outputs, a.stride, window, a.dilation, strict=True)
    ]
    padded = np.zeros((x.shape[0], *reach, x.shape[-1]), x.dtype)
    source: list[Any] = [slice(None)]
    target: list[Any] = [slice(None)]
    for n, e, (low, _), length in zip(
        x.shape[1:-1], a.input_dilation, a.padding, reach, strict=True
    ):
        first = max(0, -(low // e)) if low < 0 else 0
        last = min(n, (length - 1 - low) // e + 1) if length > low else 0
        source.append(slice(first, max(first, last)))
        start = low + first * e
        target.append(
            slice(start, start + (max(last - first, 0) - 1) * e + 1, e)
            if last > first
            else slice(0, 0)
        )
    padded[tuple(target)] = x[tuple(source)]
    strides = padded.strides
    outer = tuple(s * m for s, m in zip(strides[1:-1], a.stride, strict=True))
    inner = tuple(s * m for s, m in zip(strides[1:-1], a.dilation, strict=True))
    shape = (x.shape[0], *outputs, *window, x.shape[-1])
    steps = (strides[0], *outer, *inner, strides[-1])
    assert len(shape) == 2 * rank + 2
    return np.lib.stride_tricks.as_strided(padded, shape, steps)


def _conv_value(a: ConvAttributes, x: Array, w: Array) -> Array:
    window = w.shape[:-2]
    rank = len(window)
    outputs = output_extents(x.shape[1:-1], window, a)
    patches = _spread(x, a, window, outputs)
    result = np.empty((x.shape[0], *outputs, w.shape[-1]), x.dtype)
    cin, cout = w.shape[-2], w.shape[-1] // a.groups
    axes = (*range(rank + 1, 2 * rank + 1), 2 * rank + 1), (*range(rank), rank)
    for group in range(a.groups):
        part = patches[..., group * cin : (group + 1) * cin]
        weights = w[..., group * cout : (group + 1) * cout]
        result[..., group * cout : (group + 1) * cout] = np.tensordot(part, weights, axes=axes)
    return result


def _input_gradient(g: Node, w: Node, x_shape: Shape, a: ConvAttributes) -> Node:
    """The gradient for the input: a convolution of g with the flipped, transposed filter."""
    rank = len(x_shape) - 2
    spatial = tuple(range(rank))
    cin, cout = w.shape[-2], w.shape[-1] // a.groups
    flipped = reshape(flip(w, spatial), (*w.shape[:-2], cin, a.groups, cout))
    turned = transpose(flipped, (*spatial, rank + 2, rank + 1, rank))
    turned = reshape(turned, (*w.shape[:-2], cout, a.groups * cin))
    padding = []
    for n, o, k, stride, (low, _), dilation, spread in zip(
        x_shape[1:-1], g.shape[1:-1], w.shape[:-2], a.stride, a.padding, a.dilation,
        a.input_dilation, strict=True,
    ):  # fmt: skip
        before = (k - 1) * dilation - low
        needed = (n - 1) * spread + 1 + (k - 1) * dilation
        padding.append((before, needed - ((o - 1) * stride + 1) - before))
    geometry = ConvAttributes(a.input_dilation, tuple(padding), a.dilation, a.stride, a.groups)
    return make(CONV, (g, turned), geometry)


def _conv_derivative(y: Node, g: Node) -> Sequence[Node | None]:
    x, w = y.sources
    a = y.attributes
    return (
        _input_gradient(g, w, x.shape, a),
        conv_filter(x, g, a, w.shape[:-2]),
    )


CONV = Primitive("conv", "contraction", r"x * w", _conv_infer, _conv_value, _conv_derivative)


def conv(x: Node, w: Node, geometry: ConvAttributes) -> Node:
    """Correlate [N, *S, Cin] with filters [*K, Cin/groups, Cout] to [N, *O, Cout]."""
    return make(CONV, (x, w), geometry)


def _filter_infer(sources: tuple[Node, ...], a: FilterAttributes) -> Typed:
    x, g = sources
    _check_floats("conv_filter", x, g)
    _check_geometry("conv_filter", x, a.geometry)
    extents = _check_extents("conv_filter", x.shape[1:-1], a.window, a.geometry)
    if len(g.shape) != len(x.shape) or g.shape[:-1] != (x.shape[0], *extents):
        raise ShapeError(f"conv_filter: input {x.shape} and gradient {g.shape} do not fit")
    groups = a.geometry.groups
    if x.shape[-1] % groups or g.shape[-1] % groups:
        raise ShapeError(
            f"conv_filter: {x.shape[-1]} and {g.shape[-1]} channels do not split into "
            f"{groups} groups"
        )
    return (*a.window, x.shape[-1] // groups, g.shape[-1]), x.dtype


def _filter_value(a: FilterAttributes, x: Array, g: Array) -> Array:
    rank, groups = len(a.window), a.geometry.groups
    patches = _spread(x, a.geometry, a.window, g.shape[1:-1])
    cin, cout = x.shape[-1] // groups, g.shape[-1] // groups
    result = np.empty((*a.window, cin, g.shape[-1]), x.dtype)
    axes = tuple(range(rank + 1)), tuple(range(rank + 1))
    for group in range(groups):
        part = patches[..., group * cin : (group + 1) * cin]
        gradient = g[..., group * cout : (group + 1) * cout]
        result[..., group * cout : (group + 1) * cout] = np.tensordot(part, gradient, axes=axes)
    return result


def _filter_derivative(y: Node, v: Node) -> Sequence[Node | None]:
    x, g = y.sources
    return _input_gradient(g, v, x.shape, y.attributes.geometry), conv(x, v, y.attributes.geometry)


CONV_FILTER = Primitive(
    "conv_filter",
    "contraction",
    r"\frac{\partial (x * w)}{\partial w}",
    _filter_infer,
    _filter_value,
    _filter_derivative,
)


def conv_filter(x: Node, g: Node, geometry: ConvAttributes, window: Shape) -> Node:
    """The filter gradient: Σ over n and positions of x (under the window) times g.

    Kernels need not know zeros between the input's elements. Where every output has a window of
    its own (stride 1, as in a transposed convolution), g and x change places: with x's elements
    `spread` apart, x[q] meets g[spread·q + j·dilation − ...] under tap j counted from the last.
    Otherwise the zeros are put there first.
    """
    spread = geometry.input_dilation
    if max(spread, default=1) > 1:
        if max(geometry.stride) == 1:
            return _exchanged(x, g, geometry, window)
        none = (0,) * len(x.shape)
        x = pad(x, none, none, (0, *(e - 1 for e in spread), 0))
        geometry = geometry._replace(input_dilation=(1,) * len(spread))
    return make(CONV_FILTER, (x, g), FilterAttributes(geometry, window))


def _exchanged(x: Node, g: Node, geometry: ConvAttributes, window: Shape) -> Node:
    """The filter gradient with the roles of input and gradient exchanged."""
    rank, groups = len(window), geometry.groups
    reach = [(k - 1) * d for k, d in zip(window, geometry.dilation, strict=True)]
    ones = (1,) * rank
    turned = ConvAttributes(
        geometry.input_dilation,
        tuple(
            [(r - low, r - high) for r, (low, high) in zip(reach, geometry.padding, strict=True)]
        ),
        geometry.dilation,
        ones,
        groups,
    )
    found = make(CONV_FILTER, (g, x), FilterAttributes(turned, window))  # [*K, Cout/groups, Cin]
    cin, cout = x.shape[-1] // groups, g.shape[-1] // groups
    found = reshape(flip(found, tuple(range(rank))), (*window, cout, groups, cin))
    found = transpose(found, (*range(rank), rank + 2, rank + 1, rank))
    return reshape(found, (*window, cin, groups * cout))
