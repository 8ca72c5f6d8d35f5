"""CTC against the sum over all alignments, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gradient_checks import check_gradients
from nn_oracle import log_softmax

import glubina as gl
from glubina import nn
from glubina.graph import IndexRangeError, ShapeError
from glubina.nn import functional as F

RANDOM = np.random.default_rng(12)
T, N, C = 5, 4, 3
LOG_P = log_softmax(RANDOM.standard_normal((T, N, C)))
LABELS = np.array([[1, 2, 1], [1, 1, 2], [2, 0, 0], [0, 0, 0]])
INPUTS, TARGETS = np.array([5, 4, 3, 5]), np.array([3, 2, 1, 0])


def _collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label != blank]


def _brute(log_p: Any, labels: list[int], blank: int) -> float:
    total = 0.0
    for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        if _collapsed(path, blank) == labels:
            total += np.exp(sum(log_p[t, c] for t, c in enumerate(path)))
    return -float(np.log(total)) if total else np.inf


def _expected(labels: Any, blank: int = 0) -> Any:
    rows = range(len(labels))
    return np.array(
        [_brute(LOG_P[: INPUTS[i], i], list(labels[i, : TARGETS[i]]), blank) for i in rows]
    )


@pytest.mark.parametrize("blank", [0, 2])
def test_every_alignment(blank: int) -> None:
    labels = (LABELS + blank) % C if blank else LABELS
    each = _expected(labels, blank)
    assert np.isfinite(each).all()
    given = (gl.tensor(LOG_P), gl.tensor(labels), INPUTS.tolist(), gl.tensor(TARGETS))
    mean = (each / np.maximum(TARGETS, 1)).mean()
    for reduction, expected in (("none", each), ("sum", each.sum()), ("mean", mean)):
        loss = nn.CTCLoss(blank, reduction)
        np.testing.assert_allclose(loss(*given).numpy(), expected, rtol=1e-10)
        compiled = gl.compile(lambda p, loss=loss: loss(p, *given[1:]))
        np.testing.assert_allclose(compiled(given[0]).numpy(), expected, rtol=1e-10)


def test_derivatives() -> None:
    rest = gl.tensor(LABELS), gl.tensor(INPUTS), gl.tensor(TARGETS)

    def value(z: Any) -> Any:
        return F.ctc_loss(gl.log_softmax(z), *rest)

    check_gradients(value, RANDOM.standard_normal((T, N, C)))


def test_targets_one_after_another_and_other_layouts() -> None:
    padded = F.ctc_loss(gl.tensor(LOG_P), gl.tensor(LABELS), INPUTS, TARGETS, reduction="none")
    flat = np.concatenate([row[:count] for row, count in zip(LABELS, TARGETS, strict=True)])
    joined = F.ctc_loss(gl.tensor(LOG_P), gl.tensor(flat), INPUTS, TARGETS, reduction="none")
    np.testing.assert_array_equal(joined.numpy(), padded.numpy())
    turned = nn.CTCLoss(reduction="none", batch_first=True)(
        gl.tensor(LOG_P.swapaxes(0, 1)), gl.tensor(LABELS), INPUTS, TARGETS
    )
    np.testing.assert_array_equal(turned.numpy(), padded.numpy())
    one = F.ctc_loss(gl.tensor(LOG_P[:, 0]), gl.tensor(LABELS[0]), 5, 3, reduction="none")
    assert one.shape == ()
    assert one.item() == pytest.approx(padded.numpy()[0])


def test_impossible_targets() -> None:
    inputs = [2, 4, 3, 5]  # three labels in two steps
    x = gl.tensor(LOG_P, requires_grad=True)
    each = F.ctc_loss(x, gl.tensor(LABELS), inputs, TARGETS, reduction="none")
    assert np.isinf(each.numpy()).tolist() == [True, False, False, False]
    F.ctc_loss(x, gl.tensor(LABELS), inputs, TARGETS, zero_infinity=True).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()
    assert not x.grad.numpy()[:, 0].any()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"blank": 3}, ValueError, "blank must be a class from 0 to 2, got 3"),
        ({"targets": gl.tensor(LABELS + 2)}, IndexRangeError, "label 3"),
        ({"targets": gl.tensor(LABELS[:2])}, ShapeError, r"expected targets \(4, S\)"),
        ({"input_lengths": [9, 1, 1, 1]}, ValueError, "input_lengths must be from 0 to 5"),
        ({"target_lengths": [4, 1, 1, 1]}, ValueError, "target_lengths must be from 0 to 3"),
        ({"target_lengths": [1]}, ShapeError, r"target_lengths must have the shape \(4,\)"),
        ({"targets": gl.tensor([1, 2])}, ShapeError, "target_lengths sum to 6"),
        ({"reduction": "all"}, ValueError, "reduction"),
    ],
)
def test_errors(change: dict[str, Any], error: type[Exception], text: str) -> None:
    given = {"targets": gl.tensor(LABELS), "input_lengths": INPUTS, "target_lengths": TARGETS}
    with pytest.raises(error, match=text):
        F.ctc_loss(gl.tensor(LOG_P), **(given | change))
