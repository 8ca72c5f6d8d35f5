"""The folder that a training leaves: weights, architecture, settings, history, figures, plots."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import (
    DamagedFileError,
    FileError,
    path_of,
    read_document,
    read_json,
    read_tensors,
    require_unaltered,
    require_writable,
    write_document,
    write_json,
    write_tensors,
)
from glubina.files.atomic import flush_folder
from glubina.files.documents import HEADING
from glubina.files.errors import reason
from glubina.train.checkpoints import Checkpoints
from glubina.train.history import History

FORMAT, VERSION = "glubina model", 1
SETTINGS_FORMAT, SETTINGS_VERSION = "glubina settings", 1


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
        """The content of the file, below its heading."""
        return {
            "recipe": self.recipe,
            "classes": list(self.classes),
            "preprocessing": self.preprocessing,
            "architecture": self.architecture,
        }

    @classmethod
    def from_json(cls, path: Path, value: dict[str, Any]) -> ModelFile:
        """The checked content of a file; DamagedFileError says which part is not as it must be."""
        parts: list[tuple[str, type]] = [
            ("architecture", dict),
            ("preprocessing", list),
            ("classes", list),
            ("recipe", str),
        ]
        for name, kind in parts:
            if not isinstance(value.get(name), kind):
                raise DamagedFileError(path, f"is damaged: its {name!r} is missing or malformed")
        for name in (*value["classes"], value["recipe"]):
            # they are printed, and a terminal obeys what is not printable
            if not isinstance(name, (str, int, float)) or not str(name).isprintable():
                raise DamagedFileError(path, f"is damaged: {name!r:.60} is no name")
        return cls(
            value["architecture"],
            value["preprocessing"],
            tuple(str(name) for name in value["classes"]),
            value["recipe"],
        )


class RunFolder:
    """A run's files by name."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_of(path)
        self.weights = self.path / "model.safetensors"
        self.model = self.path / "model.json"
        self.settings = self.path / "settings.json"
        self.checkpoints = self.path / "checkpoints"
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
        runs, attempt = require_writable("runs"), 1
        while True:
            folder = runs / (stem if attempt == 1 else f"{stem}-{attempt}")
            try:
                folder.mkdir()  # of two processes that begin within a second, one succeeds
            except FileExistsError:
                attempt += 1
                continue
            except OSError as error:
                raise FileError(folder, f"cannot be made: {reason(error)}") from error
            flush_folder(runs)  # what is kept in it is lost if it is
            return cls(require_writable(folder))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """A folder of a finished run. Raises FileError if it is none."""
        folder = cls(path)
        if os.path.isfile(path):
            raise FileError(folder.path, "is a file; the folder of a run was expected")
        if not os.path.isdir(path):
            raise FileError(folder.path, "there is no run folder of this name")
        for file in (folder.model, folder.weights):
            if not os.path.isfile(file):
                again = "; 'glubina train --resume' goes on with it" * folder.has_checkpoints()
                problem = f"is not a finished run: {file.name} is missing{again}"
                raise FileError(folder.path, problem)
        return folder

    def is_finished(self) -> bool:
        """Whether the run has come to its end: the last of its files says how long it took."""
        return self.settings.is_file() and "seconds" in self.read_settings()

    def has_checkpoints(self) -> bool:
        """Whether there are checkpoints of a run that is not finished."""
        return bool(Checkpoints(self.checkpoints).files())

    def clear_checkpoints(self) -> None:
        """Remove the checkpoints."""
        Checkpoints(self.checkpoints).clear()

    def strangers(self) -> list[Path]:
        """The files of another program that have the names of a run's files."""
        if self.settings.exists():
            with suppress(FileError):
                if "recipe" in self.read_settings():
                    return []
            return [self.settings]
        files = (self.model, self.weights, self.metrics, self.history, self.curves, self.confusion)
        return [file for file in files if file.exists()]

    def clear(self) -> None:
        """Remove a run's files, whatever there is of them. Raises FileError if one stays."""
        self.clear_checkpoints()
        # the settings first: without them there is no run
        for file in (
            self.settings, self.model, self.weights, self.metrics, self.history, self.curves,
            self.confusion,
        ):  # fmt: skip
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise FileError(file, f"cannot be removed: {reason(error)}") from error

    def save_model(self, model: ModelFile, weights: Mapping[str, NDArray[Any]]) -> None:
        """Write the weights and then the architecture."""
        write_tensors(self.weights, weights, {"format": "glubina"})
        write_document(self.model, FORMAT, VERSION, model.as_json())

    def load_model(self) -> tuple[ModelFile, dict[str, NDArray[Any]]]:
        """The architecture and the weights. Raises FileError naming the file that is damaged."""
        return self.read_model(), read_tensors(self.weights)

    def read_model(self, *, check: bool = True) -> ModelFile:
        """The architecture, without the weights. Raises FileError if it is damaged or newer.

        With check=False it may be altered, and is used only to find out what is wrong with it.
        """
        value = read_document(self.model, FORMAT, VERSION, check=False)
        model = ModelFile.from_json(self.model, value)
        if check:
            require_unaltered(self.model, value)
        return model

    def read_settings(self) -> dict[str, Any]:
        """The settings with which the run was made. Raises FileError if they are damaged."""
        value = read_json(self.settings)
        if isinstance(value, dict) and "format" not in value:
            return value  # as the first versions of the library wrote them
        return read_document(self.settings, SETTINGS_FORMAT, SETTINGS_VERSION)

    def read_seed(self) -> int:
        """The seed of the run, which decides how its data were divided."""
        seed = self.read_settings().get("seed")
        if type(seed) is not int or not 0 <= seed < 2**64:
            raise DamagedFileError(self.settings, "is damaged: its 'seed' is missing")
        return seed

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        """Write the settings: before training, and again, with what is known then, at its end."""
        content = {name: value for name, value in settings.items() if name not in HEADING}
        write_document(self.settings, SETTINGS_FORMAT, SETTINGS_VERSION, content)

    def save_results(self, history: History, figures: Mapping[str, Any]) -> None:
        """Write the history and the final figures."""
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
