"""Parts of training plans that several recipes share."""

from __future__ import annotations

from collections.abc import Iterable

from glubina import optim
from glubina.data import Preprocessing, Rescale, Reshape
from glubina.tensor import Tensor


def pixels_from_0_to_1() -> Preprocessing:
    """For networks that begin with batch normalisation: scaled only, so that black stays 0."""
    return Preprocessing(Rescale(1 / 255), Reshape((28, 28, 1)))


def nesterov(parameters: Iterable[Tensor], rate: float) -> optim.Optimizer:
    """SGD with Nesterov's momentum; filters and matrices decay, the rest does not."""
    given = list(parameters)
    groups = [
        {"params": [p for p in given if p.ndim > 1], "weight_decay": 5e-4},
        {"params": [p for p in given if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def one_cycle(optimizer: optim.Optimizer, steps: int) -> optim.LRScheduler:
    """A fifth of the steps up to the rate, then down in a straight line to a thousandth of it."""
    rates = [group["lr"] for group in optimizer.param_groups]
    return optim.OneCycleLR(
        optimizer,
        rates,
        steps,
        pct_start=0.2,
        anneal_strategy="linear",
        div_factor=20,
        final_div_factor=50,
        cycle_momentum=False,
    )
