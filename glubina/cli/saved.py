"""A saved run made ready for use: its network with its weights, and its preprocessing."""

from __future__ import annotations

from dataclasses import dataclass

from glubina.data import DataError, Preprocessing
from glubina.files import DamagedFileError
from glubina.nn import CrossEntropyLoss, architecture
from glubina.nn.errors import ArchitectureError, StateError
from glubina.train import ModelFile, RunFolder, Trainer


@dataclass(frozen=True)
class Saved:
    """What a run folder holds, ready for use."""

    file: ModelFile
    trainer: Trainer
    preprocessing: Preprocessing


def load(folder: RunFolder) -> Saved:
    """Build the network and give it its weights. DamagedFileError names the file at fault."""
    file, weights = folder.load_model()
    try:
        model = architecture.build(file.architecture)
        preprocessing = Preprocessing.from_config(file.preprocessing)
    except (ArchitectureError, DataError) as error:
        raise DamagedFileError(folder.model, str(error)) from error
    try:
        model.load_state_dict(weights)
    except StateError as error:
        differences = "; ".join(line.strip() for line in str(error).splitlines())
        raise DamagedFileError(folder.weights, f"does not fit model.json: {differences}") from error
    model.eval()
    return Saved(file, Trainer(model, loss=CrossEntropyLoss()), preprocessing)
