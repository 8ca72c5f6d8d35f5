"""A thin face with Keras's names and defaults, for lecture code: `from glubina import keras`.

Layers, models, losses and optimizers are adapters over `glubina.nn`, `glubina.optim` and
`glubina.train`: a model is a module, and its training the same compiled step.
"""

from __future__ import annotations

from glubina.keras import (
    activations,
    backend,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    regularizers,
    utils,
)
from glubina.keras.model import Model
from glubina.keras.sequential import Sequential
from glubina.keras.symbolic import Input

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "regularizers",
    "utils",
]
