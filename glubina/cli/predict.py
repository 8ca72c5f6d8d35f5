"""`glubina predict`: a saved network on the user's own files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from glubina.data import DataError, MinMax, Rescale, Reshape, load_csv, load_npy, load_npz
from glubina.data.checks import as_array, require_examples, require_finite
from glubina.data.picture_files import read_picture
from glubina.nn import CrossEntropyLoss
from glubina.nn.saving import SavedModel, load_model
from glubina.recipes import RECIPES
from glubina.runtime.team import set_num_threads
from glubina.train import Trainer


def run(path: Path, files: list[Path], threads: int | None, *, invert: bool) -> None:
    """Print a line for every example: file, row, class, probability."""
    if threads is not None:
        set_num_threads(threads)
    saved = load_model(path)
    examples = [read(file, saved, invert) for file in files]  # all, before the first answer
    trainer = Trainer(saved.model, loss=CrossEntropyLoss() if saved.classes else None)
    recipe = RECIPES.get(saved.recipe)
    views = recipe.views if recipe else ()
    for file, x in zip(files, examples):
        outputs = trainer.predict(saved.preprocessing.transform(x), views=views)
        for row, values in enumerate(outputs):
            where = f"{file}:{row}" if len(x) > 1 else str(file)
            typer.echo(f"{where}\t{answer(values, saved.classes)}")


def answer(values: NDArray[Any], classes: tuple[str, ...]) -> str:
    """The likeliest class and its probability; without classes the numbers themselves."""
    if not classes:
        return "\t".join(f"{value:.6g}" for value in np.atleast_1d(values))
    best = int(values.argmax())
    return f"{classes[best]}\t{values[best]:.4f}"


def read(file: Path, saved: SavedModel, invert: bool) -> NDArray[Any]:
    """The examples in a file, as the preprocessing takes them. Errors name the file."""
    shape = example_shape(saved)
    suffix = file.suffix.lower()
    if suffix == ".npz":
        x = _only(file, load_npz(file))
    elif suffix == ".npy":
        x = load_npy(file)
    elif suffix in (".csv", ".gz"):
        x = load_csv(file, target=None).x
    else:
        x = read_image(file, saved, shape, invert)
    x = as_array(x, str(file))
    if shape is not None:
        size = math.prod(shape)
        if x.size == size and (x.ndim < 2 or x.shape[0] != 1):
            x = x.reshape(1, *shape)  # one example, without the axis of examples
        if x.ndim == 0 or math.prod(x.shape[1:]) != size:
            raise DataError(
                f"{file}: holds {x.dtype} of shape {x.shape}; the model takes examples of shape "
                f"{shape}, {size} numbers each"
            )
    require_examples(x, str(file))
    require_finite(x, str(file))
    return x


def example_shape(saved: SavedModel) -> tuple[int, ...] | None:
    """The shape of an example, where the preprocessing knows it."""
    for step in saved.preprocessing.steps:
        if isinstance(step, Reshape):
            return step.shape
    return None


def read_image(
    file: Path, saved: SavedModel, shape: tuple[int, ...] | None, invert: bool
) -> NDArray[Any]:
    """An image in the size, the channels and the scale of the model's data: (1, *shape)."""
    if shape is None or len(shape) != 3 or shape[2] not in (1, 3):
        raise DataError(f"{file}: the model does not take images; give .npy, .npz or .csv files")
    pixels = read_picture(file, shape[:2], shape[2]).astype(np.float32) / 255
    if invert:
        pixels = 1 - pixels
    return (pixels * np.float32(_largest_pixel(saved))).reshape(1, *shape)


def _largest_pixel(saved: SavedModel) -> float:
    """The largest pixel of the model's data: what Rescale brings to 1, or what MinMax has seen."""
    for step in saved.preprocessing.steps:
        if isinstance(step, Rescale):
            return 1 / step.scale
        if isinstance(step, MinMax) and step.largest is not None:
            return float(step.largest.max())
    return 1.0


def _only(file: Path, archive: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """The inputs among an archive's arrays: the one named x, or the only one."""
    if "x" in archive:
        return archive["x"]
    if len(archive) == 1:
        return next(iter(archive.values()))
    names = ", ".join(archive) or "none"
    raise DataError(f"{file}: holds the arrays {names}; the inputs must be named 'x'")
