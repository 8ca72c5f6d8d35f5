"""The recipe "digits": 8 x 8 handwritten digits with a small convolutional network."""

from __future__ import annotations

from glubina import nn, optim
from glubina.data import DIGIT_CLASSES, Preprocessing, Rescale, Reshape, digits, split_order
from glubina.recipes.recipe import Data, Recipe, hold_back


def data(seed: int) -> Data:
    """A fifth for the test, a tenth of the rest for validation; every class alike."""
    x, y = digits()
    rest, test = split_order(len(x), 0.2, seed, y)
    train, validation = hold_back(x[rest], y[rest], share=0.1, seed=seed)
    return Data(train, validation, (x[test], y[test]), DIGIT_CLASSES, test_rows=test)


def preprocessing() -> Preprocessing:
    """Pixels from 0 to 1, and an axis for the one channel."""
    return Preprocessing(Rescale(1 / 16), Reshape((8, 8, 1)))


def model() -> nn.Sequential:
    """Two convolutions, a pooling and two dense layers: 38 thousand parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(4 * 4 * 32, 64),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(64, 10),
    )


RECIPE = Recipe(
    name="digits",
    description="Handwritten digits of 8 x 8 pixels (UCI, in the package); a small conv net",
    data=data,
    preprocessing=preprocessing,
    model=model,
    loss=nn.CrossEntropyLoss,
    optimizer=lambda parameters, rate: optim.Adam(parameters, lr=rate),
    learning_rate=2e-3,
    batch_size=32,
    epochs=25,
)
