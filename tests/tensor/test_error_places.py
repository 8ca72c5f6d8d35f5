"""Errors know the user's line; what a person sees of them are the lines of their own program."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.graph import IndexRangeError, ShapeError
from glubina.graph.names import check_arguments, near
from glubina.graph.tracebacks import concerns, told

PROGRAM = """
import glubina as gl
from glubina import nn

class Net(nn.Module):
    def __init__(self):
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 2))
    def forward(self, x):
        return self.layers(x)

Net()(gl.ones((2, 3)))
"""


def ran(program: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "your.py").write_text(program)
    return subprocess.run(
        [sys.executable, "your.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_traceback_has_the_users_lines_only(tmp_path: Path) -> None:
    lines = ran(PROGRAM, tmp_path).stderr.splitlines()
    assert [line for line in lines if "File" in line] == [
        f'  File "{tmp_path}/your.py", line 11, in <module>',
        f'  File "{tmp_path}/your.py", line 9, in forward',
    ]
    assert lines[-1] == (
        "glubina.graph.errors.ShapeError: layer 'layers.1' (Linear(5, 2)): expected input of shape "
        "(..., 5), got (2, 4) (at your.py:9)"
    )


def test_the_librarys_lines_are_there_when_asked_for(tmp_path: Path) -> None:
    lines = ran(PROGRAM, tmp_path, GLUBINA_DEBUG="trace").stderr
    assert "glubina/nn/linear.py" in lines
    assert "kernels" not in lines


def test_an_error_of_the_library_itself_is_shown_whole() -> None:
    def wrong() -> None:
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        nn.Sequential(nn.Identity()).apply(lambda module: wrong())
    assert concerns(caught.value)  # it is the user's own assertion
    with pytest.raises(ShapeError) as refused:
        gl.ones(3) + gl.ones(4)
    assert concerns(refused.value)
    assert "elementwise.py" not in told(refused.value)


def test_a_placed_error_survives_pickling() -> None:
    with pytest.raises(ShapeError) as caught:
        gl.ones(3) + gl.ones(4)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert "test_error_places.py:" in str(again)


def test_a_late_index_names_layer_line_and_place() -> None:
    model = nn.Sequential(nn.Embedding(100, 8), nn.Flatten(), nn.Linear(40, 2))
    words = np.zeros((64, 5), np.int64)

    @gl.compile
    def forward(x: Any) -> Any:
        return model(x)

    forward(gl.tensor(words))
    words[3, 2] = 100
    line = forward.function.__code__.co_firstlineno + 2
    text = (
        rf"layer '0' \(Embedding\(100, 8\)\): symbol 100 at position \(3, 2\) is out of range: "
        rf"100 symbols have the numbers 0 to 99 \(at .*test_error_places.py:{line}\)"
    )
    with pytest.raises(IndexRangeError, match=text):
        forward(gl.tensor(words)).numpy()


def test_a_negative_late_index_is_told_as_it_was_given() -> None:
    x, where = gl.ones((3, 2)), gl.tensor([0, -3]) - 4
    with pytest.raises(IndexRangeError, match="index -4 at position 0"):
        x[where].numpy()
    with pytest.raises(IndexRangeError, match="an index at position 1 is out of range"):
        x[gl.tensor([0, 1]), gl.tensor([0, 1]) * 2].numpy()


def test_a_wrong_symbol_in_training_names_the_example() -> None:
    words = np.zeros((200, 5), np.int64)
    words[137, 2] = 100
    model = nn.Sequential(nn.Embedding(100, 8), nn.Flatten(), nn.Linear(40, 2))
    model.compile("adam", "cross_entropy")
    with pytest.raises(IndexRangeError, match=r"symbol 100 .* it is in example 137 of x"):
        model.fit(words, np.zeros(200, int), batch_size=32, epochs=2, verbose=0)
    words[137, 2] = 9
    model.fit(words, np.zeros(200, int), batch_size=32, verbose=0)


def test_names_that_come_near() -> None:
    assert near("liner", ["Linear", "LazyLinear", "ReLU"]) == ["Linear", "LazyLinear"]
    with pytest.raises(TypeError, match=r"Linear has no argument 'bais'; did you mean 'bias'\?"):
        check_arguments(nn.Linear, ["bais"])
    check_arguments(nn.Linear, ["bias", "in_features"])


def test_what_does_not_depend_on_a_wrong_index_is_worked_out() -> None:
    x, where = gl.ones((3, 2)), gl.tensor([0, 1]) + 2
    hidden = x * 2
    wrong = hidden[where]
    with pytest.raises(IndexRangeError, match="index 3 at position 1"):
        wrong.numpy()
    with pytest.raises(IndexRangeError, match="index 3 at position 1"):
        wrong.numpy()
    assert (hidden + x).tolist() == [[3, 3]] * 3


def test_of_two_equal_functions_and_layers_the_right_one_is_named() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            self.left, self.right = nn.Embedding(9, 4), nn.Embedding(9, 4)

        def forward(self, x: Any, y: Any) -> Any:
            return self.left(x) * self.right(y)

    good, bad = gl.tensor(np.zeros(300, np.int64)), gl.tensor(np.arange(300) % 10)
    for _ in range(2):
        pair = gl.compile(Pair())
        pair(good, good)
        with pytest.raises(IndexRangeError, match=r"layer 'right' .* at position 9 is"):
            pair(good, bad).numpy()
        with pytest.raises(IndexRangeError, match="layer 'left'"):
            pair(bad, good).numpy()
