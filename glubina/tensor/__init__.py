"""The tensor a user holds: the array API, derivatives, randomness, compiled functions."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from glubina.tensor import errors
from glubina.tensor.compile import compile
from glubina.tensor.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    meshgrid,
    one_hot,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from glubina.tensor.elementwise import (
    absolute,
    add,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    pow,
    reciprocal,
    relu,
    remainder,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)
from glubina.tensor.functional import grad, value_and_grad
from glubina.tensor.handle import Tensor
from glubina.tensor.indexing import (
    argsort,
    index_add,
    masked_select,
    nonzero,
    sort,
    take,
    take_along_axis,
    unique_values,
)
from glubina.tensor.linear import dot, matmul, outer, tensordot, vecdot
from glubina.tensor.mode import enable_grad, is_grad_enabled, no_grad
from glubina.tensor.promotion import (
    bool_,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from glubina.tensor.random import (
    Generator,
    bernoulli,
    default_generator,
    manual_seed,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from glubina.tensor.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumulative_sum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from glubina.tensor.shaping import (
    broadcast_arrays,
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    moveaxis,
    pad,
    permute_dims,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    tril,
    triu,
    unstack,
)
from glubina.tensor.threads import get_num_threads, set_num_threads

abs = absolute
astype = Tensor.astype
cat = concat
cumsum = cumulative_sum
unsqueeze = expand_dims

__all__ = [name for name in globals() if not name.startswith("_") and name != "annotations"]


class _CallableModule(ModuleType):
    """This room and the function `gl.tensor` bear one name, so the room can be called."""

    def __call__(self, data: Any, dtype: object = None, *, requires_grad: bool = False) -> Tensor:
        return tensor(data, dtype, requires_grad=requires_grad)


sys.modules[__name__].__class__ = _CallableModule
