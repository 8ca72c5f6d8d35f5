"""Callbacks by themselves, driven as the fit loop drives them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glubina import nn, optim
from glubina.files import FileError, read_tensors
from glubina.train import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    ScheduledSteps,
    Session,
)
from glubina.train.callbacks import FunctionCallback, as_callbacks
from glubina.train.progress import ProgressBar


class Value:
    def __init__(self, number: float) -> None:
        self.number = number

    def numpy(self) -> np.ndarray:
        return np.array([self.number])


class Model:
    """A model whose one weight is the number of the epoch."""

    training = False

    def __init__(self) -> None:
        self.weight = 0.0

    def state_dict(self) -> dict[str, Value]:
        return {"weight": Value(self.weight)}

    def load_state_dict(self, values: Any) -> None:
        self.weight = float(values["weight"][0])


def drive(callback: Callback, figures: list[float], name: str = "val_loss") -> Session:
    """Run epochs with these figures until they end or the callback stops them."""
    session = Session(
        Model(),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        History(),
        epochs=len(figures),
        steps=2,
        examples=20,
        batch_size=10,
        figures=("loss", name),
    )
    callback.session = session
    callback.on_train_begin()
    for epoch, figure in enumerate(figures, 1):
        callback.on_epoch_begin(epoch)
        session.model.weight = epoch  # type: ignore[attr-defined]
        callback.on_progress(2, {"loss": 1.0})
        logs = {"loss": 1.0, name: figure}
        session.history.append(epoch, logs)
        callback.on_epoch_end(epoch, logs)
        if session.stopped:
            break
    callback.on_train_end()
    return session


@pytest.mark.parametrize(
    ("figures", "patience", "epochs", "best"),
    [
        ([3, 2, 1], 2, 3, 3),
        ([3, 2, 2.5, 2.5, 1], 2, 4, 2),
        ([3, 2, 2.5, 1.9, 2, 2, 2], 2, 6, 4),
        ([3, float("nan"), float("nan"), 1], 2, 3, 1),
        ([1, 2], 0, 2, 1),
    ],
)
def test_early_stopping(figures: list[float], patience: int, epochs: int, best: int) -> None:
    callback = EarlyStopping(patience=patience)
    session = drive(callback, figures)
    assert len(session.history) == epochs
    assert callback.best_epoch == best
    assert session.model.weight == best  # type: ignore[attr-defined]
    assert bool(session.stopped) == (epochs < len(figures) or patience == 0)


def test_early_stopping_on_a_rising_figure_with_a_least_change() -> None:
    callback = EarlyStopping("val_accuracy", patience=2, min_delta=0.1)
    session = drive(callback, [0.5, 0.55, 0.59, 0.9], "val_accuracy")
    assert len(session.history) == 3
    assert "val_accuracy did not become better in 2 epochs (best: 0.5, epoch 1)" in session.stopped


def test_early_stopping_without_restoring() -> None:
    session = drive(EarlyStopping(patience=1, restore_best_weights=False), [1, 2])
    assert session.model.weight == 2  # type: ignore[attr-defined]


def test_a_figure_that_there_will_not_be_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"'val_acc' \(val_ figures need .* are loss, val_loss"):
        drive(EarlyStopping("val_acc"), [1])
    with pytest.raises(ValueError, match="mode must be"):
        EarlyStopping(mode="largest")


def test_csv_logger(tmp_path: Path) -> None:
    drive(CSVLogger(tmp_path / "log" / "h.csv"), [0.5, 0.25])
    text = (tmp_path / "log" / "h.csv").read_text()
    assert text == "epoch,loss,val_loss\n1,1.0,0.5\n2,1.0,0.25\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot be written"):
        drive(CSVLogger(tmp_path / "file" / "h.csv"), [0.5])


def test_checkpoint_keeps_the_best(tmp_path: Path) -> None:
    drive(Checkpoint(tmp_path / "best.safetensors", "val_loss"), [3, 1, 2])
    assert read_tensors(tmp_path / "best.safetensors")["weight"].tolist() == [2]
    drive(Checkpoint(tmp_path / "last.safetensors"), [3, 1, 2])
    assert read_tensors(tmp_path / "last.safetensors")["weight"].tolist() == [3]


def test_functions_are_callbacks() -> None:
    seen: list[tuple[int, float]] = []
    (callback,) = as_callbacks(lambda epoch, logs: seen.append((epoch, logs["val_loss"])))
    assert isinstance(callback, FunctionCallback)
    drive(callback, [0.5, 0.25])
    assert seen == [(1, 0.5), (2, 0.25)]
    assert as_callbacks(None) == []
    with pytest.raises(TypeError, match="a callback is an instance"):
        as_callbacks([EarlyStopping])


def test_progress_prints_lines() -> None:
    stream = io.StringIO()
    session = drive(ProgressBar(stream=stream), [0.5, 0.25, 0.125])
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("Epoch 1/3")
    assert lines[-1].startswith("Epoch 3/3")  # the last one always
    assert "val_loss 0.1250" in lines[-1]
    assert "examples/s" in lines[-1]
    assert not session.stopped


def test_a_schedule_of_steps() -> None:
    """A rate for each step; after the last one it stays."""
    net = nn.Linear(2, 1)
    rates: list[float] = []

    class Watch(Callback):
        def on_step_end(self, step: int, logs: Any) -> None:
            rates.append(self.session.optimizer.param_groups[0]["lr"])  # type: ignore[attr-defined]

    made: list[int] = []

    def schedule(optimizer: Any, steps: int) -> Any:
        made.append(steps)
        return optim.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)

    net.compile(lambda p: optim.SGD(p, lr=0.6), "mse")
    x, y = np.ones((5, 2), np.float32), np.ones((5, 1), np.float32)
    net.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[Watch(), ScheduledSteps(schedule)])
    assert made == [6]
    np.testing.assert_allclose(rates, [0.6, 0.5, 0.4, 0.3, 0.2, 0.1], rtol=1e-6)
