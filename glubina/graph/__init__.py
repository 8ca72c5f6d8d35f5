"""The one representation of a computation: a graph of few primitives."""

from __future__ import annotations

from glubina.graph import ops
from glubina.graph.autodiff import expand, gradients
from glubina.graph.errors import DTypeError, GraphError, IndexRangeError, ShapeError
from glubina.graph.interpreter import interpret
from glubina.graph.node import Node, Primitive, topological
from glubina.graph.simplify import simplify
from glubina.graph.verify import verify

__all__ = [
    "DTypeError",
    "GraphError",
    "IndexRangeError",
    "Node",
    "Primitive",
    "ShapeError",
    "expand",
    "gradients",
    "interpret",
    "ops",
    "simplify",
    "topological",
    "verify",
]
