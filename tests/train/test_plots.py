"""The pictures are written, and without matplotlib the way to it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from glubina.train import History, MissingExtraError, plot_confusion, plot_history


def history(epochs: int) -> History:
    made = History()
    for epoch in range(1, epochs + 1):
        figures = {"loss": 1 / epoch, "accuracy": 1 - 1 / epoch, "val_loss": (epoch - 2.0) ** 2}
        made.append(epoch, figures)
    return made


@pytest.mark.parametrize("epochs", [1, 2, 12])
def test_curves(tmp_path: Path, epochs: int) -> None:
    pytest.importorskip("matplotlib")
    plot_history(history(epochs), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_best_epoch_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    labels: list[str] = []

    def savefig(figure: object, *_: object, **__: object) -> None:
        for axes in figure.axes:  # type: ignore[attr-defined]
            labels.extend(line.get_label() for line in axes.lines)

    monkeypatch.setattr(figures.Figure, "savefig", savefig)
    plot_history(history(4), tmp_path / "curves.png")
    assert "best epoch 2: 0.0000" in labels
    assert labels.count("training") == 2
    assert labels.count("validation") == 1


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_confusion(tmp_path: Path, classes: int) -> None:
    pytest.importorskip("matplotlib")
    matrix = np.eye(classes, dtype=np.int64) * 7
    matrix[0] = 0  # a class without an example
    plot_confusion(matrix, tmp_path / "confusion.png", [f"class {i}" for i in range(classes)])
    assert (tmp_path / "confusion.png").read_bytes()[:4] == b"\x89PNG"


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'glubina\[plots\]'"):
        plot_history(history(2), tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
