"""The functions of tensors as methods and operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glubina.tensor import (
    comparison,
    elementwise,
    indexing,
    inplace,
    linear,
    random,
    reductions,
    shaping,
)
from glubina.tensor.base import TensorBase
from glubina.tensor.convert import Operand

if TYPE_CHECKING:
    from glubina.tensor.handle import Tensor


class Casts(TensorBase):
    """Methods that are named like Python's types."""

    __slots__ = ()

    def float(self: Tensor) -> Tensor:  # type: ignore[misc]
        """As float32."""
        return self.astype("float32", copy=False)

    def double(self: Tensor) -> Tensor:  # type: ignore[misc]
        """As float64."""
        return self.astype("float64", copy=False)

    def long(self: Tensor) -> Tensor:  # type: ignore[misc]
        """As int64."""
        return self.astype("int64", copy=False)

    def int(self: Tensor) -> Tensor:  # type: ignore[misc]
        """As int32."""
        return self.astype("int32", copy=False)

    def bool(self: Tensor) -> Tensor:  # type: ignore[misc]
        """As booleans: where the numbers are not zero."""
        return self.astype("bool", copy=False)


def _reflected_subtract(self: Operand, other: Operand) -> Tensor:
    return elementwise.subtract(other, self)


def _reflected_divide(self: Operand, other: Operand) -> Tensor:
    return elementwise.divide(other, self)


def _reflected_floor_divide(self: Operand, other: Operand) -> Tensor:
    return elementwise.floor_divide(other, self)


def _reflected_remainder(self: Operand, other: Operand) -> Tensor:
    return elementwise.remainder(other, self)


def _reflected_pow(self: Operand, other: Operand) -> Tensor:
    return elementwise.pow(other, self)


def _reflected_matmul(self: Operand, other: Operand) -> Tensor:
    return linear.matmul(other, self)


def _view(self: Operand, *shape: int) -> Tensor:
    """The same elements under another shape (`reshape`; tensors are never views)."""
    return shaping.reshape(self, *shape)


class Methods(Casts):
    """Operators and methods, each the function of the same name with the tensor first."""

    __slots__ = ()

    __add__ = __radd__ = add = elementwise.add
    __sub__ = sub = subtract = elementwise.subtract
    __rsub__ = _reflected_subtract
    __mul__ = __rmul__ = mul = multiply = elementwise.multiply
    __truediv__ = div = divide = elementwise.divide
    __rtruediv__ = _reflected_divide
    __floordiv__ = floor_divide = elementwise.floor_divide
    __rfloordiv__ = _reflected_floor_divide
    __mod__ = remainder = elementwise.remainder
    __rmod__ = _reflected_remainder
    __pow__ = pow = elementwise.pow
    __rpow__ = _reflected_pow
    __matmul__ = matmul = mm = bmm = linear.matmul
    __rmatmul__ = _reflected_matmul
    __neg__ = neg = negative = elementwise.negative
    __pos__ = elementwise.positive
    __abs__ = abs = absolute = elementwise.absolute
    __invert__ = comparison.bitwise_invert
    __and__ = __rand__ = comparison.bitwise_and
    __or__ = __ror__ = comparison.bitwise_or
    __xor__ = __rxor__ = comparison.bitwise_xor
    __lshift__ = comparison.bitwise_left_shift
    __rshift__ = comparison.bitwise_right_shift
    __eq__ = eq = equal = comparison.equal  # type: ignore[assignment]
    __ne__ = ne = not_equal = comparison.not_equal  # type: ignore[assignment]
    __lt__ = lt = less = comparison.less
    __le__ = le = less_equal = comparison.less_equal
    __gt__ = gt = greater = comparison.greater
    __ge__ = ge = greater_equal = comparison.greater_equal
    __hash__ = object.__hash__
    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem
    __iadd__ = add_ = inplace.add_
    __isub__ = sub_ = subtract_ = inplace.sub_
    __imul__ = mul_ = multiply_ = inplace.mul_
    __itruediv__ = div_ = divide_ = inplace.div_
    __ipow__ = pow_ = inplace.pow_

    exp = elementwise.exp
    expm1 = elementwise.expm1
    log = elementwise.log
    log1p = elementwise.log1p
    log2 = elementwise.log2
    log10 = elementwise.log10
    sqrt = elementwise.sqrt
    rsqrt = elementwise.rsqrt
    reciprocal = elementwise.reciprocal
    square = elementwise.square
    sin = elementwise.sin
    cos = elementwise.cos
    tan = elementwise.tan
    tanh = elementwise.tanh
    sinh = elementwise.sinh
    cosh = elementwise.cosh
    erf = elementwise.erf
    sigmoid = elementwise.sigmoid
    relu = elementwise.relu
    sign = elementwise.sign
    floor = elementwise.floor
    ceil = elementwise.ceil
    round = elementwise.round
    trunc = elementwise.trunc
    maximum = elementwise.maximum
    minimum = elementwise.minimum
    logical_not = comparison.logical_not
    logical_and = comparison.logical_and
    logical_or = comparison.logical_or
    logical_xor = comparison.logical_xor
    isnan = comparison.isnan
    isinf = comparison.isinf
    isfinite = comparison.isfinite
    clip = clamp = comparison.clip

    sum = reductions.sum
    prod = reductions.prod
    mean = reductions.mean
    var = reductions.var
    std = reductions.std
    max = amax = reductions.max
    min = amin = reductions.min
    all = reductions.all
    any = reductions.any
    argmax = reductions.argmax
    argmin = reductions.argmin
    count_nonzero = reductions.count_nonzero
    logsumexp = reductions.logsumexp
    softmax = reductions.softmax
    log_softmax = reductions.log_softmax
    cumulative_sum = cumsum = reductions.cumulative_sum

    dot = linear.dot
    outer = linear.outer
    tensordot = linear.tensordot
    vecdot = linear.vecdot

    reshape = shaping.reshape
    view = _view
    flatten = ravel = shaping.flatten
    permute = permute_dims = shaping.permute_dims
    transpose = shaping.transpose
    t = shaping.transpose
    swapaxes = shaping.swapaxes
    moveaxis = shaping.moveaxis
    squeeze = shaping.squeeze
    unsqueeze = expand_dims = shaping.expand_dims
    broadcast_to = expand = shaping.broadcast_to
    split = shaping.split
    unstack = unbind = shaping.unstack
    flip = shaping.flip
    roll = shaping.roll
    tile = shaping.tile
    repeat = shaping.repeat
    tril = shaping.tril
    triu = shaping.triu

    take = indexing.take
    take_along_axis = gather = indexing.take_along_axis
    index_add = indexing.index_add
    masked_select = indexing.masked_select
    nonzero = indexing.nonzero
    sort = indexing.sort
    argsort = indexing.argsort

    copy_ = inplace.copy_
    fill_ = inplace.fill_
    zero_ = inplace.zero_
    clamp_ = clip_ = inplace.clamp_
    normal_ = random.normal_
    uniform_ = random.uniform_
    bernoulli_ = random.bernoulli_


__all__ = ["Methods"]
