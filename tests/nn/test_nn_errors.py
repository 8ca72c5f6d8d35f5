"""What layers say when they are given what they cannot use."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.graph import DTypeError, IndexRangeError, ShapeError


class Net(nn.Module):
    def __init__(self) -> None:
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.head = nn.Linear(10, 2)

    def forward(self, x: Any) -> Any:
        return self.head(nn.functional.flatten(self.body(x), 1))


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.Linear(3, 2), (5, 4), "Linear(3, 2): expected input of shape (..., 3), got (5, 4)"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(5, 2)),
            (7, 3),
            "layer '2' (Linear(5, 2)): expected input of shape (..., 5), got (7, 4)",
        ),
        (
            Net(),
            (2, 8, 8, 1),
            "layer 'head' (Linear(10, 2)): expected input of shape (..., 10), got (2, 144)",
        ),
        (
            Net(),
            (2, 8, 8, 3),
            "layer 'body.0' (Conv2d(1, 4, kernel_size=(3, 3))): expected input of shape "
            "(N, H, W, C) with C = 1, got (2, 8, 8, 3)",
        ),
        (
            Net(),
            (2, 1, 8, 8),
            "with C = 1, got (2, 1, 8, 8); channels come last here: transpose the input",
        ),
        (Net(), (8, 8), "expected input of shape (N, H, W, C), got (8, 8)"),
        (Net(), (1, 2, 2, 1), "layer 'body.0'"),
        (nn.MaxPool2d(3), (1, 2, 2, 1), "MaxPool2d(kernel_size=(3, 3))"),
        (
            nn.BatchNorm2d(3),
            (2, 3, 3, 4),
            "BatchNorm2d(3): expected input of shape (N, H, W, C) with C = 3, got (2, 3, 3, 4)",
        ),
        (nn.BatchNorm1d(3), (1, 3), "training needs more than one value per feature"),
        (nn.LayerNorm(4), (2, 3), "LayerNorm((4,)): expected input of shape (..., 4), got (2, 3)"),
    ],
)
def test_shape_errors_name_the_layer_and_the_shapes(
    layer: Any, shape: tuple[int, ...], text: str
) -> None:
    with pytest.raises(ShapeError, match=re.escape(text)):
        layer(gl.ones(shape))


def test_dtype_errors_name_the_layer() -> None:
    net = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(DTypeError, match=r"layer '0'.*input of float32.*got float64"):
        net(gl.ones((2, 3), dtype=np.float64))
    with pytest.raises(DTypeError, match="expected floating numbers, got int64"):
        net(gl.ones((2, 3), dtype=np.int64))
    with pytest.raises(DTypeError, match="expected a tensor, got ndarray"):
        net(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Linear(0, 2), "in_features must be a whole number of at least 1, got 0"),
        (lambda: nn.Linear(2.5, 2), "got 2.5"),
        (lambda: nn.Conv2d(4, 4, 0), "kernel_size must be a whole number of at least 1 or 2 of"),
        (lambda: nn.Conv2d(4, 4, (3, 3, 3)), "kernel_size"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), "groups must divide the channels: 4 in, 6 out"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), "'valid' or 'same', got 'full'"),
        (lambda: nn.Conv2d(1, 1, 3, stride=2, padding="same"), "padding='same' needs stride 1"),
        (lambda: nn.MaxPool2d(2, padding=2), "padding may be at most half of kernel_size"),
        (lambda: nn.Dropout(1.5), "p must be between 0 and 1, got 1.5"),
        (lambda: nn.MSELoss("average"), "reduction is 'mean', 'sum' or 'none', got 'average'"),
    ],
)
def test_wrong_arguments(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


def test_labels_out_of_range() -> None:
    logits = gl.zeros((3, 4))
    text = "label 4 at position 1 is out of range: logits of 4 classes need labels from 0 to 3"
    with pytest.raises(IndexRangeError, match=re.escape(text)):
        nn.CrossEntropyLoss()(logits, gl.tensor(np.array([0, 4, 1])))
    with pytest.raises(IndexRangeError, match="label -1 at position 2"):
        nn.functional.nll_loss(logits, gl.tensor(np.array([0, 3, -1])))


def test_labels_that_are_not_there_yet_are_checked_when_they_are() -> None:
    labels = gl.tensor(np.array([0, 3, 2])) + 1
    with pytest.raises(IndexRangeError, match=r"4 at position [12] is out of range"):
        nn.CrossEntropyLoss()(gl.zeros((3, 4)), labels).item()


def test_a_bad_label_changes_no_weight() -> None:
    net = nn.Linear(2, 3)
    before = net.weight.numpy().copy()
    rule = gl.optim.SGD(net.parameters(), lr=1.0)
    with pytest.raises(IndexRangeError):
        nn.CrossEntropyLoss()(net(gl.ones((2, 2))), gl.tensor(np.array([0, 3]))).backward()
    rule.step()
    np.testing.assert_array_equal(net.weight.numpy(), before)


@pytest.mark.parametrize(
    ("targets", "error", "text"),
    [
        (np.zeros((3, 1), np.int64), ShapeError, "got logits (3, 4) and labels (3, 1)"),
        (np.zeros((2,), np.int64), ShapeError, "got logits (3, 4) and labels (2,)"),
        (np.zeros((3,), np.float32), ShapeError, "expected targets of the outputs' shape (3, 4)"),
        (np.zeros((3,), np.bool_), DTypeError, "expected class numbers (integers)"),
    ],
)
def test_targets_that_do_not_fit(targets: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        nn.CrossEntropyLoss()(gl.zeros((3, 4)), gl.tensor(targets))


def test_regression_targets_are_not_broadcast() -> None:
    with pytest.raises(ShapeError, match=re.escape("outputs' shape (3, 1), got (3,)")):
        nn.MSELoss()(gl.zeros((3, 1)), gl.zeros((3,)))


def test_fit_before_compile() -> None:
    with pytest.raises(RuntimeError, match="call compile"):
        nn.Linear(1, 1).fit(np.zeros((1, 1)), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="unknown loss 'hing'; did you mean 'hinge'"):
        nn.Linear(1, 1).compile(loss="hing")
    with pytest.raises(ValueError, match="unknown optimizer 'rms'; did you mean 'rmsprop'"):
        nn.Linear(1, 1).compile(optimizer="rms", loss="mse")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Embedding(3, 2, padding_idx="1"), "padding_idx must be a whole number or None"),
        (lambda: nn.Embedding(3, 2, padding_idx=1.5), "padding_idx must be a whole number or None"),
        (lambda: nn.LayerNorm(None), "normalized_shape must be .*, got None"),
        (lambda: nn.LayerNorm(1.5), "normalized_shape must be .*, got 1.5"),
        (lambda: nn.GroupNorm(2, 4, eps=-1), "eps must not be negative, got -1"),
        (
            lambda: gl.optim.MultiStepLR(gl.optim.SGD([gl.ones(1)], lr=0.1), 3),
            "milestones must be a list of epochs, got 3",
        ),
    ],
)
def test_odd_arguments_are_named(make: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        make()
