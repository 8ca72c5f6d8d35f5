"""A network as files: architecture as JSON, weights as safetensors; nothing is unpickled."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from glubina.data import DataError, Preprocessing
from glubina.data.checks import as_array
from glubina.files import DamagedFileError, read_layout, read_tensors, require_writable
from glubina.nn.architecture import build, describe
from glubina.nn.budget import limited
from glubina.nn.errors import ArchitectureError, StateError
from glubina.nn.module import Module
from glubina.train.callbacks import copy_weights
from glubina.train.run_folder import ModelFile, RunFolder


@dataclass(frozen=True)
class SavedModel:
    """What a model's folder holds: the network with its weights, and what belongs to it.

    classes: the names of the classes; empty where they were not given. recipe: what made it.
    """

    model: Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    recipe: str

    def predict(self, x: Any, batch_size: int = 256) -> NDArray[Any]:
        """The outputs for raw inputs: preprocessed as in training; probabilities with classes."""
        from glubina.nn.cross_entropy import CrossEntropyLoss
        from glubina.train.trainer import Trainer

        trainer = Trainer(self.model, loss=CrossEntropyLoss() if self.classes else None)
        outputs: NDArray[Any] = trainer.predict(
            self.preprocessing.transform(as_array(x, "x")), batch_size
        )
        return outputs


def save_model(
    model: Module,
    folder: str | os.PathLike[str],
    *,
    preprocessing: Preprocessing | None = None,
    classes: Sequence[str] = (),
    recipe: str = "",
) -> None:
    """Write model.safetensors and model.json into a folder, which is made if it is missing.

    Raises ArchitectureError for a network with classes of one's own, whose architecture no file
    can hold (write its `state_dict` instead), and FileError for a folder that cannot be written.
    """
    given: Any = model
    if not isinstance(given, Module):
        kind = type(given)
        shown = f"the class {given.__name__}" if isinstance(given, type) else kind.__name__
        raise TypeError(f"save_model takes a module, got {shown}")
    steps = Preprocessing() if preprocessing is None else preprocessing
    file = ModelFile(describe(model), steps.config(), tuple(classes), recipe)
    RunFolder(require_writable(folder)).save_model(file, copy_weights(model))


def load_model(folder: str | os.PathLike[str]) -> SavedModel:
    """Build the network in a folder that `save_model` or `glubina train` has left.

    The network is set to use (`eval()`). Raises FileError naming the file that is missing,
    damaged, or does not fit the other.
    """
    run = RunFolder.open(folder)
    file = run.read_model(check=False)  # what is wrong with it is told better below
    layout = read_layout(run.weights)
    try:
        with limited(sum(math.prod(shape) for shape, _ in layout.values())):
            model: Module = build(file.architecture)
        if not isinstance(model, Module):
            raise ArchitectureError(f"a {type(model).__name__} is no network")
        preprocessing = Preprocessing.from_config(file.preprocessing)
    except (ArchitectureError, DataError) as error:
        raise DamagedFileError(run.model, str(error)) from error
    try:
        model.load_state_dict(read_tensors(run.weights))
    except StateError as error:
        differences = "; ".join(line.strip() for line in str(error).splitlines())
        raise DamagedFileError(run.weights, f"does not fit model.json: {differences}") from error
    run.read_model()
    return SavedModel(model.eval(), preprocessing, file.classes, file.recipe)
