"""`grad_fn`: what made a tensor, under PyTorch's names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import glubina.tensor as gl

_NODES = {"subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "matmul": "Mm"}
_NODES |= {"power": "Pow", "transpose": "Permute", "reshape": "View", "broadcast": "Expand"}
_NODES |= {
    "gradient": "Mul",
    "concat": "Cat",
    "take": "Index",
    "contract": "Mm",
    "conv": "Convolution",
}
_NAMES = {
    "subtract": "Sub", "multiply": "Mul", "divide": "Div", "true_divide": "Div", "negative": "Neg",
    "absolute": "Abs", "mm": "Mm", "max_pool1d": "MaxPool2DWithIndices", "concat": "Cat",
    "max_pool2d": "MaxPool2DWithIndices", "max_pool3d": "MaxPool3DWithIndices",
    "avg_pool2d": "AvgPool2D", "flatten": "View", "reshape": "View", "view_as": "View",
    "swapaxes": "Transpose", "norm": "LinalgVectorNorm", "batch_norm": "NativeBatchNorm",
    "layer_norm": "NativeLayerNorm", "group_norm": "NativeGroupNorm", "dropout": "Mul",
    "cross_entropy": "NllLoss", "nll_loss": "NllLoss", "l1_loss": "Mean", "conv1d": "Convolution",
    "conv2d": "Convolution", "conv3d": "Convolution", "conv_transpose1d": "Convolution",
    "conv_transpose2d": "Convolution", "conv_transpose3d": "Convolution", "cdist": "CdistBackward",
    "repeat_interleave": "IndexSelect", "expand_as": "Expand", "hstack": "Cat", "vstack": "Cat",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2D", "clip": "Clamp", "swapdims": "Transpose",
    "clamp_min": "ClampMin", "clamp_max": "ClampMax", "ger": "Mul", "outer": "Mul",
    "square": "Pow", "baddbmm": "Baddbmm", "logsumexp": "Logsumexp", "logsigmoid": "LogSigmoid",
    "chunk": "Split", "einsum": "Bmm", "pixel_shuffle": "PixelShuffle", "rnn": "Stack",
    "binary_cross_entropy_with_logits": "BinaryCrossEntropyWithLogits",
}  # fmt: skip
_BY_DIM = ("sum", "mean", "prod", "squeeze")
_ARRAY_API = (("axis", "dim"), ("keepdims", "keepdim"))
_PRODUCTS = {(1, 1): "Dot", (2, 1): "Mv", (2, 2): "Mm", (1, 2): "Squeeze", (3, 3): "Bmm"}


class GradFn:
    """What made a tensor, for reading: its name and where its inputs came from."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def name(self) -> str:
        """As PyTorch names it: `AddBackward0`."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Of each input what made it; `AccumulateGrad` of leaves, None of constants."""
        return tuple((_of_source(s), 0) for s in self._node.sources)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


@functools.cache
def _kind(name: str) -> type[GradFn]:
    return type(name, (GradFn,), {"__module__": "glubina.torch"})


def _of_source(node: Any) -> GradFn | None:
    if node.sources:
        return grad_fn(node, None)
    owner = getattr(node, "owner", None)
    if owner is None or owner() is None:
        return None
    found = _kind("AccumulateGrad")(node)
    found.variable = owner()  # type: ignore[attr-defined]
    return found


def grad_fn(node: Any, maker: str | None) -> GradFn:
    """The description of a node; `maker` is the name that its function left."""
    if maker is None:
        name = node.op.name
        maker = _NODES.get(name) or "".join(p.capitalize() for p in name.split("_"))
        maker += "Backward0"
    return _kind(maker)(node)


LAYERS = {
    "ReLU": "Relu", "LeakyReLU": "LeakyRelu", "ELU": "Elu", "GELU": "Gelu", "SiLU": "Silu",
    "Hardtanh": "Hardtanh", "Dropout": "Mul", "Flatten": "View", "MSELoss": "MseLoss",
    "CrossEntropyLoss": "NllLoss", "NLLLoss": "NllLoss", "BCELoss": "BinaryCrossEntropy",
    "BCEWithLogitsLoss": "BinaryCrossEntropyWithLogits", "L1Loss": "Mean", "PReLU": "PreluKernel",
    "BatchNorm1d": "NativeBatchNorm", "BatchNorm2d": "NativeBatchNorm", "GroupNorm":
    "NativeGroupNorm", "LayerNorm": "NativeLayerNorm", "MaxPool1d": "Squeeze",
    "MaxPool2d": "MaxPool2DWithIndices", "AvgPool2d": "AvgPool2D", "KLDivLoss": "Mean",
    "AdaptiveAvgPool2d": "AdaptiveAvgPool2D", "Conv1d": "Convolution", "Conv2d": "Convolution",
    "Conv3d": "Convolution", "ConvTranspose1d": "Convolution", "ConvTranspose2d": "Convolution",
    "ConvTranspose3d": "Convolution", "ReLU6": "Hardtanh", "TripletMarginLoss": "Mean",
}  # fmt: skip
"""The derivatives of layers, where they have other names than the layers."""


def tell_layer(name: str, result: Any, given: Any) -> Any:
    """The result of a layer, which knows its maker's name from now on."""
    if isinstance(result, gl.Tensor) and result._cell.keep and result is not given:
        if name == "Linear":
            name = "Addmm" if result.ndim == 2 else "View"
        result._cell.maker = LAYERS.get(name, name) + "Backward0"
    return result


def backward_name(name: str) -> str:
    """PyTorch's name for the derivative of a function."""
    return (_NAMES.get(name) or "".join(p.capitalize() for p in name.split("_"))) + "Backward0"


def telling(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """The function, whose results know under which name `grad_fn` gives it."""
    name = name or function.__name__
    told = backward_name(name)
    with_more = told[:-1] + "1" if name in (*_BY_DIM, "clamp") else told
    alone = told[:-1] + "1" if name in ("max", "min") else told

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for numpys, torchs in _ARRAY_API:
                if numpys in kwargs:
                    kwargs[torchs] = kwargs.pop(numpys)
            if "out" in kwargs:
                return _into(kwargs.pop("out"), function(*args, **kwargs))
        result = function(*args, **kwargs)
        several = isinstance(result, tuple)
        if several and type(result).__name__ == "Found":
            kind: Any = type(result)
            result = _returned(kind, name)(*result)
        for made in result if several else (result,):
            if isinstance(made, gl.Tensor) and made._cell.keep and not (args and made is args[0]):
                more = len(args) > 1 or kwargs
                made._cell.maker = told if several else with_more if more else alone
        return result

    return call


@functools.cache
def _returned(found: Any, name: str) -> Any:
    """The pair of values and indices under the name that PyTorch prints."""

    def text(self: Any) -> str:
        parts = ",\n".join(f"{n}={v!r}" for n, v in zip(self._fields, self, strict=True))
        return f"torch.return_types.{name}(\n{parts})"

    return type(name, (found,), {"__slots__": (), "__repr__": text})


def all_telling(table: dict[str, Any]) -> dict[str, Any]:
    """A table of functions, each of them `telling`."""
    products = ("matmul",)
    return {n: telling_product(f) if n in products else telling(f, n) for n, f in table.items()}


def operator(
    function: Callable[[Any, Any], Any], name: str, number: int = 0
) -> Callable[[Any, Any], Any]:
    """An operator of two values, which tells its name."""
    told = f"{name}Backward{number}"

    def call(self: Any, other: Any) -> Any:
        result = function(self, other)
        if result is not NotImplemented and result._cell.keep:
            result._cell.maker = told
        return result

    call.__name__ = call.__qualname__ = function.__name__
    return call


def _into(out: Any, result: Any) -> Any:
    """The result kept in the tensors given as `out=`."""
    if isinstance(out, (tuple, list)):
        return type(result)(*(_into(o, r) for o, r in zip(out, result, strict=True)))
    if not isinstance(out, gl.Tensor):
        return result
    if tuple(out.shape) != tuple(result.shape):
        out.resize_(tuple(result.shape))  # type: ignore[attr-defined]
    return out.copy_(result)


def telling_product(function: Callable[..., Any]) -> Callable[..., Any]:
    """A matrix product, whose name in PyTorch depends on the numbers of axes."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            return _into(kwargs.pop("out"), function(*args, **kwargs))
        result = function(*args, **kwargs)
        if result is not NotImplemented and result._cell.keep and len(args) > 1:
            ranks = args[0].ndim, args[1].ndim
            result._cell.maker = _PRODUCTS.get(ranks, "UnsafeView") + "Backward0"
        return result

    return call


def told(result: Any, name: str) -> Any:
    """The tensor, which knows its maker's name (without `Backward0`) from now on."""
    if result._cell.keep:
        result._cell.maker = name + "Backward0"
    return result
