"""What of `glubina.nn` is loaded when it is first asked for, and from where."""

from __future__ import annotations

import importlib
from typing import Any

_DIMENSIONS = ("1d", "2d", "3d")

LAYERS = {
    **{f"MaxUnpool{n}": "unpooling" for n in _DIMENSIONS},
    **{f"LazyBatchNorm{n}": "lazy" for n in _DIMENSIONS},
    **{f"LazyInstanceNorm{n}": "lazy" for n in _DIMENSIONS},
    **{f"LazyConvTranspose{n}": "lazy" for n in _DIMENSIONS},
    **{f"LPPool{n}": "distances" for n in _DIMENSIONS},
    **dict.fromkeys(("CosineSimilarity", "PairwiseDistance", "Softmax2d"), "distances"),
    **dict.fromkeys(("Fold", "Unfold", "ChannelShuffle"), "folding"),
    **dict.fromkeys(("LocallyConnected1d", "LocallyConnected2d"), "locally"),
    **dict.fromkeys(
        (
            *("MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "SoftMarginLoss"),
            "TripletMarginWithDistanceLoss",
        ),
        "soft_margin",
    ),
    "EmbeddingBag": "embedding_bag",
    "LocalResponseNorm": "response",
    "RReLU": "random_slope",
    "Recompute": "recompute",
    "Transformer": "translator",
}
"""The module of `glubina.nn` for each class that few networks need."""

FUNCTIONS = {
    **{f"max_unpool{n}": "unpooling" for n in _DIMENSIONS},
    **{f"lp_pool{n}": "distances" for n in _DIMENSIONS},
    **dict.fromkeys(("fold", "unfold", "channel_shuffle"), "folding"),
    **dict.fromkeys(
        (
            *("multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss"),
            "triplet_margin_with_distance_loss",
        ),
        "soft_margin",
    ),
    "embedding_bag": "embedding_bag",
    "local_response_norm": "response",
    "locally_connected": "locally",
    "rrelu": "random_slope",
}
"""The module of `glubina.nn` for each such function of `glubina.nn.functional`."""


def found(table: dict[str, str], name: str) -> Any:
    """The class or function of this name; KeyError where there is none."""
    return getattr(importlib.import_module(f"glubina.nn.{table[name]}"), name)
