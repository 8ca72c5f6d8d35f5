"""`glubina train`: a recipe's data, model and plan, run and put into a folder."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from glubina.cli.errors import CommandError
from glubina.cli.figures import confusion_table, figures, table
from glubina.cli.version import installed_version
from glubina.data import Preprocessing
from glubina.data.augment import named
from glubina.explain.diagnosis import diagnose
from glubina.nn.saving import save_model
from glubina.recipes import Data, Recipe, find
from glubina.runtime.team import get_num_threads, set_num_threads
from glubina.tensor.random import manual_seed
from glubina.train import (
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    MissingExtraError,
    RunFolder,
    Scheduled,
    ScheduledSteps,
    Trainer,
    plot_confusion,
    plot_history,
)
from glubina.train.callbacks import Callback


@dataclass(frozen=True)
class Options:
    """What the command line said; None where it is the recipe's choice."""

    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    patience: int | None
    augment: str | None
    ema: float | None
    seed: int
    threads: int | None


def run(name: str, options: Options, output: Path | None, *, overwrite: bool, quiet: bool) -> None:
    """Train the recipe and leave its run folder. What cannot work is refused before training."""
    recipe = find(name)
    rate = recipe.learning_rate if options.learning_rate is None else options.learning_rate
    if not 0 < rate < float("inf"):
        raise CommandError(f"--learning-rate must be greater than 0, got {rate}")
    ema = recipe.ema if options.ema is None else options.ema
    if ema is not None and not 0 <= ema < 1:
        raise CommandError(f"--ema must be from 0 to below 1, got {ema}")
    augment = recipe.augment if options.augment is None else options.augment
    named(augment)  # what cannot be used is refused here
    folder = None if output is None else _prepare(output, recipe, overwrite)
    data = recipe.data(options.seed)
    folder = folder or RunFolder.create(None, recipe.name)
    manual_seed(options.seed)
    if options.threads is not None:
        set_num_threads(options.threads)
    preprocessing = recipe.preprocessing().fit(data.train[0])
    model = recipe.model()
    trainer = Trainer(
        model,
        lambda parameters: recipe.optimizer(parameters, rate),
        recipe.loss(),
        recipe.metrics,
        ema=ema or None,
    )
    typer.echo(_headline(recipe, data, model))
    callbacks: list[Callback] = [CSVLogger(folder.history), Checkpoint(folder.checkpoint)]
    if recipe.schedule is not None:
        callbacks.append((ScheduledSteps if recipe.schedule_steps else Scheduled)(recipe.schedule))
    if options.patience is not None:
        callbacks.append(EarlyStopping(patience=options.patience))
    started = datetime.now(UTC)
    history = trainer.fit(
        preprocessing.transform(data.train[0]),
        data.train[1],
        batch_size=options.batch_size or recipe.batch_size,
        epochs=options.epochs or recipe.epochs,
        validation_data=(preprocessing.transform(data.validation[0]), data.validation[1]),
        callbacks=callbacks,
        seed=options.seed,
        verbose=0 if quiet else 1,
        augment=named(augment, black(preprocessing, data.train[0])) or None,
    )
    found = figures(trainer, preprocessing, data, recipe.views)
    save_model(
        model,
        folder.path,
        preprocessing=preprocessing,
        classes=data.classes,
        recipe=recipe.name,
    )
    settings = _settings(recipe, options, rate, data, started, history)
    settings |= {"augment": augment, "ema": ema, "views": list(recipe.views)}
    folder.save_results(settings, history, found)
    folder.checkpoint.unlink(missing_ok=True)
    _draw(folder, history, found, data)
    typer.echo()
    typer.echo(table(found))
    typer.echo()
    typer.echo(confusion_table(found))
    for trouble in diagnose(history, []):
        typer.echo(f"note: {trouble}", err=True)
    typer.echo(f"Trained in {history.seconds:.1f} s. The run is in {folder.path}/")


def _prepare(output: Path, recipe: Recipe, overwrite: bool) -> RunFolder:
    """The folder that was named, if it can be written and no run in it would be lost."""
    folder = RunFolder.create(output, recipe.name)
    if folder.model.exists() and not overwrite:
        raise CommandError(
            f"{folder.path} already holds a finished run; name another folder, "
            "or replace the run with --overwrite"
        )
    return folder


def black(preprocessing: Preprocessing, examples: NDArray[Any]) -> float:
    """What preprocessing makes of an image of zeros: what comes in from outside of images.

    Zero where it makes different numbers of it (as a standardisation of each pixel does).
    """
    made = preprocessing.transform(np.zeros_like(examples[:1]))
    first = float(made.flat[0])
    return first if (made == first).all() else 0.0


def _headline(recipe: Recipe, data: Data, model: Any) -> str:
    parameters = sum(parameter.size for parameter in model.parameters())
    return (
        f"{recipe.name}: {recipe.description}\n"
        f"{len(data.train[1]):,} examples to train on, {len(data.validation[1]):,} to validate, "
        f"{len(data.test[1]):,} to test; {parameters:,} parameters; {get_num_threads()} threads"
    )


def _settings(
    recipe: Recipe,
    options: Options,
    rate: float,
    data: Data,
    started: datetime,
    history: History,
) -> dict[str, Any]:
    """Everything that is needed to do it again, and where it was done."""
    import llvmlite

    return {
        "recipe": recipe.name,
        "epochs": options.epochs or recipe.epochs,
        "batch_size": options.batch_size or recipe.batch_size,
        "learning_rate": rate,
        "patience": options.patience,
        "seed": options.seed,
        "threads": get_num_threads(),
        "stopped": history.stopped,
        "test_rows": None if data.test_rows is None else data.test_rows.tolist(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(history.seconds, 3),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {
            "glubina": installed_version(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "llvmlite": llvmlite.__version__,
        },
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _draw(folder: RunFolder, history: History, found: dict[str, Any], data: Data) -> None:
    """Draw the pictures; without matplotlib the run is complete but for them."""
    try:
        plot_history(history, folder.curves)
        plot_confusion(np.array(found["confusion"]), folder.confusion, data.classes)
    except MissingExtraError as error:
        typer.echo(f"note: {error}", err=True)
