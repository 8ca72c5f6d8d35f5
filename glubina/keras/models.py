"""Models, and saving and loading them in Glubina's own format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from glubina import nn
from glubina.files.json_file import parse_json
from glubina.keras.model import Model
from glubina.keras.sequential import Sequential
from glubina.nn.architecture import build, describe
from glubina.nn.errors import ArchitectureError

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]


def save_model(model: Any, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a folder of this name: model.json (layers, compile's settings), model.safetensors."""
    path = Path(filepath)
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} is there already; overwrite=True replaces it")
    nn.save_model(model, path)


def load_model(filepath: str | os.PathLike[str], compile: bool = True) -> Any:
    """The model in a folder that `save_model` wrote, compiled as it was (without moments)."""
    model = nn.load_model(filepath).model
    if not compile and isinstance(model, Model):
        model._trainer = None
    return model


def clone_model(model: Any) -> Any:
    """A model of the same layers with weights of its own, freshly drawn."""
    return build(describe(model))


def model_from_json(json_string: str | bytes) -> Any:
    """The model whose architecture `to_json` wrote, with weights of its own, freshly drawn.

    Raises ArchitectureError for a text that is none: nothing but layers of this library is made.
    """
    text = json_string.encode() if isinstance(json_string, str) else json_string
    try:
        return build(parse_json(text))
    except ValueError as error:
        if isinstance(error, ArchitectureError):
            raise
        raise ArchitectureError(f"model_from_json: this is not JSON ({error})") from None
