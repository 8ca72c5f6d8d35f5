"""The functions behind the layers, without state: `from glubina.nn import functional as F`."""

from __future__ import annotations

from glubina.nn.activation import log_softmax, relu, sigmoid, softmax, tanh
from glubina.nn.convolution import conv1d, conv2d, conv3d
from glubina.nn.cross_entropy import binary_cross_entropy_with_logits, cross_entropy, nll_loss
from glubina.nn.dropout import dropout
from glubina.nn.linear import linear
from glubina.nn.loss import l1_loss, mse_loss
from glubina.nn.normalisation import batch_norm, layer_norm
from glubina.nn.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d
from glubina.nn.shape import flatten

__all__ = [
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "cross_entropy",
    "dropout",
    "flatten",
    "l1_loss",
    "layer_norm",
    "linear",
    "log_softmax",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
