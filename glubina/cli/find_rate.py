"""`glubina train --find-rate`: a range test of the learning rate, before a recipe is trained."""

from __future__ import annotations

from pathlib import Path

import typer

from glubina.cli.plan import Options
from glubina.cli.train import DEFAULT, black
from glubina.data.augment import named
from glubina.files import require_writable
from glubina.recipes import find
from glubina.runtime.team import set_num_threads
from glubina.tensor.random import manual_seed
from glubina.train import MissingExtraError, RateTest, Trainer, find_learning_rate

WIDTH = 32  # characters of the longest bar
LINES = 16


def run(name: str | None, options: Options, output: Path | None) -> None:
    """Print the losses by rate and the suggestion; with `output` leave rates.csv and rates.png."""
    recipe = find(name or DEFAULT)
    seed = options.seed or 0
    augment = recipe.augment if options.augment is None else options.augment
    named(augment)  # what cannot be used is refused here
    folder = None if output is None else require_writable(output)
    data = recipe.data(seed)
    manual_seed(seed)
    if options.threads is not None:
        set_num_threads(options.threads)
    preprocessing = recipe.preprocessing().fit(data.train[0])
    rate = recipe.learning_rate if options.learning_rate is None else options.learning_rate
    trainer = Trainer(
        recipe.model(), lambda parameters: recipe.optimizer(parameters, rate), recipe.loss()
    )
    found = find_learning_rate(
        trainer,
        preprocessing.transform(data.train[0]),
        data.train[1],
        batch_size=options.batch_size or recipe.batch_size,
        seed=seed,
        augment=named(augment, black(preprocessing, data.train[0])) or None,
    )
    typer.echo(table(found))
    typer.echo(f"Steepest fall: {found.suggestion:.2g}. Lowest loss: {found.lowest:.2g}.")
    typer.echo(f"Try --learning-rate {found.suggestion:.1g}; the recipe's own is {rate:g}.")
    if folder is not None:
        found.save(folder / "rates.csv")
        try:
            found.plot(folder / "rates.png")
        except MissingExtraError as error:
            typer.echo(f"note: {error}", err=True)


def table(found: RateTest) -> str:
    """The smoothed losses as bars, at some of the rates."""
    every = -(-len(found.rates) // LINES)
    rows = [*zip(found.rates, found.smoothed)][::every]
    largest = max(loss for _, loss in rows)
    lines = ["   rate      loss"]
    for rate, loss in rows:
        bar = "█" * max(round(WIDTH * loss / largest), 0) if largest > 0 else ""
        lines.append(f"{rate:7.1e} {loss:9.4f}  {bar}")
    return "\n".join(lines)
