"""The folder that a training leaves: weights, architecture, settings, history, figures, plots."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import (
    DamagedFileError,
    FileError,
    read_json,
    read_tensors,
    require_writable,
    write_json,
    write_tensors,
)
from glubina.train.history import History

FORMAT = "glubina model"
VERSION = 1


@dataclass(frozen=True)
class ModelFile:
    """What model.json holds.

    architecture: the network by class names and arguments. preprocessing: its steps by names and
    arguments. classes: the names of the classes, empty for a regression. recipe: what made it.
    """

    architecture: dict[str, Any]
    preprocessing: list[dict[str, Any]]
    classes: tuple[str, ...]
    recipe: str = ""

    def as_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "recipe": self.recipe,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing,
            "architecture": self.architecture,
        }

    @classmethod
    def from_json(cls, path: Path, value: Any) -> ModelFile:
        """The checked content of a file; DamagedFileError says which part is not as it must be."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise DamagedFileError(path, f"is not a model of glubina (format {FORMAT!r} expected)")
        version = value.get("version")
        if version != VERSION:
            raise FileError(
                path, f"has version {version!r} of the format; this glubina reads {VERSION}"
            )
        parts: list[tuple[str, type]] = [
            ("architecture", dict),
            ("preprocessing", list),
            ("classes", list),
            ("recipe", str),
        ]
        for name, kind in parts:
            if not isinstance(value.get(name), kind):
                raise DamagedFileError(path, f"is damaged: its {name!r} is missing or malformed")
        return cls(
            value["architecture"],
            value["preprocessing"],
            tuple(str(name) for name in value["classes"]),
            value["recipe"],
        )


class RunFolder:
    """A run's files by name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.weights = self.path / "model.safetensors"
        self.model = self.path / "model.json"
        self.settings = self.path / "settings.json"
        self.checkpoint = self.path / "checkpoint.safetensors"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.curves = self.path / "curves.png"
        self.confusion = self.path / "confusion.png"

    @classmethod
    def create(cls, path: str | os.PathLike[str] | None, recipe: str) -> RunFolder:
        """A folder for a new run: the one named, or runs/<time>-<recipe>/ that is not yet there.

        Raises FileError if it cannot be written.
        """
        if path is not None:
            return cls(require_writable(path))
        stem = time.strftime("%Y%m%d-%H%M%S") + "-" + re.sub(r"[^A-Za-z0-9_-]+", "-", recipe)
        folder, attempt = Path("runs") / stem, 1
        while folder.exists():  # two runs of one recipe within a second
            attempt += 1
            folder = Path("runs") / f"{stem}-{attempt}"
        return cls(require_writable(folder))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """A folder of a finished run. Raises FileError if it is none."""
        folder = cls(path)
        if not folder.path.is_dir():
            raise FileError(folder.path, "there is no run folder of this name")
        for file in (folder.model, folder.weights):
            if not file.is_file():
                raise FileError(folder.path, f"is not a finished run: {file.name} is missing")
        return folder

    def save_model(self, model: ModelFile, weights: Mapping[str, NDArray[Any]]) -> None:
        """Write the weights and then the architecture."""
        write_tensors(self.weights, weights, {"format": "glubina"})
        write_json(self.model, model.as_json())

    def load_model(self) -> tuple[ModelFile, dict[str, NDArray[Any]]]:
        """The architecture and the weights. Raises FileError naming the file that is damaged."""
        model = ModelFile.from_json(self.model, read_json(self.model))
        return model, read_tensors(self.weights)

    def save_results(
        self, settings: Mapping[str, Any], history: History, figures: Mapping[str, Any]
    ) -> None:
        """Write the settings, the history and the final figures."""
        write_json(self.settings, dict(settings))
        history.save(self.history)
        write_json(self.metrics, plain(figures))


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NumPy's numbers as Python's, NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(part) for part in value]
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
