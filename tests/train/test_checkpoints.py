"""Checkpoints: when they are written, which stay, what is refused, and what signals do."""

from __future__ import annotations

import errno
import os
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataLoader
from glubina.files import DamagedFileError, FileError, UnstorableError, read_tensors, write_tensors
from glubina.train import (
    Callback,
    CheckpointError,
    Checkpoints,
    EarlyStopping,
    History,
    Interrupted,
    Scheduled,
)
from glubina.train.attributes import plain_attributes, take_attributes
from glubina.train.checkpoint_file import read_checkpoint, write_checkpoint
from glubina.train.checkpoints import Saving
from glubina.train.interrupts import Terminated

CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(24, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def fit(folder: Any, rate: float = 0.1, width: int = 4, **options: Any) -> History:
    gl.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 1))
    net.compile(lambda p: optim.Adam(p, lr=rate), "mse", clip_norm=options.pop("clip_norm", None))
    given: dict[str, Any] = {
        "batch_size": 8, "epochs": 2, "verbose": 0, "seed": 3, "checkpoints": folder,
        "data": (X, Y), **options,
    }  # fmt: skip
    history: History = net.fit(*given.pop("data"), **given)
    history.net = net  # type: ignore[attr-defined]
    return history


def names(folder: Path) -> list[str]:
    return [path.name[6:-12] for path in Checkpoints(folder).files()]


class Send(Callback):
    """Sends a signal to this process in a step, or in the middle of an epoch's end."""

    def __init__(self, number: signal.Signals, step: int | None = None) -> None:
        self.number, self.step = number, step

    def on_step_end(self, step: int, logs: Any) -> None:
        if step == self.step:
            os.kill(os.getpid(), self.number)

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        if self.step is None:
            os.kill(os.getpid(), self.number)


# -- when, and which stay -----------------------------------------------------------------------


def test_after_every_epoch_and_two_stay(tmp_path: Path) -> None:
    fit(tmp_path, epochs=4)
    assert names(tmp_path) == ["000004-step-00000000", "000005-step-00000000"]
    assert {path.name[:6] for path in tmp_path.iterdir()} == {"epoch-"}


def test_after_steps(tmp_path: Path) -> None:
    fit(Checkpoints(tmp_path, epochs=None, steps=2, keep=9))
    assert names(tmp_path) == [
        "000001-step-00000002",
        "000002-step-00000001",  # the fourth step of the training
        "000002-step-00000003",
        "000003-step-00000000",  # the end
    ]


def test_after_seconds(tmp_path: Path) -> None:
    fit(Checkpoints(tmp_path, epochs=None, seconds=1e-9, keep=99))
    assert len(names(tmp_path)) >= 3


def test_the_best_stays(tmp_path: Path) -> None:
    plan = Checkpoints(tmp_path, epochs=None, best="val_loss", keep=1)
    saving = Saving(plan)
    state = {"position": {}, "settings": {}, "model": {}}
    with plan.held():
        for epoch, loss in enumerate([3.0, 2.0, 2.5, float("nan"), 2.2], 2):
            better = saving.better({"val_loss": loss})
            assert better == (epoch in (2, 3))
            if saving.epoch_due(epoch - 1, last=epoch == 6, better=better):
                assert saving.write(state, epoch, 0, loss if better else None) is None
    assert names(tmp_path) == ["000003-step-00000000", "000006-step-00000000"]
    again = Saving(plan)
    again.begin(resume=True)
    assert not again.better({"val_loss": 2.0})
    assert again.better({"val_loss": 1.9})


def test_the_newest_is_that_of_the_latest_step(tmp_path: Path) -> None:
    plan = Checkpoints(tmp_path, keep=2)
    saving = Saving(plan)
    mine = tmp_path / "epoch-notes.safetensors"
    mine.write_bytes(b"a file of the person's own")
    state = {"position": {}, "settings": {}, "model": {}}
    for epoch, step in ((999_998, 0), (999_999, 99_999_999), (999_999, 100_000_000), (10**6, 0)):
        assert saving.write(state, epoch, step) is None
    assert names(tmp_path) == ["999999-step-100000000", "1000000-step-00000000"]
    found = plan.newest(put_aside=True)
    assert found is not None
    assert found[0].name == "epoch-1000000-step-00000000.safetensors"
    plan.clear()
    assert [*tmp_path.iterdir()] == [mine]


def test_weights_of_the_best(tmp_path: Path) -> None:
    seen: dict[int, Any] = {}

    def look(epoch: int, logs: Any) -> None:
        seen[epoch] = logs["val_loss"]

    plan = Checkpoints(tmp_path, best="val_loss")
    history = fit(plan, rate=0.5, epochs=6, validation_data=(X, Y), callbacks=look)
    net: Any = history.net  # type: ignore[attr-defined]
    net.load_state_dict(plan.weights())
    assert net.evaluate(X, Y)["loss"] == min(seen.values())
    with pytest.raises(FileError, match="there is no checkpoint in this folder"):
        Checkpoints(tmp_path / "none").weights()


def test_it_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    fit(tmp_path)
    tensors = read_tensors(Checkpoints(tmp_path).files()[-1])
    assert tensors["model/0.weight"].shape == (4, 3)
    assert "optimizer/state/0/exp_avg" in tensors


# -- what is refused ----------------------------------------------------------------------------


def test_a_folder_with_another_training(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(CheckpointError, match="resume=True goes on with it; name another folder"):
        fit(tmp_path)
    Checkpoints(tmp_path).clear()
    assert not tmp_path.exists()
    fit(tmp_path)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 4}, "batch_size 8, not 4"),
        ({"seed": 4}, "seed 3, not 4"),
        ({"shuffle": False}, "shuffle True, not False"),
        ({"data": (X + 1, Y)}, "other data"),
        ({"data": (X[:-1], Y[:-1])}, "examples 24, not 23"),
        ({"width": 5}, "another model"),
        ({"rate": 0.2}, "optimizer .*0.1.*, not .*0.2"),
        ({"validation_data": (X, Y)}, "other validation data"),
        ({"accumulate": 2}, "accumulate 1, not 2"),
        ({"clip_norm": 2.0}, "limits None, not Limits.*clip_norm=2.0"),
        ({"callbacks": EarlyStopping("loss", 9)}, "no state of the callback EarlyStopping"),
    ],
)  # fmt: skip
def test_other_settings(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    fit(tmp_path)
    with pytest.raises(CheckpointError, match=text):
        fit(tmp_path, resume=True, **{"epochs": 3, **options})


def test_other_arguments_of_a_loss_and_other_parameters_that_are_frozen(tmp_path: Path) -> None:
    """A loss does not print its arguments; an optimizer prints more than what differs."""
    x, y = np.ones((8, 4), np.float32), np.zeros(8, np.int64)

    def train(loss: Any, resume: bool, frozen: bool = False, lr: float = 0.1) -> str:
        model = nn.Linear(4, 3)
        model.weight.requires_grad_(not frozen)
        model.compile(optim.SGD(model.parameters(), lr=lr), loss)
        try:
            model.fit(x, y, verbose=0, checkpoints=tmp_path, resume=resume)
        except CheckpointError as error:
            return str(error)
        return ""

    weight = gl.tensor([1.0, 2.0, 3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has come to its end
        assert not train("cross_entropy", False)
        assert not train(nn.CrossEntropyLoss(label_smoothing=0.0), True)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1, weight=weight)
    told = train(smooth, True)
    assert "loss CrossEntropyLoss(), not CrossEntropyLoss() with weight=float32 (3,) " in told
    assert told.endswith(", label_smoothing=0.1")
    assert train("cross_entropy", True, frozen=True).endswith("frozen [], not ['weight']")
    told = train("cross_entropy", True, lr=0.5)
    assert told.endswith("with optimizer SGD(lr=0.1), not SGD(lr=0.5)")


def test_a_schedule_for_another_length(tmp_path: Path) -> None:
    def cosine() -> Callback:
        return Scheduled(lambda o, n: optim.CosineAnnealingLR(o, n))

    fit(tmp_path, callbacks=cosine())
    with pytest.raises(CheckpointError, match="made for 2 epochs, and this training has 3"):
        fit(tmp_path, resume=True, epochs=3, callbacks=cosine())


def test_callbacks_come_and_go(tmp_path: Path) -> None:
    class Counts(Callback):
        count = 0

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            self.count += 1

    fit(tmp_path, callbacks=Counts())
    fit(tmp_path, epochs=3, resume=True)
    late = Counts()
    fit(tmp_path, epochs=4, resume=True, callbacks=late)
    assert late.count == 1
    again = Counts()
    fit(tmp_path, epochs=5, resume=True, callbacks=again)
    assert again.count == 2
    Checkpoints(tmp_path).clear()
    fit(tmp_path, callbacks=EarlyStopping("loss"))
    with pytest.raises(CheckpointError, match="its callback EarlyStopping is missing"):
        fit(tmp_path, epochs=3, resume=True)


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resume=True needs checkpoints"):
        fit(None, resume=True)
    with pytest.raises(ValueError, match="give resume=True"):
        fit(tmp_path, resume=tmp_path)
    with pytest.raises(TypeError, match="must be a folder or a train"):
        fit(3)
    with pytest.raises(TypeError, match="resume must be True, False or a folder"):
        fit(tmp_path, resume=3)
    with pytest.raises(ValueError, match="Checkpoints: keep"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="Checkpoints monitors 'val_loss'"):
        fit(Checkpoints(tmp_path, best="val_loss"))


def test_states_that_no_file_can_hold(tmp_path: Path) -> None:
    class Odd(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"file": open}

    with pytest.raises(UnstorableError, match="callbacks/Odd/file: a builtin"):
        fit(tmp_path, callbacks=Odd())

    class Plain:
        def __init__(self, parameters: Any) -> None:
            pass

        zero_grad = step = lambda self: None

    net = nn.Linear(3, 1)
    net.compile(Plain, "mse")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Plain has no state_dict"):
        net.fit(X, Y, verbose=0, checkpoints=tmp_path)


def test_two_trainings_at_a_time(tmp_path: Path) -> None:
    def nested(epoch: int, logs: Any) -> None:
        fit(tmp_path, resume=True)

    with pytest.raises(FileError, match="this process is training in this folder already"):
        fit(tmp_path, callbacks=nested)


# -- going on -----------------------------------------------------------------------------------


def test_where_nothing_was_written_it_begins(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="no checkpoint was written yet; training starts from"):
        resumed = fit(tmp_path / "a", resume=True)
    assert resumed["loss"] == fit(None)["loss"]


def test_a_finished_training_gives_its_history(tmp_path: Path) -> None:
    first = fit(tmp_path)
    with pytest.warns(RuntimeWarning, match="had come to its end already; there is nothing to go"):
        second = fit(None, resume=tmp_path)
    assert second["loss"] == first["loss"]
    assert second.epoch == [1, 2]


def test_more_epochs(tmp_path: Path) -> None:
    fit(tmp_path)
    assert fit(tmp_path, resume=True, epochs=4)["loss"] == fit(None, epochs=4)["loss"]


def test_the_seed_is_the_checkpoints(tmp_path: Path) -> None:
    whole = fit(None, seed=None, epochs=3)
    fit(tmp_path, seed=None)
    resumed = fit(tmp_path, seed=None, epochs=3, resume=True)
    assert resumed["loss"] == whole["loss"]


def test_a_loader_with_a_seed_of_chance(tmp_path: Path) -> None:
    def loader() -> tuple[Any]:
        return (DataLoader((X, Y), 8, shuffle=True),)

    whole = fit(None, data=loader(), epochs=3)
    fit(tmp_path, data=loader())
    assert fit(tmp_path, data=loader(), epochs=3, resume=True)["loss"] == whole["loss"]


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    fit(tmp_path, epochs=3)
    first, last = Checkpoints(tmp_path).files()
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match=rf"damaged.*{first.name} before it is taken"):
        again = fit(tmp_path, epochs=4, resume=True)
    assert again["loss"] == fit(None, epochs=4)["loss"]
    assert (tmp_path / f"{last.name}.damaged").exists()
    for path in Checkpoints(tmp_path).files():
        path.write_bytes(b"nothing")
    with pytest.warns(RuntimeWarning) as told:
        again = fit(tmp_path, epochs=4, resume=True)
    assert again["loss"] == fit(None, epochs=4)["loss"]
    assert "there is no other" in str(told[-2].message)
    assert "training starts from the beginning" in str(told[-1].message)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_checkpoint(path, {"position": {}, "settings": {}, "model": {}, "x": (1, [2.5])})
    assert read_checkpoint(path)["x"] == (1, [2.5])
    array = np.zeros(2, np.uint8)
    write_tensors(path, {"a": array})
    with pytest.raises(DamagedFileError, match="is not a checkpoint of glubina"):
        read_checkpoint(path)
    write_tensors(path, {"state.json": array}, {"format": "glubina checkpoint", "version": "9"})
    with pytest.raises(CheckpointError, match="version 9 of its format; this glubina reads"):
        read_checkpoint(path)
    for text in (b"[[[", b"{}", b"3", b'{"a": {"$": "tuple"}}'):
        head = {"format": "glubina checkpoint", "version": "1"}
        write_tensors(path, {"state.json": np.frombuffer(text, np.uint8)}, head)
        with pytest.raises(DamagedFileError, match="is damaged"):
            read_checkpoint(path)
    whole = {"position": {}, "settings": {}, "model": {}}
    for best in ("x", {"value": 1.0}, {"value": 1.0, "file": "../epoch-1-step-1.safetensors"}):
        write_checkpoint(path, {**whole, "best": best})
        with pytest.raises(DamagedFileError, match="has no state of a training"):
            read_checkpoint(path)


def test_states_that_do_not_fit(tmp_path: Path) -> None:
    fit(tmp_path)
    path = Checkpoints(tmp_path).files()[-1]
    state = read_checkpoint(path)
    for name in ("position", "model", "optimizer", "run", "random", "callbacks", "history"):
        timed = {**state["position"], "seconds": "many"}
        for wrong in ({}, {"epoch": []}, {"state": 3}, *([timed] if name == "position" else [])):
            if (name, wrong) != ("callbacks", {}):
                write_checkpoint(path, {**state, name: wrong})
                with pytest.raises(CheckpointError, match="does not fit this training"):
                    fit(tmp_path, epochs=3, resume=True)
    place = state["position"]
    for wrong in ({"epoch": 0}, {"step": 9**9}, {"total": 0}, {"seconds": "x"}, {"seconds": None}):
        write_checkpoint(path, {**state, "position": {**place, **wrong}})
        with pytest.raises(CheckpointError, match="does not fit this training"):
            fit(tmp_path, epochs=3, resume=True)
    write_checkpoint(path, {**state, "stopped": [1]})
    with pytest.raises(CheckpointError, match="no reason to have stopped"):
        fit(tmp_path, epochs=3, resume=True)
    write_checkpoint(path, {**state, "settings": {}})
    with pytest.raises(CheckpointError, match="is of a training with batch_size None, not 8"):
        fit(tmp_path, epochs=3, resume=True)


# -- signals and disks --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2, None])
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)]
)
def test_a_signal_saves(
    tmp_path: Path,
    number: signal.Signals,
    error: type[BaseException],
    step: int | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(error) as raised:
        fit(Checkpoints(tmp_path, epochs=None), callbacks=Send(number, step))
    if number == signal.SIGTERM:
        assert raised.value.code == 143  # type: ignore[attr-defined]
        text = capsys.readouterr().err
    else:
        assert isinstance(raised.value, KeyboardInterrupt)
        text = str(raised.value)
    where = "in epoch 1 after step 2 of 3" if step else "in epoch 2 after step 0 of 3"
    assert f"training was interrupted by {number.name} {where}; saved in {tmp_path}" in text
    assert f"To go on: fit(..., checkpoints='{tmp_path}', resume=True)" in text
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert fit(tmp_path, resume=True)["loss"] == fit(None)["loss"]


def test_without_checkpoints_signals_are_as_ever() -> None:
    with pytest.raises(KeyboardInterrupt) as raised:
        fit(None, callbacks=Send(signal.SIGINT, 2))
    assert not isinstance(raised.value, Interrupted)


def test_in_another_thread_there_are_no_signals(tmp_path: Path) -> None:
    found: list[History] = []
    thread = threading.Thread(target=lambda: found.append(fit(tmp_path)))
    thread.start()
    thread.join()
    assert len(found[0]) == 2


def test_a_disk_that_fails_does_not_end_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails(*given: Any) -> None:
        calls.append(given)
        if len(calls) < 3:
            raise FileError(tmp_path, "cannot be written: no space left on device")
        write_checkpoint(*given)

    monkeypatch.setattr("glubina.train.checkpoints.write_checkpoint", fails)
    with pytest.warns(RuntimeWarning, match="was not written .*no space left.*training goes on"):
        fit(tmp_path, epochs=4)
    assert names(tmp_path) == ["000004-step-00000000", "000005-step-00000000"]


def test_a_state_that_would_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    whole = {"position": {}, "settings": {}, "model": {}}
    saving = Saving(Checkpoints(tmp_path))
    assert saving.write({**whole, "callbacks": [[]] * 10_000}, 1, 0) is None
    with pytest.warns(RuntimeWarning, match="it has more than 1000000 lists and objects"):
        assert saving.write({**whole, "callbacks": [(1, 2)] * 500_000}, 2, 0) is not None
    found = Checkpoints(tmp_path).newest()
    assert found is not None
    assert found[0].name.startswith("epoch-000001")


def test_what_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    fit(tmp_path)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(FileError, match=r"epoch-000002.*cannot be removed: read-only file system"):
        Checkpoints(tmp_path).clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_callback_that_fails_at_the_end_hides_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    ended = []

    class Fails(Callback):
        def on_train_end(self) -> None:
            ended.append("fails")
            raise FileError(tmp_path, "no space left")

    class Last(Callback):
        def on_train_end(self) -> None:
            ended.append("last")

    wrong = [Fails(), Send(number, 2), Last()]
    with (
        pytest.warns(RuntimeWarning, match=r"Fails\.on_train_end failed: .*no space left"),
        pytest.raises((Interrupted, Terminated)),
    ):
        fit(tmp_path, callbacks=wrong)
    assert ended == ["fails", "last"]
    with pytest.raises(FileError, match="no space left"):
        fit(None, callbacks=[Fails(), Last()])
    assert ended == ["fails", "last"] * 2


def test_plain_attributes() -> None:
    class Thing:
        pass

    thing: Any = Thing()
    held: list[Any] = [1.5]
    circle: list[Any] = []
    circle.append(circle)
    thing.plain, thing.held, thing.array = {"a": (1, None)}, held, np.ones(2)
    thing.circle, thing.path, thing.tensor, thing.session = circle, Path(), gl.ones(1), 3
    values = plain_attributes(thing)
    assert sorted(values) == ["array", "held", "plain"]
    take_attributes(thing, {"held": [2.5], "plain": {"b": 1}, "array": np.zeros(1), "new": 3})
    assert held == [2.5]
    assert (thing.plain, thing.new, thing.array.shape) == ({"b": 1}, 3, (1,))
    with pytest.raises(ValueError, match="'on_epoch_end' is no plain attribute of Callback"):
        take_attributes(Callback(), {"on_epoch_end": 1})
