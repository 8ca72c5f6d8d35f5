"""The final figures of a classifier on its test set, computed and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data import Preprocessing
from glubina.metrics import classification_report, confusion_matrix
from glubina.recipes import Data
from glubina.train import Trainer


def figures(
    trainer: Trainer, preprocessing: Preprocessing, data: Data, views: Sequence[str] = ()
) -> dict[str, Any]:
    """Loss, accuracy, precision, recall, F1 and confusion matrix on the test set, as plain data.

    views: what predictions are averaged over.
    """
    x, y = data.test
    probabilities = trainer.predict(preprocessing.transform(x), views=views)
    predicted = probabilities.argmax(axis=-1)
    report = classification_report(y, predicted, data.classes)
    return {
        "examples": len(y),
        "loss": cross_entropy(probabilities, y),
        **report.as_dict(),
        "confusion": confusion_matrix(y, predicted, len(data.classes)).tolist(),
    }


def cross_entropy(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The mean of −ln p over the examples, p being the probability of the true class."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    smallest = np.finfo(probabilities.dtype).tiny  # a probability that has underflown is not 0
    return float(-np.log(np.maximum(chosen, smallest)).mean())


def table(found: dict[str, Any]) -> str:
    """The figures as text: a line per class and the means."""
    width = max(8, *(len(line["name"]) for line in found["classes"]))
    lines = [f"{'class':{width}}  precision   recall       f1  examples"]
    for line in found["classes"]:
        lines.append(
            f"{line['name']:{width}}     {line['precision']:.4f}   {line['recall']:.4f}   "
            f"{line['f1']:.4f}  {line['support']:8d}"
        )
    for name in ("macro", "weighted"):
        mean = found[name]
        lines.append(
            f"{name:{width}}     {mean['precision']:.4f}   {mean['recall']:.4f}   "
            f"{mean['f1']:.4f}  {found['examples']:8d}"
        )
    lines.append("")
    lines.append(
        f"Test accuracy {found['accuracy']:.4f}, macro F1 {found['macro']['f1']:.4f}, "
        f"loss {found['loss']:.4f}, on {found['examples']:,} examples that training never saw."
    )
    return "\n".join(lines)


MOST_CLASSES = 20  # a larger confusion matrix does not fit a terminal


def confusion_table(found: dict[str, Any]) -> str:
    """The confusion matrix as text: a row for each true class, a column for each predicted one."""
    names = [line["name"] for line in found["classes"]]
    if len(names) > MOST_CLASSES:
        return f"The confusion matrix of {len(names)} classes is in metrics.json."
    width = max(len(name) for name in names)
    cell = max(len(str(number)) for row in found["confusion"] for number in row) + 1
    cell = max(cell, len(str(len(names) - 1)) + 2)
    lines = ["Confusion: rows are the true classes, columns the predicted ones."]
    lines.append(" " * (width + 4) + "".join(f"{place:{cell}}" for place in range(len(names))))
    for place, (name, row) in enumerate(zip(names, found["confusion"], strict=True)):
        lines.append(f"{name:{width}}{place:4}" + "".join(f"{number:{cell}}" for number in row))
    return "\n".join(lines)
