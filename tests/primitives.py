"""For every primitive: a strategy that draws a node of it over fresh inputs, and their arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from strategies import (
    BOOL,
    F32,
    F64,
    I32,
    I64,
    U8,
    U32,
    U64,
    Array,
    Draw,
    conv_geometries,
    factorised,
    numbers,
    pool_geometries,
    ranges,
    shapes,
    subsets,
)

from glubina.graph import Node, ops
from glubina.graph.node import make
from glubina.graph.ops.contraction import CONV_FILTER, FilterAttributes


@dataclass
class Case:
    """A node, and an array for each of the inputs that it was built on."""

    node: Node
    bindings: dict[Node, Array] = field(default_factory=dict)

    @property
    def floats(self) -> list[Node]:
        """The inputs that have derivatives."""
        return [node for node in self.bindings if node.dtype.kind == "f"]


class Inputs:
    """Makes input nodes and remembers the arrays drawn for them."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.bindings: dict[Node, Array] = {}

    def bind(self, array: Array) -> Node:
        """An input that has this value."""
        node = ops.input(array.shape, array.dtype)
        self.bindings[node] = array
        return node

    def numbers(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], low: float = -2, high: float = 2
    ) -> Node:
        """An input with numbers from an interval, no two alike if they are floating."""
        return self.bind(self.draw(numbers(shape, dtype, low, high)))


_DOMAINS: dict[str, tuple[float, float]] = {
    "log": (0.1, 4),
    "log1p": (-0.9, 4),
    "sqrt": (0.1, 4),
    "exp": (-3, 3),
    "erf": (-2.5, 2.5),
    "sigmoid": (-6, 6),
    "tanh": (-3, 3),
    "sin": (-7, 7),
    "cos": (-7, 7),
    "floor": (-4, 4),
    "ceil": (-4, 4),
    "round": (-4, 4),
}

UNARY = (
    *("negative", "exp", "log", "log1p", "expm1", "sin", "cos", "tanh", "sqrt", "erf"),
    *("sigmoid", "relu", "absolute", "sign", "floor", "ceil", "round", "isnan"),
)
BINARY = (
    *("add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "remainder"),
    *("floor_divide", "less", "less_equal", "equal", "not_equal"),
)
LOGICAL = ("logical_not", "logical_and", "logical_or", "logical_xor")
BITWISE = (
    *("bitwise_not", "bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right"),
)


def _unary(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    low, high = _DOMAINS.get(name, (-2, 2))
    node: Node = getattr(ops, name)(inputs.numbers(inputs.draw(shapes()), dtype, low, high))
    return node


def _binary(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes())
    if name in ("divide", "power", "remainder", "floor_divide"):
        x = inputs.numbers(shape, dtype, 0.2 if name == "power" else -2, 3)
        y = inputs.numbers(shape, dtype, 1, 3)
    else:  # out of one array, so that floating numbers are never equal unless rounded
        both = inputs.draw(numbers((2, *shape), dtype, -2, 3))
        compared = name.startswith(("less", "equal", "not"))
        x, y = (inputs.bind(a) for a in (np.rint(both) if compared else both))
    node: Node = getattr(ops, name)(x, y)
    return node


def _logical(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes())
    count = 1 if name == "logical_not" else 2
    node: Node = getattr(ops, name)(*[inputs.numbers(shape, BOOL) for _ in range(count)])
    return node


def _bitwise(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape, dtype = inputs.draw(shapes()), inputs.draw(st.sampled_from((U8, U32, U64, I32, I64)))
    x = inputs.numbers(shape, dtype, -100, 200)
    if name == "bitwise_not":
        return ops.bitwise_not(x)
    top = 8 * dtype.itemsize - 1 if name.startswith("shift") else 200
    node: Node = getattr(ops, name)(x, inputs.numbers(shape, dtype, 0, top))
    return node


def _where(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes())
    condition = inputs.numbers(shape, BOOL)
    return ops.where(condition, inputs.numbers(shape, dtype), inputs.numbers(shape, dtype))


def _cast(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    target = inputs.draw(st.sampled_from([d for d in (F32, F64, I32, I64, U8) if d != dtype]))
    return ops.cast(inputs.numbers(inputs.draw(shapes()), dtype, 0, 100), target)


def _reshape(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes()), dtype)
    return ops.reshape(x, inputs.draw(factorised(x.size)))


def _transpose(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes()), dtype)
    return ops.transpose(x, tuple(inputs.draw(st.permutations(range(len(x.shape))))))


def _broadcast(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes())
    skipped = inputs.draw(st.integers(0, len(shape)))
    kept = tuple(inputs.draw(st.sampled_from((1, n))) for n in shape[skipped:])
    return ops.broadcast(inputs.numbers(kept, dtype), shape)


def _reduction(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes(min_rank=1)), dtype)
    node: Node = getattr(ops, name)(x, inputs.draw(subsets(len(x.shape))))
    return node


def _squared_deviations(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    return _reduction("squared_deviations", inputs, dtype if dtype.kind == "f" else F64)


def _argmax(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes(min_rank=1)), dtype)
    return ops.argmax(x, inputs.draw(st.integers(0, len(x.shape) - 1)))


def _slice(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes(min_rank=1)), dtype)
    picks = [inputs.draw(ranges(extent)) for extent in x.shape]
    return ops.slice(x, *zip(*picks, strict=True))


def _pad(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes(min_rank=1, max_rank=3)), dtype)
    widths = st.lists(st.integers(0, 2), min_size=len(x.shape), max_size=len(x.shape)).map(tuple)
    return ops.pad(x, inputs.draw(widths), inputs.draw(widths), inputs.draw(widths))


def _concat(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes(min_rank=1, max_rank=3))
    axis = inputs.draw(st.integers(0, len(shape) - 1))
    extents = inputs.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    parts = [inputs.numbers((*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in extents]
    return ops.concat(parts, axis)


def _iota(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes(min_rank=1))
    return ops.iota(shape, inputs.draw(st.integers(0, len(shape) - 1)), dtype)


def _constant(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    return ops.constant(inputs.draw(st.sampled_from((0, 1, 3))), dtype)


def _random_bits(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    key = inputs.bind(np.array(inputs.draw(st.tuples(*[st.integers(0, 2**64 - 1)] * 2)), U64))
    return ops.random_bits(key, inputs.draw(st.integers(0, 99)), inputs.draw(shapes()))


def _matmul(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    batch = inputs.draw(shapes(max_rank=2, max_extent=3))
    m, k, n = (inputs.draw(st.integers(1, 6)) for _ in range(3))
    return ops.matmul(inputs.numbers((*batch, m, k), dtype), inputs.numbers((*batch, k, n), dtype))


def _channels(inputs: Inputs, groups: int) -> tuple[int, int]:
    return inputs.draw(st.integers(1, 2)), groups * inputs.draw(st.integers(1, 2))


def _conv(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    rank = inputs.draw(st.sampled_from((1, 1, 2, 2, 2, 3)))
    geometry, spatial, window = inputs.draw(conv_geometries(rank))
    cin, cout = _channels(inputs, geometry.groups)
    x = inputs.numbers((inputs.draw(st.integers(1, 2)), *spatial, cin * geometry.groups), dtype)
    return ops.conv(x, inputs.numbers((*window, cin, cout), dtype), geometry)


def _conv_filter(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    y = _conv(inputs, dtype)
    x, w = y.sources
    del inputs.bindings[w]
    a = FilterAttributes(y.attributes, tuple(w.shape[:-2]))
    return make(CONV_FILTER, (x, inputs.numbers(y.shape, dtype)), a)


def _image(inputs: Inputs, dtype: np.dtype[Any]) -> tuple[Node, ops.WindowAttributes]:
    geometry, spatial = inputs.draw(pool_geometries(inputs.draw(st.integers(1, 3))))
    shape = (inputs.draw(st.integers(1, 2)), *spatial, inputs.draw(st.integers(1, 3)))
    return inputs.numbers(shape, dtype), geometry


def _pool(name: str, inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    node: Node = getattr(ops, name)(*_image(inputs, dtype))
    return node


def _pool_gather(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x, geometry = _image(inputs, dtype)
    other = inputs.numbers(x.shape, dtype)
    return ops.pool_gather(other, ops.pool_index(x, geometry), geometry)


def _pool_scatter(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x, geometry = _image(inputs, dtype)
    index = ops.pool_index(x, geometry)
    return ops.pool_scatter(inputs.numbers(index.shape, dtype), index, geometry, x.shape[1:-1])


def _indices(inputs: Inputs, shape: tuple[int, ...], extent: int) -> Node:
    dtype = inputs.draw(st.sampled_from((I32, I64, U8, U64)))
    return inputs.numbers(shape, dtype, 0, extent - 1)


def _take(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    x = inputs.numbers(inputs.draw(shapes(min_rank=1, max_rank=3)), dtype)
    axis = inputs.draw(st.integers(0, len(x.shape) - 1))
    return ops.take(x, _indices(inputs, inputs.draw(shapes(max_rank=2)), x.shape[axis]), axis)


def _scatter_add(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    shape = inputs.draw(shapes(min_rank=1, max_rank=3))
    axis = inputs.draw(st.integers(0, len(shape) - 1))
    indices = _indices(inputs, inputs.draw(shapes(max_rank=2)), shape[axis])
    updates = inputs.numbers((*shape[:axis], *indices.shape, *shape[axis + 1 :]), dtype)
    return ops.scatter_add(indices, updates, shape, axis)


def _detach(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    return ops.detach(inputs.numbers(inputs.draw(shapes()), dtype))


def _attention_sources(
    inputs: Inputs, dtype: np.dtype[Any]
) -> tuple[ops.AttentionAttributes, list[Node]]:
    b, t, h, s, d, e = (inputs.draw(st.integers(1, n)) for n in (2, 5, 2, 5, 4, 4))
    nodes = [inputs.numbers(x, dtype) for x in ((b, t, h, d), (b, s, h, d), (b, s, h, e))]
    kind = inputs.draw(st.sampled_from((None, BOOL, dtype)))
    if kind is not None:
        mask = inputs.draw(numbers((b, h, t, s), kind))
        mask[..., 0] = 1  # each query sees a key: the total of none is infinite
        nodes.append(inputs.bind(mask))
    chance = inputs.draw(st.sampled_from((None, 1 << 31)))
    if chance is not None:
        nodes.append(inputs.bind(np.array([5, 6], U64)))
    causal = inputs.draw(st.booleans())
    return ops.AttentionAttributes(0.6, causal, kind is not None, chance, 2.0, 3), nodes


def _attention(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    a, sources = _attention_sources(inputs, dtype)
    return ops.attention_of(a, *sources)


def _attention_total(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    return ops.attention_total(_attention(inputs, dtype))


def _attention_gradient(inputs: Inputs, dtype: np.dtype[Any]) -> Node:
    """Of any results and totals: the formula holds for those that fit, and is a function of all."""
    a, sources = _attention_sources(inputs, dtype)
    (b, t, h, _), e = sources[0].shape, sources[2].shape[3]
    shapes = (b, t, h, e), (b, h, t), (b, t, h, e)
    rest = [inputs.numbers(shape, dtype, 0.5, 2) for shape in shapes]
    which = inputs.draw(st.sampled_from((0, 1, 2)))
    return ops.attention_gradient(a, which, *sources, *rest)


def _named(make: Callable[..., Node], *names: str) -> dict[str, Callable[..., Node]]:
    return {name: lambda inputs, dtype, name=name: make(name, inputs, dtype) for name in names}


_CASES: dict[str, Callable[[Inputs, np.dtype[Any]], Node]] = {
    **_named(_unary, *UNARY),
    **_named(_binary, *BINARY),
    **_named(_logical, *LOGICAL),
    **_named(_bitwise, *BITWISE),
    "where": _where,
    "cast": _cast,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast": _broadcast,
    **_named(_reduction, "sum", "max", "prod"),
    "squared_deviations": _squared_deviations,
    "argmax": _argmax,
    "slice": _slice,
    "pad": _pad,
    "concat": _concat,
    "iota": _iota,
    "constant": _constant,
    "random_bits": _random_bits,
    "matmul": _matmul,
    "conv": _conv,
    "conv_filter": _conv_filter,
    **_named(_pool, "pool_max", "pool_index", "pool_sum"),
    "pool_gather": _pool_gather,
    "pool_scatter": _pool_scatter,
    "take": _take,
    "scatter_add": _scatter_add,
    "attention": _attention,
    "attention_total": _attention_total,
    "attention_gradient": _attention_gradient,
    "detach": _detach,
}

PRIMITIVES = tuple(_CASES)
"""Every primitive that has a value of its own (all but `input` and `gradient`)."""


@st.composite
def cases(draw: Draw, name: str, dtype: np.dtype[Any] = F64) -> Case:
    """A node of the primitive over fresh inputs, with arrays for them."""
    inputs = Inputs(draw)
    node = _CASES[name](inputs, dtype)
    return Case(node, inputs.bindings)
