"""`glubina evaluate`: the figures of a run, computed again from its files."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from glubina.cli.figures import confusion_table, figures, table
from glubina.files import read_json
from glubina.nn.saving import load_model
from glubina.recipes import find
from glubina.runtime.team import set_num_threads
from glubina.train import RunFolder, Trainer


def run(path: Path, threads: int | None, *, as_json: bool) -> None:
    """Print the figures on the test set and whether they are those that the run has kept."""
    if threads is not None:
        set_num_threads(threads)
    folder = RunFolder.open(path)
    saved = load_model(folder.path)
    seed = folder.read_seed()
    recipe = find(saved.recipe)
    trainer = Trainer(saved.model, loss=recipe.loss())
    found = figures(trainer, saved.preprocessing, recipe.data(seed), recipe.views)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(table(found))
    typer.echo()
    typer.echo(confusion_table(found))
    kept = read_json(folder.metrics)
    if kept == found:
        typer.echo(f"The figures are those in {folder.metrics}.")
    else:
        typer.echo(
            f"note: {folder.metrics} has other figures; another machine or another version may "
            "round differently",
            err=True,
        )
