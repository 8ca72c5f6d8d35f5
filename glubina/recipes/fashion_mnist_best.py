"""The recipe "fashion-mnist-best": the highest macro F1 that less than an hour on two cores gives.

A ResNet-9 of half the width, trained with a large rate that rises and falls once, label
smoothing, shifts, mirroring and cutout; its weights are averaged, and so are its answers for the
image and its mirror image. How it was tuned, on the validation part that `data` holds back, is in
docs/homework.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from glubina import nn, optim
from glubina.models import ResNet9
from glubina.recipes.fashion_mnist import data
from glubina.recipes.fashion_mnist_inception import preprocessing
from glubina.recipes.recipe import Recipe
from glubina.tensor import Tensor


def model() -> ResNet9:
    """The network, from images (N, 28, 28, 1) to logits (N, 10): 1.6 million parameters."""
    return ResNet9(10, in_channels=1, widths=(32, 64, 128, 256))


def optimizer(parameters: Iterable[Tensor], rate: float) -> optim.Optimizer:
    """SGD with Nesterov's momentum; filters and matrices decay, the rest does not."""
    given = list(parameters)
    groups = [
        {"params": [p for p in given if p.ndim > 1], "weight_decay": 5e-4},
        {"params": [p for p in given if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)


def schedule(optimizer: optim.Optimizer, steps: int) -> optim.LRScheduler:
    """A fifth of the steps up to the rate, then down in a straight line."""
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


RECIPE = Recipe(
    name="fashion-mnist-best",
    description="The highest macro F1 that less than an hour on two cores gives; a ResNet-9",
    data=data,
    preprocessing=preprocessing,
    model=model,
    loss=lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    optimizer=optimizer,
    learning_rate=0.2,
    batch_size=128,
    epochs=30,
    metrics=("accuracy", "f1"),
    schedule=schedule,
    schedule_steps=True,
    augment="flip,shift:2,cutout:8",
    ema=0.999,
    views=("same", "mirrored"),
)
