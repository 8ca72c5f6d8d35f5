"""The recipe "fashion-mnist-inception": the conv net of Keras's example with Inception blocks.

After the example's two convolutions and its pooling (see `fashion_mnist`) stand two of the
lecture's blocks, 1 × 1, 3 × 3 and 5 × 5 windows and a pooling side by side, stacked to 256 maps,
with a pooling between them, in place of the dense layers; all with batch normalisation.
"""

from __future__ import annotations

from glubina import nn
from glubina.nn.blocks import Inception, conv_norm
from glubina.recipes.fashion_mnist import data
from glubina.recipes.plans import nesterov, one_cycle, pixels_from_0_to_1
from glubina.recipes.recipe import Recipe


def model() -> nn.Sequential:
    """The network, from images (N, 28, 28, 1) to logits (N, 10): 0.4 million parameters."""
    return nn.Sequential(
        conv_norm(1, 32, 3),
        conv_norm(32, 64, 3),
        nn.MaxPool2d(2),
        Inception(64, batch_norm=True),
        nn.MaxPool2d(2),
        Inception(256, batch_norm=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


RECIPE = Recipe(
    name="fashion-mnist-inception",
    description="The conv net of Keras's example re-made with Inception blocks",
    data=data,
    preprocessing=pixels_from_0_to_1,
    model=model,
    loss=lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    optimizer=nesterov,
    learning_rate=0.1,
    batch_size=64,
    epochs=10,
    metrics=("accuracy", "f1"),
    schedule=one_cycle,
    schedule_steps=True,
    augment="flip,shift:2",
    ema=0.995,
    views=("same", "mirrored"),
)
