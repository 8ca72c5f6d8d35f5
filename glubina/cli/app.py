"""The commands and their options; what they do is in the files beside this one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from glubina.cli.errors import reported
from glubina.cli.start import awake
from glubina.cli.usage import Group, path
from glubina.cli.version import installed_version

app = typer.Typer(
    name="glubina",
    cls=Group,
    help="Deep learning that you can see through: train, evaluate and use networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads to compute with (default: all that are free).")
]
Run = Annotated[
    Path, typer.Argument(metavar="RUN", parser=path, help="The folder of a finished run.")
]


def main() -> None:
    """The entry point of the command `glubina`."""
    try:
        with awake():
            app(prog_name="glubina")
    except KeyboardInterrupt:  # before the command itself had begun
        typer.echo("interrupted", err=True)
        raise SystemExit(130) from None


def _show_traces(wanted: bool) -> None:
    if wanted:
        before = os.environ.get("GLUBINA_DEBUG", "")
        os.environ["GLUBINA_DEBUG"] = ",".join(part for part in (before, "trace") if part)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glubina {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", callback=_show_traces, help="Show where in the code an error is."),
    ] = False,
) -> None:
    """Deep learning that you can see through: train, evaluate and use networks."""


@app.command()
@reported
def train(
    recipe: Annotated[
        str | None, typer.Argument(help="What to train; see 'glubina recipes' (default: digits).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Examples in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimizer's step size.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs without a better validation loss."),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Random changes of the images: flip,shift:2,cutout:8 or none."
        ),
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of the average of the weights; 0 for none.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Decides everything random (default: 0)."),
    ] = None,
    threads: Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=path, help="The run's folder (default: runs/<time>-<recipe>)."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is in the folder.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", parser=path, help="Go on with a run that was stopped, to the same end."
        ),
    ] = None,
    save_steps: Annotated[
        int | None,
        typer.Option(min=1, help="A checkpoint every so many steps, besides those of epochs."),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="How many checkpoints are kept.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Only try ever larger step sizes, and suggest one.")
    ] = False,
) -> None:
    """Train a recipe's network and leave a run folder with everything about it."""
    from glubina.cli.plan import Options
    from glubina.cli.train import Wishes, run

    options = Options(epochs, batch_size, learning_rate, patience, augment, ema, seed, threads)
    if find_rate:
        from glubina.cli.find_rate import run as look

        look(recipe, options, output)
        return
    run(recipe, options, Wishes(output, resume, overwrite, save_steps, keep), quiet=quiet)


@app.command()
@reported
def evaluate(
    run: Run,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Recompute a run's figures on its test set from the saved files."""
    from glubina.cli.evaluate import run as start

    start(run, threads, as_json=as_json)


@app.command()
@reported
def predict(
    run: Run,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", parser=path, help="Images, .npy, .npz or .csv files."),
    ],
    threads: Threads = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="The images are dark on a light ground.")
    ] = False,
) -> None:
    """Print the predicted class of every example in the files, and its probability."""
    from glubina.cli.predict import run as start

    start(run, files, threads, invert=invert)


@app.command()
@reported
def data(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="digits, mnist, fashion-mnist, cifar-10; a folder of images by class; "
            "a .csv, .npz or .npy file.",
        ),
    ] = "digits",
    target: Annotated[
        str, typer.Option(help="A table's target column, by name or place; 'none' for none.")
    ] = "-1",
    size: Annotated[
        int | None, typer.Option(min=1, help="Resize the images of a folder to so many pixels.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=path, help="Write report.json and examples.png there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Report on a data set before training: counts, classes, spreads, duplicates, gaps."""
    from glubina.cli.data import run

    run(source, target, size, output, as_json=as_json)


@app.command()
@reported
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FORMULA", help="A run's folder, or a formula such as 'w1**2 * w2**2'."
        ),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE | NAME=VALUE...]",
            help="Of a run: a file with an example (default: the test set's first). "
            "Of a formula: the values of its variables.",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Collapse layers so deep into one line or box.")
    ] = None,
    animate: Annotated[
        bool, typer.Option("--animate", help="Write an animated drawing: forward, then backward.")
    ] = False,
    kernels: Annotated[
        bool,
        typer.Option("--kernels", help="The kernels of a training step, by time, with their code."),
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="With --kernels: examples in the step.")
    ] = None,
    threads: Threads = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            parser=path,
            help="A folder, or a file (.html, .svg, .txt); default: the run's.",
        ),
    ] = None,
) -> None:
    """Lay a computation open: values, derivatives, and the kernels that compute it."""
    from glubina.cli.explain import Wishes, run

    wishes = Wishes(depth, animate, kernels, batch_size, output)
    run(what, arguments or [], wishes, threads)


@app.command()
@reported
def recipes() -> None:
    """List what can be trained."""
    from glubina.recipes import RECIPES

    width = max(map(len, RECIPES))
    for name, recipe in RECIPES.items():
        typer.echo(f"{name:{width}}  {recipe.description}")
