"""`glubina train`: a recipe's data, model and plan, run and put into a folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from glubina.cli.errors import CommandError
from glubina.cli.figures import confusion_table, figures, table
from glubina.cli.interrupts import lasting, noted, stoppable
from glubina.cli.plan import Options, Plan
from glubina.cli.version import installed_version
from glubina.data import Preprocessing
from glubina.data.augment import named
from glubina.explain.diagnosis import diagnose
from glubina.files import locked
from glubina.nn.saving import save_model
from glubina.recipes import Data, Recipe, find
from glubina.runtime.team import get_num_threads, set_num_threads
from glubina.tensor.random import manual_seed
from glubina.train import (
    Checkpoints,
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

DEFAULT = "digits"
SHARE = 0.05  # of the time at most for checkpoints of very short epochs
LONGEST = 300.0  # seconds at most between those of long ones


@dataclass(frozen=True)
class Wishes:
    """How the run is kept. output: its folder; resume: that of a run to go on with.

    save_steps, keep: see `train.Checkpoints`.
    """

    output: Path | None = None
    resume: Path | None = None
    overwrite: bool = False
    save_steps: int | None = None
    keep: int = 2


def run(name: str | None, options: Options, wishes: Wishes, *, quiet: bool) -> None:
    """Train the recipe and leave its run folder. What cannot work is refused before training."""
    if wishes.resume is not None:
        _resume(name, options, wishes, quiet)
        return
    recipe = find(name or DEFAULT)
    plan = Plan.of(recipe, options)
    # data that cannot be had leave no new folder, and a run that is to be replaced as it is
    early = wishes.output is None or wishes.overwrite
    data = recipe.data(plan.seed) if early else None
    folder = RunFolder.create(wishes.output, recipe.name)
    with locked(folder.path, "training"):
        _require_free(folder, wishes.overwrite)
        folder.clear()
        folder.save_settings(plan.settings())
        _train(recipe, plan, folder, data, options, wishes, quiet=quiet)


def _resume(name: str | None, options: Options, wishes: Wishes, quiet: bool) -> None:
    assert wishes.resume is not None
    folder = RunFolder(wishes.resume)
    if wishes.output is not None or wishes.overwrite:
        raise CommandError("--resume goes on in the run's own folder: leave out --output and such")
    if not folder.path.is_dir():
        if name is None:
            raise CommandError(f"{folder.path}: there is no run folder of this name")
        typer.echo(f"note: {folder.path} is not there yet; it begins now", err=True)
        folder = RunFolder.create(wishes.resume, name)
    with locked(folder.path, "training"):
        known = folder.read_settings() if folder.settings.exists() else {}
        if not known and name is None:
            raise CommandError(
                f"{folder.path} has no {folder.settings.name}, so nothing is known of the run; "
                "name its recipe as well"
            )
        was = known.get("recipe")
        if name is not None and was not in (None, name):
            raise CommandError(f"{folder.path} is a run of the recipe {was!r}, not of {name!r}")
        recipe = find(str(was or name))
        plan = Plan.of(recipe, options)
        if known:
            plan = plan.resumed(folder, known, options)
        if folder.is_finished():
            folder.clear_checkpoints()
            typer.echo(f"The run in {folder.path}/ is finished: there is nothing to go on with.")
            return
        if not known:
            folder.save_settings(plan.settings())
        version = _version(known)
        if version != installed_version():
            typer.echo(
                f"note: the run was begun with glubina {version}, this is {installed_version()}: "
                "its figures may differ in the last digits",
                err=True,
            )
        _train(recipe, plan, folder, None, options, wishes, quiet=quiet)


@lasting()
def _train(
    recipe: Recipe,
    plan: Plan,
    folder: RunFolder,
    data: Data | None,
    options: Options,
    wishes: Wishes,
    *,
    quiet: bool,
) -> None:
    again = f"glubina train {recipe.name} --resume {shlex.quote(str(folder.path))}"
    resume = wishes.resume is not None
    with noted(), stoppable(again):
        try:
            data = data or recipe.data(plan.seed)
        except Exception:
            if not resume:
                folder.clear()  # nothing has begun
            raise
        manual_seed(plan.seed)
        if options.threads is not None:
            set_num_threads(options.threads)
        preprocessing = recipe.preprocessing().fit(data.train[0])
        model = recipe.model()
        trainer = Trainer(
            model,
            lambda parameters: recipe.optimizer(parameters, plan.learning_rate),
            recipe.loss(),
            recipe.metrics,
            ema=plan.ema or None,
        )
        typer.echo(_headline(recipe, data, model))
        checkpoints = Checkpoints(
            folder.checkpoints,
            steps=wishes.save_steps,
            seconds=LONGEST,
            keep=wishes.keep,
            share=SHARE,
        )
        checkpoints.again = again
        if resume and (known := checkpoints.files()):
            typer.echo(f"Going on from {known[-1]}")
        history = trainer.fit(
            preprocessing.transform(data.train[0]),
            data.train[1],
            batch_size=plan.batch_size,
            epochs=plan.epochs,
            validation_data=(preprocessing.transform(data.validation[0]), data.validation[1]),
            callbacks=_callbacks(recipe, plan, folder),
            seed=plan.seed,
            verbose=0 if quiet else 1,
            augment=named(plan.augment, black(preprocessing, data.train[0])) or None,
            checkpoints=checkpoints,
            resume=resume,
        )
        found = figures(trainer, preprocessing, data, recipe.views)
        save_model(
            model,
            folder.path,
            preprocessing=preprocessing,
            classes=data.classes,
            recipe=recipe.name,
        )
        folder.save_results(history, found)
        _draw(folder, history, found, data)
        # the last of the files: a run that has it is finished
        folder.save_settings(_finished(folder, data, history))
        folder.clear_checkpoints()
    _report(history, found, folder)


def _version(known: dict[str, Any]) -> str:
    """The library's version that a run was begun with; this one's where that is not told."""
    versions = known.get("versions")
    told = versions.get("glubina") if isinstance(versions, dict) else None
    return told if isinstance(told, str) and told.isprintable() else installed_version()


def _callbacks(recipe: Recipe, plan: Plan, folder: RunFolder) -> list[Callback]:
    callbacks: list[Callback] = [CSVLogger(folder.history)]
    if recipe.schedule is not None:
        callbacks.append((ScheduledSteps if recipe.schedule_steps else Scheduled)(recipe.schedule))
    if plan.patience is not None:
        callbacks.append(EarlyStopping(patience=plan.patience))
    return callbacks


def _require_free(folder: RunFolder, overwrite: bool) -> None:
    """Refuse a folder in which a run would be lost."""
    if overwrite:
        return
    if folder.has_checkpoints() and not folder.is_finished():
        raise CommandError(
            f"{folder.path} holds a run that is not finished; go on with --resume "
            f"{shlex.quote(str(folder.path))}, "
            "name another folder, or replace the run with --overwrite"
        )
    if folder.model.exists():
        raise CommandError(
            f"{folder.path} already holds a finished run; name another folder, "
            "or replace the run with --overwrite"
        )
    if strangers := folder.strangers():
        raise CommandError(
            f"{folder.path} holds {' and '.join(path.name for path in strangers)}, which the run "
            "would replace; name another folder, or replace what is there with --overwrite"
        )


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


def _finished(folder: RunFolder, data: Data, history: History) -> dict[str, Any]:
    """The settings with what is known at the end."""
    return {
        **folder.read_settings(),
        "threads": get_num_threads(),
        "stopped": history.stopped,
        "test_rows": None if data.test_rows is None else data.test_rows.tolist(),
        "seconds": round(history.seconds, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _draw(folder: RunFolder, history: History, found: dict[str, Any], data: Data) -> None:
    """Draw the pictures; without matplotlib the run is complete but for them."""
    try:
        plot_history(history, folder.curves)
        plot_confusion(np.array(found["confusion"]), folder.confusion, data.classes)
    except MissingExtraError as error:
        typer.echo(f"note: {error}", err=True)


def _report(history: History, found: dict[str, Any], folder: RunFolder) -> None:
    typer.echo()
    typer.echo(table(found))
    typer.echo()
    typer.echo(confusion_table(found))
    for trouble in diagnose(history, []):
        typer.echo(f"note: {trouble}", err=True)
    typer.echo(f"Trained in {history.seconds:.1f} s. The run is in {folder.path}/")
