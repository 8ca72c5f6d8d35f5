"""History: the figures of every epoch, as `fit` returns them."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from glubina.files import write_text

Logs = Mapping[str, float]

# Of these figures more is better; of all others (losses, errors) less is.
RISING = ("accuracy", "precision", "recall", "f1", "r2", "auc")


def rises(name: str) -> bool:
    """Whether more of the figure is better, by its name."""
    return any(part in name for part in RISING)


class History:
    """The figures of every finished epoch.

    `history["val_loss"]` is the list over the epochs, `names` are the figures that there are, and
    `stopped` says why training ended before its last epoch ("" if it did not).
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.stopped = ""

    def append(self, epoch: int, logs: Logs) -> None:
        """Add the figures of an epoch (numbered from 1)."""
        for name in logs:
            # A figure that appears late has no value for the epochs before.
            self.history.setdefault(name, [math.nan] * len(self.epoch))
        self.epoch.append(epoch)
        for name, figures in self.history.items():
            figures.append(float(logs.get(name, math.nan)))

    @property
    def names(self) -> tuple[str, ...]:
        """The figures that there are."""
        return tuple(self.history)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.history:
            raise KeyError(f"no figure {name!r}; there are {', '.join(self.history) or 'none'}")
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __len__(self) -> int:
        """The number of finished epochs."""
        return len(self.epoch)

    def __iter__(self) -> Iterator[dict[str, float]]:
        """The epochs' figures, one dictionary each."""
        for index in range(len(self)):
            yield {name: figures[index] for name, figures in self.history.items()}

    def best_epoch(self, monitor: str | None = None) -> int:
        """The number of the epoch with the best figure; the first of equals.

        Without `monitor`: the validation loss, or the loss where nothing is validated.
        """
        if not self.epoch:
            raise ValueError("no epoch has been finished, so none is the best")
        name = monitor or ("val_loss" if "val_loss" in self else "loss")
        figures = self[name]
        worst = -math.inf if rises(name) else math.inf
        known = [worst if math.isnan(value) else value for value in figures]
        best = max(known) if rises(name) else min(known)
        return self.epoch[known.index(best)]

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "history": {name: list(figures) for name, figures in self.history.items()},
            "epoch": list(self.epoch),
            "seconds": self.seconds,
            "stopped": self.stopped,
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Become what `state_dict` gave."""
        self.history = {name: list(figures) for name, figures in values["history"].items()}
        self.epoch = list(values["epoch"])
        self.seconds, self.stopped = values["seconds"], values["stopped"]

    def to_csv(self) -> str:
        """The figures as CSV text: a line per epoch, numbers that read back the same."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", *self.history])
        for index, epoch in enumerate(self.epoch):
            writer.writerow([epoch, *(repr(figures[index]) for figures in self.history.values())])
        return text.getvalue()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figures as a CSV file."""
        write_text(path, self.to_csv())

    def __repr__(self) -> str:
        if not self.epoch:
            return "History(no epoch finished)"
        last = ", ".join(f"{name}={figures[-1]:.4g}" for name, figures in self.history.items())
        return f"History({len(self)} epochs; the last: {last})"
