"""`glubina explain`: a formula, or the network of a run, laid open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from glubina.cli.errors import CommandError
from glubina.cli.predict import read
from glubina.explain import ExplainError, Explanation
from glubina.explain.opening import explain
from glubina.explain.saving import write
from glubina.files import require_writable
from glubina.graph import GraphError
from glubina.nn import Module
from glubina.nn.saving import SavedModel, load_model
from glubina.recipes import RECIPES
from glubina.runtime.team import set_num_threads
from glubina.tensor import Tensor, tensor
from glubina.train import RunFolder


class Wishes(NamedTuple):
    """What is to be shown, and where it is written."""

    depth: int | None
    animate: bool
    kernels: bool
    batch_size: int | None
    output: Path | None


def run(what: str, arguments: list[str], wishes: Wishes, threads: int | None) -> None:
    """Explain the run in a folder, or else the formula."""
    if threads is not None:
        set_num_threads(threads)
    try:
        if os.path.isdir(what):  # a formula may be too long for a path
            _explain_run(Path(what), arguments, wishes)
        else:
            _explain_formula(what, arguments, wishes)
    except (ExplainError, GraphError) as error:
        hint = "" if arguments or os.path.exists(what) else f" (and there is no folder {what})"
        raise CommandError(f"{error}{hint}") from error


# -- a formula ------------------------------------------------------------------------------------


def _explain_formula(formula: str, arguments: list[str], wishes: Wishes) -> None:
    from glubina.explain.expressions import evaluate

    if wishes.kernels:
        raise CommandError("--kernels is of a run: a formula of numbers needs none")
    values = {}
    for argument in arguments:
        name, sign, text = argument.partition("=")
        if not sign or not name.isidentifier():
            raise CommandError(f"{argument!r}: a variable's value is given as name=value")
        values[name] = text
    result, variables = evaluate(formula, values)
    names = {**variables, "Q" if "Q" not in variables else "output": result}
    explanation = explain(result, names=names)
    typer.echo(str(explanation))
    for name in variables:
        if any(vertex.name == name for vertex in explanation.nodes):
            typer.echo()
            typer.echo(str(explanation.derivation(name)))
    if wishes.output is not None or wishes.animate:
        _write(explanation, wishes, wishes.output or Path())


# -- a run ----------------------------------------------------------------------------------------


def _explain_run(path: Path, files: list[str], wishes: Wishes) -> None:
    folder = RunFolder.open(path)
    saved = load_model(folder.path)
    output = wishes.output or folder.path
    if wishes.kernels:
        _explain_kernels(saved, folder, wishes, output)
        return
    x, label = _example(saved, folder, files)
    explanation = _explained(saved, x, label)
    typer.echo(explanation.text(wishes.depth if wishes.depth is not None else 1))
    _write(explanation, wishes, output)


def _explained(saved: SavedModel, x: Tensor, label: int | None) -> Explanation:
    """The network on one example: its loss where the class is known, else its best output."""
    network = saved.model
    loss_function = RECIPES[saved.recipe].loss() if saved.recipe in RECIPES else None
    target = None if label is None else tensor(np.array([label]))

    def example(x: Tensor) -> Tensor:
        outputs: Tensor = network(x)
        if target is not None and loss_function is not None:
            loss: Tensor = loss_function(outputs, target)
            return loss
        return outputs.max() if outputs.size > 1 else outputs

    return explain(example, x)


def _example(saved: SavedModel, folder: RunFolder, files: list[str]) -> tuple[Tensor, int | None]:
    """The first example of a file, or of the recipe's test set with its class."""
    label = None
    if files:
        raw = read(Path(files[0]), saved, invert=False)[:1]
    else:
        raw, labels = _test_set(saved, folder, 1)
        label = None if labels is None else int(labels[0])
    prepared = np.asarray(saved.preprocessing.transform(raw))
    return tensor(_floating(prepared, saved.model)), label


def _floating(x: NDArray[Any], model: Module) -> NDArray[Any]:
    """Inputs in the dtype of the network's parameters."""
    dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), np.float32)
    return x.astype(dtype) if x.dtype.kind == "f" else x


def _test_set(
    saved: SavedModel, folder: RunFolder, count: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    recipe = RECIPES.get(saved.recipe)
    if recipe is None:
        raise CommandError(
            f"the run in {folder.path} comes from no recipe: give a file with an example"
        )
    x, y = recipe.data(folder.read_seed()).test
    return x[:count], y[:count]


def _write(explanation: Explanation, wishes: Wishes, output: Path) -> None:
    """Write the page and the drawing (and the animation) into a folder, or one file."""
    if output.suffix:
        kinds = {
            ".html": lambda: _page(explanation),
            ".svg": lambda: (
                explanation.animation(wishes.depth)
                if wishes.animate
                else explanation.svg(wishes.depth)
            ),
            ".txt": lambda: explanation.text(wishes.depth),
        }
        typer.echo(f"written: {write(output, kinds)}")
        return
    folder = require_writable(output)
    made = {"explanation.html": lambda: _page(explanation)}
    if wishes.animate:
        made["explanation.svg"] = lambda: explanation.animation(_depth(explanation, wishes))
    for name, make in made.items():
        typer.echo(f"written: {write(folder / name, {Path(name).suffix: make})}")


def _depth(explanation: Explanation, wishes: Wishes) -> int | None:
    """Large networks are animated layer by layer, unless a depth is asked for."""
    return wishes.depth if wishes.depth is not None or len(explanation) <= 40 else 1


def _page(explanation: Explanation) -> str:
    from glubina.explain.page import page

    return page(explanation)


# -- kernels --------------------------------------------------------------------------------------


def _explain_kernels(saved: SavedModel, folder: RunFolder, wishes: Wishes, output: Path) -> None:
    """The ladder of one training step; the run's files stay as they are."""
    from glubina.explain.ladder import ladder

    recipe = RECIPES.get(saved.recipe)
    if recipe is None:
        raise CommandError(
            f"the run in {folder.path} comes from no recipe: its training step is not known"
        )
    size = wishes.batch_size or recipe.batch_size
    raw, labels = _test_set(saved, folder, size)
    x = tensor(_floating(np.asarray(saved.preprocessing.transform(raw)), saved.model))
    y = tensor(np.asarray(labels))
    network, loss_function = saved.model.train(), recipe.loss()
    optimizer = recipe.optimizer(network.parameters(), recipe.learning_rate)

    def step(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = loss_function(network(x), y)
        loss.backward()
        optimizer.step()
        return loss

    found = ladder(step, x, y)
    typer.echo(found.table())
    target = output if output.suffix else require_writable(output) / "kernels.html"
    typer.echo(f"written: {found.save(target)}")
