"""The functions behind the layers, without state: `from glubina.nn import functional as F`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from glubina.graph.names import missing
from glubina.nn import later
from glubina.nn.activation import log_softmax, relu, sigmoid, softmax, softmin, tanh
from glubina.nn.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from glubina.nn.attention import scaled_dot_product_attention
from glubina.nn.convolution import conv1d, conv2d, conv3d
from glubina.nn.cross_entropy import cross_entropy, nll_loss
from glubina.nn.ctc import ctc_loss
from glubina.nn.dropout import dropout
from glubina.nn.embedding import embedding
from glubina.nn.group_norm import group_norm, instance_norm, rms_norm
from glubina.nn.linear import linear
from glubina.nn.loss import (
    gaussian_nll_loss,
    huber_loss,
    l1_loss,
    mse_loss,
    poisson_nll_loss,
    smooth_l1_loss,
)
from glubina.nn.margin import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    hinge_loss,
    margin_ranking_loss,
    multi_margin_loss,
    pairwise_distance,
    triplet_margin_loss,
)
from glubina.nn.merge import bilinear
from glubina.nn.noise import alpha_dropout, drop_path, dropout1d, dropout2d, dropout3d
from glubina.nn.normalisation import batch_norm, layer_norm
from glubina.nn.padding import pad
from glubina.nn.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from glubina.nn.probabilities import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    focal_loss,
    kl_div,
    sigmoid_focal_loss,
)
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
from glubina.nn.shape import flatten, pixel_shuffle, pixel_unshuffle
from glubina.nn.smooth import (
    gelu,
    glu,
    logsigmoid,
    mish,
    silu,
    softplus,
    softsign,
    tanhshrink,
)
from glubina.nn.transposed import (
    conv_transpose,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from glubina.nn.upsampling import interpolate

if TYPE_CHECKING:
    from glubina.nn.distances import lp_pool1d, lp_pool2d, lp_pool3d
    from glubina.nn.embedding_bag import embedding_bag
    from glubina.nn.folding import channel_shuffle, fold, unfold
    from glubina.nn.locally import locally_connected
    from glubina.nn.random_slope import rrelu
    from glubina.nn.response import local_response_norm
    from glubina.nn.soft_margin import (
        multilabel_margin_loss,
        multilabel_soft_margin_loss,
        soft_margin_loss,
        triplet_margin_with_distance_loss,
    )
    from glubina.nn.unpooling import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "embedding_bag",
    "flatten",
    "focal_loss",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "heaviside",
    "hinge_embedding_loss",
    "hinge_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "locally_connected",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rrelu",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "sigmoid_focal_loss",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
    "unfold",
]


def __getattr__(name: str) -> Any:
    """What few networks need is loaded when it is asked for."""
    if name in later.FUNCTIONS:
        return later.found(later.FUNCTIONS, name)
    raise missing(__name__, name, [*__all__, *later.FUNCTIONS])
