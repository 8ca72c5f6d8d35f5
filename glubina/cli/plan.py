"""What `glubina train` will do: the recipe's plan with the options, kept in settings.json."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from glubina.cli.errors import CommandError
from glubina.cli.version import installed_version
from glubina.data.augment import named
from glubina.files import DamagedFileError
from glubina.recipes import Recipe, find
from glubina.runtime.team import get_num_threads
from glubina.train import RunFolder


@dataclass(frozen=True)
class Options:
    """What the command line said; None where it is the recipe's choice."""

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    augment: str | None = None
    ema: float | None = None
    seed: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that decides how a run ends, as settings.json has it."""

    recipe: str
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int | None
    augment: str
    ema: float | None
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, options: Options) -> Plan:
        """The recipe's plan with the options; CommandError for what cannot be."""
        rate = recipe.learning_rate if options.learning_rate is None else options.learning_rate
        if not 0 < rate < float("inf"):
            raise CommandError(f"--learning-rate must be greater than 0, got {rate}")
        ema = recipe.ema if options.ema is None else options.ema
        if ema is not None and not 0 <= ema < 1:
            raise CommandError(f"--ema must be from 0 to below 1, got {ema}")
        augment = recipe.augment if options.augment is None else options.augment
        named(augment)  # what cannot be used is refused here
        return cls(
            recipe.name,
            options.epochs or recipe.epochs,
            options.batch_size or recipe.batch_size,
            rate,
            options.patience,
            augment,
            ema,
            options.seed or 0,
        )

    def settings(self) -> dict[str, Any]:
        """What settings.json says before training: all that is needed to do it again, and where."""
        import llvmlite

        return {
            **asdict(self),
            "views": list(find(self.recipe).views),
            "threads": get_num_threads(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
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

    def resumed(self, folder: RunFolder, known: Mapping[str, Any], options: Options) -> Plan:
        """The plan of a run that goes on; an option that says something else is refused."""
        unknown = [field.name for field in fields(self) if field.name not in known]
        if unknown:
            raise DamagedFileError(folder.settings, f"is damaged: its {unknown[0]!r} is missing")
        saved = replace(self, **{field.name: known[field.name] for field in fields(self)})
        wrong = _impossible(saved)
        if wrong:
            value = getattr(saved, wrong)
            raise DamagedFileError(folder.settings, f"is damaged: {wrong!r} is {value!r:.40}")
        saved._require_asked(folder, options)
        return saved

    def _require_asked(self, folder: RunFolder, options: Options) -> None:
        """CommandError for an option that says something else than the plan."""
        wrong = []
        for name, given in asdict(options).items():
            if name != "threads" and given is not None and getattr(self, name) != given:
                option = "--" + name.replace("_", "-")
                was = getattr(self, name)
                wrong.append(f"{option} {given} was given, and it has {_shown(was)}")
        if wrong:
            raise CommandError(
                f"{folder.path} is a run with other settings: {'; '.join(wrong)}. A run goes on "
                "with its own settings: leave the options out, or begin a new run"
            )


def _impossible(plan: Plan) -> str | None:
    """The name of a setting that no run is begun with; None if all can be."""

    def whole(value: Any, least: int) -> bool:
        return type(value) is int and least <= value < 2**63

    def real(value: Any) -> bool:
        return type(value) in (int, float)

    possible = {
        "recipe": type(plan.recipe) is str,
        "epochs": whole(plan.epochs, 1),
        "batch_size": whole(plan.batch_size, 1),
        "learning_rate": real(plan.learning_rate) and 0 < plan.learning_rate < float("inf"),
        "patience": plan.patience is None or whole(plan.patience, 1),
        "augment": type(plan.augment) is str,
        "ema": plan.ema is None or (real(plan.ema) and 0 <= plan.ema < 1),
        "seed": whole(plan.seed, 0),
    }
    return next((name for name, fits in possible.items() if not fits), None)


def _shown(value: Any) -> str:
    return "none" if value is None or value == "" else str(value)
