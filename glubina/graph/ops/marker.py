"""Nodes that mark something for the passes: no derivative here, a gradient to be worked out."""

from __future__ import annotations

from typing import Any

from glubina.graph.errors import DTypeError, ShapeError
from glubina.graph.node import Array, Node, Primitive, Typed, make

DETACH = Primitive(
    "detach",
    "elementwise",
    r"x",
    lambda sources, a: (sources[0].shape, sources[0].dtype),
    lambda a, x: x,
    lambda y, g: (None,),
    cost=0,
)


def detach(x: Node) -> Node:
    """The same value, but derivatives stop here."""
    return x if x.op is DETACH else make(DETACH, (x,))


def _gradient_infer(sources: tuple[Node, ...], attributes: Any) -> Typed:
    loss, wrt = sources
    if loss.shape != ():
        raise ShapeError(f"gradient: of a scalar only, got shape {loss.shape}")
    if loss.dtype.kind != "f" or wrt.dtype.kind != "f":
        raise DTypeError(f"gradient: needs floating dtypes, got {loss.dtype} and {wrt.dtype}")
    return wrt.shape, wrt.dtype


def _gradient_value(attributes: Any, *arrays: Array) -> Array:
    raise ValueError("a gradient is expanded (autodiff.expand) before it is evaluated")


GRADIENT = Primitive(
    "gradient",
    "marker",
    r"\frac{\partial L}{\partial x}",
    _gradient_infer,
    _gradient_value,
)


def gradient(loss: Node, wrt: Node) -> Node:
    """The derivative of a scalar, as one node that `autodiff.expand` works out later."""
    return make(GRADIENT, (loss, wrt))
