"""Convolutions that are matrix products: a window as large as the input, inputs of one pixel."""

from __future__ import annotations

from math import prod

from glubina.graph import ops
from glubina.graph.node import Node
from glubina.graph.ops.contraction import ConvAttributes


def conv_as_product(node: Node) -> Node:
    """x * w as a matrix product, where each input pixel meets each output pixel exactly once."""
    x, w = node.sources
    a: ConvAttributes = node.attributes
    if a.groups != 1:
        return node
    if _covers(x.shape[1:-1], w.shape[:-2], a):
        depth = prod(w.shape[:-1])
        rows = ops.reshape(x, (x.shape[0], depth))
        return ops.reshape(ops.matmul(rows, ops.reshape(w, (depth, w.shape[-1]))), node.shape)
    if _spreads(x.shape[1:-1], w.shape[:-2], node.shape[1:-1], a):
        rank = len(a.stride)
        flipped = ops.flip(w, tuple(range(rank)))
        columns = ops.transpose(flipped, (rank, *range(rank), rank + 1))
        columns = ops.reshape(columns, (x.shape[-1], prod(node.shape[1:])))
        rows = ops.reshape(x, (x.shape[0], x.shape[-1]))
        return ops.reshape(ops.matmul(rows, columns), node.shape)
    return node


def filter_as_product(node: Node) -> Node:
    """The filter gradient of a window that covers the input: xᵀ g."""
    x, g = node.sources
    a: ConvAttributes = node.attributes.geometry
    if a.groups != 1 or not _covers(x.shape[1:-1], node.attributes.window, a):
        return node
    rows = ops.reshape(x, (x.shape[0], prod(x.shape[1:])))
    columns = ops.reshape(g, (g.shape[0], g.shape[-1]))
    return ops.reshape(ops.matmul(ops.swap_last(rows), columns), node.shape)


def _covers(spatial: tuple[int, ...], window: tuple[int, ...], a: ConvAttributes) -> bool:
    """Whether the only output's window is the input, element for element."""
    return spatial == window and all(
        pads == (0, 0) and (extent == 1 or dilation == spread == 1)
        for extent, pads, dilation, spread in zip(
            spatial, a.padding, a.dilation, a.input_dilation, strict=True
        )
    )


def _spreads(
    spatial: tuple[int, ...], window: tuple[int, ...], outputs: tuple[int, ...], a: ConvAttributes
) -> bool:
    """Whether each output meets the only input pixel with a tap of its own, last tap first."""
    return max(spatial) == 1 and all(
        extent == taps and low == taps - 1 and (taps == 1 or stride == dilation == 1)
        for extent, taps, (low, _), stride, dilation in zip(
            outputs, window, a.padding, a.stride, a.dilation, strict=True
        )
    )
