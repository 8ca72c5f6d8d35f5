"""Modules, layers, losses and initialisers: what a network is made of."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from glubina.graph.names import missing
from glubina.nn import constraint, functional, init, later, penalty, utils
from glubina.nn.activation import LogSoftmax, ReLU, Sigmoid, Softmax, Softmin, Tanh
from glubina.nn.adaptive import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from glubina.nn.architecture import build, describe
from glubina.nn.containers import ModuleDict, ModuleList, Sequential
from glubina.nn.convolution import Conv1d, Conv2d, Conv3d, LazyConv1d, LazyConv2d, LazyConv3d
from glubina.nn.cross_entropy import CrossEntropyLoss, NLLLoss
from glubina.nn.ctc import CTCLoss
from glubina.nn.dropout import Dropout
from glubina.nn.embedding import Embedding
from glubina.nn.errors import ArchitectureError, StateError
from glubina.nn.group_norm import GroupNorm, InstanceNorm1d, InstanceNorm2d, InstanceNorm3d, RMSNorm
from glubina.nn.linear import LazyLinear, Linear
from glubina.nn.loss import (
    GaussianNLLLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from glubina.nn.manual import Manual
from glubina.nn.margin import (
    CosineEmbeddingLoss,
    HingeEmbeddingLoss,
    HingeLoss,
    MarginRankingLoss,
    MultiMarginLoss,
    TripletMarginLoss,
)
from glubina.nn.merge import Add, Average, Bilinear, Concatenate, Maximum, Multiply
from glubina.nn.module import Module
from glubina.nn.multihead import MultiheadAttention
from glubina.nn.noise import (
    AlphaDropout,
    DropConnectLinear,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropPath,
    GaussianNoise,
)
from glubina.nn.normalisation import BatchNorm1d, BatchNorm2d, BatchNorm3d, LayerNorm
from glubina.nn.padding import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from glubina.nn.parameter import Parameter
from glubina.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from glubina.nn.positional import SinusoidalPositionalEncoding
from glubina.nn.probabilities import BCELoss, BCEWithLogitsLoss, FocalLoss, KLDivLoss
from glubina.nn.rectifiers import (
    CELU,
    ELU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Heaviside,
    LeakyReLU,
    PReLU,
    ReLU6,
    Softshrink,
    Threshold,
)
from glubina.nn.recurrent import GRU, LSTM, RNN
from glubina.nn.recurrent_cells import GRUCell, LSTMCell, RNNCell
from glubina.nn.shape import Flatten, Identity, PixelShuffle, PixelUnshuffle, Unflatten
from glubina.nn.smooth import (
    GELU,
    GLU,
    LogSigmoid,
    Mish,
    SiLU,
    Softplus,
    Softsign,
    Tanhshrink,
)
from glubina.nn.summary import Summary, summary
from glubina.nn.transformer import (
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from glubina.nn.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from glubina.nn.upsampling import Upsample

if TYPE_CHECKING:
    from glubina.nn import blocks
    from glubina.nn.distances import (
        CosineSimilarity,
        LPPool1d,
        LPPool2d,
        LPPool3d,
        PairwiseDistance,
        Softmax2d,
    )
    from glubina.nn.embedding_bag import EmbeddingBag
    from glubina.nn.folding import ChannelShuffle, Fold, Unfold
    from glubina.nn.lazy import (
        LazyBatchNorm1d,
        LazyBatchNorm2d,
        LazyBatchNorm3d,
        LazyConvTranspose1d,
        LazyConvTranspose2d,
        LazyConvTranspose3d,
        LazyInstanceNorm1d,
        LazyInstanceNorm2d,
        LazyInstanceNorm3d,
    )
    from glubina.nn.locally import LocallyConnected1d, LocallyConnected2d
    from glubina.nn.random_slope import RReLU
    from glubina.nn.recompute import Recompute
    from glubina.nn.response import LocalResponseNorm
    from glubina.nn.saving import load_model, save_model
    from glubina.nn.soft_margin import (
        MultiLabelMarginLoss,
        MultiLabelSoftMarginLoss,
        SoftMarginLoss,
        TripletMarginWithDistanceLoss,
    )
    from glubina.nn.translator import Transformer
    from glubina.nn.unpooling import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "Add",
    "AlphaDropout",
    "ArchitectureError",
    "Average",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "CELU",
    "CTCLoss",
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "Concatenate",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "DropConnectLinear",
    "DropPath",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "ELU",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "FocalLoss",
    "Fold",
    "GELU",
    "GLU",
    "GRU",
    "GRUCell",
    "GaussianNLLLoss",
    "GaussianNoise",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Heaviside",
    "HingeEmbeddingLoss",
    "HingeLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "KLDivLoss",
    "L1Loss",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "LSTM",
    "LSTMCell",
    "LayerNorm",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyInstanceNorm3d",
    "LazyLinear",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "Manual",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "Maximum",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "MultiheadAttention",
    "Multiply",
    "NLLLoss",
    "PReLU",
    "PairwiseDistance",
    "Parameter",
    "PixelShuffle",
    "PixelUnshuffle",
    "PoissonNLLLoss",
    "RMSNorm",
    "RNN",
    "RNNCell",
    "RReLU",
    "Recompute",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositionalEncoding",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "StateError",
    "Summary",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "Unflatten",
    "Unfold",
    "Upsample",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
    "blocks",
    "build",
    "constraint",
    "describe",
    "functional",
    "init",
    "load_model",
    "penalty",
    "save_model",
    "summary",
    "utils",
]


def __getattr__(name: str) -> Any:
    """What a small network does not need is loaded when it is asked for."""
    if name == "blocks":
        return importlib.import_module("glubina.nn.blocks")
    if name in ("load_model", "save_model"):
        from glubina.nn import saving

        return getattr(saving, name)
    if name in later.LAYERS:
        return later.found(later.LAYERS, name)
    raise missing(__name__, name, [*__all__, *later.LAYERS])
