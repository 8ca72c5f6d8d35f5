"""The recipe "fashion-mnist-inception": the conv net of Keras's example with an Inception block.

The second convolution of the example's network (see `fashion_mnist`) becomes the lecture's
Inception block, 1 × 1, 3 × 3 and 5 × 5 windows and a pooling side by side, stacked to 256 maps,
between two poolings; both have batch normalisation. The dense layers stay.
"""

from __future__ import annotations

from glubina import nn, optim
from glubina.data import Preprocessing, Rescale, Reshape
from glubina.nn.blocks import Inception, conv_norm
from glubina.recipes.fashion_mnist import data
from glubina.recipes.recipe import Recipe


def preprocessing() -> Preprocessing:
    """Pixels from 0 to 1 (batch normalisation does the rest), and an axis for the one channel."""
    return Preprocessing(Rescale(1 / 255), Reshape((28, 28, 1)))


def model() -> nn.Sequential:
    """The network, from images (N, 28, 28, 1) to logits (N, 10): 1.8 million parameters."""
    return nn.Sequential(
        conv_norm(1, 32, 3),
        nn.MaxPool2d(2),
        Inception(32, batch_norm=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(7 * 7 * 256, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


RECIPE = Recipe(
    name="fashion-mnist-inception",
    description="The conv net of Keras's example re-made with the Inception block",
    data=data,
    preprocessing=preprocessing,
    model=model,
    loss=nn.CrossEntropyLoss,
    optimizer=lambda parameters, rate: optim.AdamW(parameters, lr=rate),
    learning_rate=2e-3,
    batch_size=128,
    epochs=10,
    metrics=("accuracy", "f1"),
    schedule=lambda optimizer, steps: optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        steps,
        pct_start=0.2,
        cycle_momentum=False,
    ),
    schedule_steps=True,
    augment="flip,shift:2",
    ema=0.99,
    views=("same", "mirrored"),
)
