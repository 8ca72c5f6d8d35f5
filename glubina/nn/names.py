"""Losses by name, for `compile(loss="...")`."""

from __future__ import annotations

from glubina.graph.names import unknown
from glubina.nn.cross_entropy import CrossEntropyLoss, NLLLoss
from glubina.nn.loss import HuberLoss, L1Loss, Loss, MSELoss, SmoothL1Loss
from glubina.nn.margin import HingeLoss
from glubina.nn.probabilities import BCELoss, BCEWithLogitsLoss, FocalLoss, KLDivLoss

LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "nll": NLLLoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "mse": MSELoss,
    "l1": L1Loss,
    "mae": L1Loss,
    "bce": BCELoss,
    "focal": FocalLoss,
    "hinge": HingeLoss,
    "huber": HuberLoss,
    "kl_div": KLDivLoss,
    "smooth_l1": SmoothL1Loss,
}


def loss_named(name: str) -> Loss:
    """The loss of a name, with its default settings; ValueError lists the names."""
    if name not in LOSSES:
        raise ValueError(unknown("loss", name, LOSSES))
    return LOSSES[name]()
