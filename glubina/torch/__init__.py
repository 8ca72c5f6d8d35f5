"""PyTorch's names over Glubina's engine: `import glubina.torch as torch`.

Names, argument order, `dim=` and `keepdim=`, dtypes, the channels-first layout of images and the
layouts of weights are PyTorch's; what runs is Glubina. See docs/torch.md for what differs.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from glubina.tensor import get_num_threads as get_num_threads
from glubina.tensor import manual_seed as _seed
from glubina.tensor import set_num_threads as set_num_threads
from glubina.tensor.mode import enable_grad as enable_grad
from glubina.tensor.mode import is_grad_enabled as is_grad_enabled
from glubina.tensor.mode import no_grad as no_grad
from glubina.tensor.promotion import (
    bool_,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from glubina.tensor.random import Generator as Generator
from glubina.torch import autograd as autograd
from glubina.torch import creation, elementwise, methods, more, moving, products, reductions
from glubina.torch import cuda as cuda
from glubina.torch import linalg as linalg
from glubina.torch.autograd import set_grad_enabled as set_grad_enabled
from glubina.torch.device import device as device
from glubina.torch.saving import load as load
from glubina.torch.saving import save as save
from glubina.torch.tensor import Size as Size
from glubina.torch.tensor import Tensor as Tensor
from glubina.torch.tensor import typed

if TYPE_CHECKING:
    from glubina.torch import nn as nn
    from glubina.torch import optim as optim
    from glubina.torch import utils as utils

methods.install()

FloatTensor, DoubleTensor = typed("float32"), typed("float64")
LongTensor, IntTensor, ShortTensor = typed("int64"), typed("int32"), typed("int16")
CharTensor, ByteTensor, BoolTensor = typed("int8"), typed("uint8"), typed("bool")

inference_mode = no_grad
dtype = type(float32)

_NUMBERS = {"pi": 3.141592653589793, "e": 2.718281828459045, "inf": float("inf")}
_DTYPES = {
    "float": float32,
    "double": float64,
    "long": int64,
    "int": int32,
    "short": int16,
    "bool": bool_,
    "float32": float32,
    "float64": float64,
    "int8": int8,
    "int16": int16,
    "int32": int32,
    "int64": int64,
    "uint8": uint8,
    "uint16": uint16,
    "uint32": uint32,
    "uint64": uint64,
}
_FUNCTIONS: dict[str, Any] = {
    **elementwise.FUNCTIONS,
    **reductions.FUNCTIONS,
    **moving.FUNCTIONS,
    **products.FUNCTIONS,
    **more.FUNCTIONS,
    **creation.FUNCTIONS,
}
_ROOMS = ("nn", "optim", "utils")
_NONE = {
    **dict.fromkeys(("float16", "half", "bfloat16"), "tensors are float32 or float64 here"),
    **dict.fromkeys(("complex64", "complex128"), "there are no complex tensors here"),
    "jit": "nothing has to be scripted: `gl.compile` records a function",
}


def manual_seed(seed: int) -> Generator:
    """Begin the random numbers anew from a seed; returns the generator."""
    from glubina.tensor.random import default_generator

    _seed(seed)
    return default_generator


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor."""
    return isinstance(value, Tensor)


def numel(input: Tensor) -> int:
    """The number of elements."""
    return input.numel()


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return input.dtype.kind == "f"


def det(input: Tensor) -> Any:
    """The determinant of a matrix (without a derivative)."""
    return linalg.det(input)


def inverse(input: Tensor) -> Any:
    """The inverse of a matrix (without a derivative)."""
    return linalg.inv(input)


def get_default_dtype() -> Any:
    """float32."""
    return float32


def set_default_dtype(dtype: Any) -> None:
    """Only float32 is possible: give `dtype=` where float64 is wanted."""
    if dtype != float32:
        raise RuntimeError(
            f"set_default_dtype: the default is float32 and stays so; give dtype={dtype} where "
            "a tensor is made, or call .double() on the module"
        )


def set_printoptions(**options: Any) -> None:
    """Accepted and without effect."""


def clone(input: Tensor) -> Any:
    """A tensor of its own with the same value; derivatives go through."""
    return input.clone()


def detach(input: Tensor) -> Any:
    """The same value, at which derivatives stop."""
    return input.detach()


def compile(model: Any, **options: Any) -> Any:
    """The model itself: everything here is compiled when it runs."""
    return model


globals().update(_FUNCTIONS)
globals().update(_NUMBERS)
nan = float("nan")
globals().update(_DTYPES)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"glubina.torch.{name}")
    if name in _NONE:
        raise AttributeError(f"glubina.torch has no {name}: {_NONE[name]}")
    near = difflib.get_close_matches(name, [*_FUNCTIONS, *_DTYPES], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise AttributeError(f"glubina.torch has no {name!r}{hint}")


__all__ = [
    *("Tensor", "Size", "device", "FloatTensor", "DoubleTensor", "LongTensor", "IntTensor"),
    *("ShortTensor", "CharTensor", "ByteTensor", "BoolTensor", "Generator", "autograd", "cuda"),
    *("linalg", "no_grad", "enable_grad", "set_grad_enabled", "is_grad_enabled", "manual_seed"),
    *("inference_mode", "is_tensor", "save", "load", "compile", "numel", "nan", "dtype"),
    *_FUNCTIONS,
    *_NUMBERS,
    *_DTYPES,
]
