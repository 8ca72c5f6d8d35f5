"""`torch.nn`: layers, losses and containers with PyTorch's signatures and layouts."""

from __future__ import annotations

from typing import Any

from glubina.torch.nn import functional as functional
from glubina.torch.nn import init as init
from glubina.torch.nn import utils as utils
from glubina.torch.nn.convolution import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    LazyConv1d,
    LazyConv2d,
    LazyConv3d,
    LazyConvTranspose1d,
    LazyConvTranspose2d,
    LazyConvTranspose3d,
)
from glubina.torch.nn.layers import (
    LAYERS,
    Identity,
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
)
from glubina.torch.nn.losses import (
    CosineSimilarity,
    CrossEntropyLoss,
    Fold,
    LogSoftmax,
    NLLLoss,
    PairwiseDistance,
    Softmax,
    Softmax2d,
    Softmin,
    Unfold,
)
from glubina.torch.nn.module import Module, Parameter
from glubina.torch.nn.parallel import DataParallel

globals().update(LAYERS)

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "DataParallel",
    "Fold",
    "Identity",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LogSoftmax",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "PairwiseDistance",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Unfold",
    "functional",
    "init",
    "utils",
]
__all__ += [*LAYERS]


def __getattr__(name: str) -> Any:
    import difflib

    near = difflib.get_close_matches(name, __all__, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise AttributeError(f"glubina.torch.nn has no {name!r}{hint}")
