"""The functions behind the layers, without state: `from glubina.nn import functional as F`."""

from __future__ import annotations

from glubina.nn.activation import log_softmax, relu, sigmoid, softmax, softmin, tanh
from glubina.nn.convolution import conv1d, conv2d, conv3d
from glubina.nn.cross_entropy import binary_cross_entropy_with_logits, cross_entropy, nll_loss
from glubina.nn.dropout import dropout
from glubina.nn.linear import linear
from glubina.nn.loss import l1_loss, mse_loss
from glubina.nn.normalisation import batch_norm, layer_norm
from glubina.nn.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from glubina.nn.rectifiers import (
    celu,
    elu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    heaviside,
    leaky_relu,
    prelu,
    relu6,
    selu,
    softshrink,
    threshold,
)
from glubina.nn.shape import flatten
from glubina.nn.smooth import glu, logsigmoid, mish, softplus, softsign, tanhshrink

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "dropout",
    "elu",
    "flatten",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "heaviside",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]
