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
from glubina.torch import backends as backends
from glubina.torch import (
    creation,
    elementwise,
    further,
    methods,
    more,
    moving,
    products,
    reductions,
)
from glubina.torch import cuda as cuda
from glubina.torch import linalg as linalg
from glubina.torch.autograd import set_grad_enabled as set_grad_enabled
from glubina.torch.backends import accelerator as accelerator
from glubina.torch.device import device as device
from glubina.torch.device import on_cpu
from glubina.torch.printing import set_printoptions as set_printoptions
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
Tensor.__module__ = Size.__module__ = device.__module__ = "glubina.torch"

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
    **further.FUNCTIONS,
    **creation.FUNCTIONS,
}
_ROOMS = ("nn", "optim", "utils", "func", "distributions", "special")
_OF_NETWORKS = (
    *("dropout", "embedding", "conv1d", "conv2d", "conv3d", "conv_transpose1d"),
    *("conv_transpose2d", "conv_transpose3d", "max_pool1d", "max_pool2d", "avg_pool1d"),
    *("adaptive_avg_pool1d", "selu", "celu", "prelu", "threshold", "layer_norm", "group_norm"),
    *("batch_norm", "instance_norm", "rms_norm", "cosine_similarity", "pairwise_distance"),
    *("pixel_shuffle", "pixel_unshuffle", "bilinear", "kl_div", "hardshrink", "alpha_dropout"),
    *("binary_cross_entropy_with_logits", "cosine_embedding_loss", "triplet_margin_loss"),
    *("margin_ranking_loss", "hinge_embedding_loss", "poisson_nll_loss", "embedding_bag"),
)
_NONE = {
    **dict.fromkeys(("float16", "half", "bfloat16"), "tensors are float32 or float64 here"),
    **dict.fromkeys(("complex64", "complex128"), "there are no complex tensors here"),
    "jit": "nothing has to be scripted: `gl.compile` records a function",
    "amp": "there is no mixed precision here: leave autocast and GradScaler out",
    "quantization": "there are no quantised layers here",
    "onnx": "there is no export here; state dicts are safetensors files",
    "multiprocessing": "there is one process here: threads share each mini-batch",
    "distributed": "there is one process here",
    "profiler": "set GLUBINA_DEBUG=times, or use `gl.debug`",
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


def set_default_device(device: Any) -> None:
    """The default is the CPU and stays so; RuntimeError for another one."""
    on_cpu(device)


def get_default_device() -> Any:
    """The CPU."""
    return device("cpu")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results never depend on the number of threads here."""


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted: float32 products are of float32 precision."""


def set_default_tensor_type(kind: Any) -> None:
    """Only float32 is possible; see `set_default_dtype`."""
    name = kind if isinstance(kind, str) else kind.__name__
    if "cuda" in name:
        on_cpu("cuda")
    set_default_dtype(float64 if "Double" in name else float32)


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


def get_rng_state() -> Any:
    """Where the random numbers stand, for `set_rng_state`."""
    from glubina.tensor.random import default_generator

    return _FUNCTIONS["tensor"](list(default_generator.get_state()), dtype=uint64)


def set_rng_state(new_state: Any) -> None:
    """Go back to where `get_rng_state` was called."""
    from glubina.tensor.random import default_generator

    seed, counter = (int(v) for v in new_state.tolist())
    default_generator.set_state((seed, counter))


def seed() -> int:
    """Begin the random numbers anew from a seed that nobody chose; returns it."""
    import secrets

    chosen = secrets.randbits(31)
    manual_seed(chosen)
    return chosen


def finfo(type: Any = float32) -> Any:
    """The limits of a floating dtype, as in NumPy."""
    import numpy as np

    return np.finfo(type)


def iinfo(type: Any) -> Any:
    """The limits of an integer dtype, as in NumPy."""
    import numpy as np

    return np.iinfo(type)


def result_type(first: Any, second: Any) -> Any:
    """The dtype that an operation of the two gives."""
    from glubina.tensor import result_type as of

    return of(first, second)


def promote_types(type1: Any, type2: Any) -> Any:
    """The dtype that tensors of these dtypes have together."""
    from glubina.tensor import result_type as of

    return of(type1, type2)


def _range(start: Any = 0, end: Any = None, step: Any = 1, **options: Any) -> Any:
    """The numbers start, start + step, ... up to end, which counts too (old)."""
    first, last = (0, start) if end is None else (start, end)
    options.setdefault("dtype", float32)
    return _FUNCTIONS["arange"](first, last + step / 2, step, **options)


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
mps = backends.mps_room
nan = float("nan")
newaxis = None
__version__ = "2.0.0+glubina"
globals().update(_DTYPES)


# how numbers lie in memory is the compiler's concern: these are taken by `to` and say nothing
channels_last, channels_last_3d = "channels_last", "channels_last_3d"
contiguous_format, preserve_format = "contiguous_format", "preserve_format"

_FUNCTIONS |= {"spmm": _FUNCTIONS["mm"]}  # there are dense tensors only
_FUNCTIONS |= {"concatenate": _FUNCTIONS["cat"], "moveaxis": _FUNCTIONS["movedim"]}
_FUNCTIONS |= {"range": _range, "scalar_tensor": _FUNCTIONS["tensor"]}
globals().update(_FUNCTIONS)


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"glubina.torch.{name}")
    if name in _OF_NETWORKS:
        return getattr(importlib.import_module("glubina.torch.nn.functional"), name)
    if name == "vmap":
        return importlib.import_module("glubina.torch.func").vmap
    if name.endswith("_") and callable(getattr(Tensor, name, None)):
        return getattr(Tensor, name)
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
