"""What tensors hold: updates in place, shared cells, slices, when things run, what is kept."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.tensor import programs
from glubina.tensor.errors import GradientError


def test_methods_in_place() -> None:
    x = gl.tensor([1.0, 2.0, 3.0])
    same = x
    x.add_(1).mul_(gl.tensor([1.0, 2.0, 3.0])).sub_(0.5).div_(2)
    np.testing.assert_allclose(same.numpy(), [0.75, 2.75, 5.75])
    x += 1
    x *= 2
    assert x is same
    np.testing.assert_allclose(x.numpy(), [3.5, 7.5, 13.5])
    assert x.clamp_(max=7).tolist() == [3.5, 7, 7]
    assert x.fill_(4).tolist() == [4, 4, 4]
    assert x.copy_(gl.tensor([1, 2, 3])).tolist() == [1, 2, 3]
    assert x.dtype == gl.float32
    assert x.zero_().tolist() == [0, 0, 0]
    with pytest.raises(gl.errors.ShapeError, match=r"add_.*\(2, 3\).*\(3,\)"):
        x.add_(gl.ones(2, 3))
    with pytest.raises(gl.errors.DTypeError, match="float32 cannot be kept in a int64"):
        gl.arange(3).div_(2)


def test_detach_and_data_share_the_cell() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    x.data.mul_(10)
    assert x.tolist() == [10, 20]
    x.detach().add_(1)
    assert x.tolist() == [11, 21]
    x.data = gl.tensor([5.0, 6.0])
    assert x.tolist() == [5, 6]
    assert x.requires_grad
    assert x.is_leaf
    (x * x).sum().backward()
    assert x.grad.tolist() == [10, 12]
    with pytest.raises(gl.errors.ShapeError, match=r"data.*\(3,\).*\(2,\)"):
        x.data = gl.ones(3)


def test_a_leaf_is_not_changed_while_derivatives_are_recorded() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 3.0)):
        with pytest.raises(GradientError, match="no_grad"):
            change()
    with gl.no_grad():
        x[0] = 3.0
        x.sub_(1)
    assert x.tolist() == [2, 1]


def test_results_made_before_an_update_keep_the_old_value() -> None:
    x = gl.tensor([1.0, 2.0])
    before = x * 10
    x.add_(1)
    after = x * 10
    assert before.tolist() == [10, 20]
    assert after.tolist() == [20, 30]


def test_arrays_that_were_read_keep_the_old_value() -> None:
    x = gl.tensor(np.arange(4096.0))
    view, copy, exported = x.numpy(copy=False), x.numpy(), np.from_dlpack(x)
    assert not view.flags.writeable
    for _ in range(3):
        x.add_(1)
        x.realise()
    for held in (view, copy, exported):
        np.testing.assert_array_equal(held, np.arange(4096.0))
    np.testing.assert_array_equal(x.numpy(), np.arange(4096.0) + 3)


def address(x: Any) -> int:
    return int(x._cell.value().buffer.address)


@pytest.mark.skipif(programs.backend() == "interpreter", reason="programs overwrite, NumPy not")
def test_an_update_takes_over_the_memory_that_nobody_else_holds() -> None:
    x = gl.tensor(np.zeros(100_000, np.float32))
    first = address(x)
    x.add_(1).realise()
    assert address(x) == first
    held = x * 2  # a pending result needs the old value
    x.add_(1).realise()
    assert address(x) != first
    assert held[0].item() == 2
    del held
    first = address(x)
    view = x.numpy(copy=False)
    x.add_(1).realise()
    assert address(x) != first
    assert view[0] == 2
    assert x[0].item() == 3


def test_slices_are_copies() -> None:
    x = gl.arange(6).reshape(2, 3)
    row = x[0]
    row.add_(10)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert row.tolist() == [10, 11, 12]


INDICES: list[Any] = [
    1, -1, np.s_[:], np.s_[1:], np.s_[::-1], np.s_[..., 0], np.s_[:, 1:3], np.s_[1, ::2, None],
    np.s_[:, None, -1], np.s_[2:0:-1], np.s_[5:], np.s_[1, 2, 3], np.s_[..., None],
    np.s_[np.array([0, 2])], np.s_[:, np.array([1, 1, 0])], np.s_[np.array([0, 1]), :, 1],
    np.s_[np.array([[0], [1]]), np.array([2, 0])], np.s_[1, np.array([0, -1]), 1:],
    np.s_[np.array([0, 1]), :, np.array([1, 2])],
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_reading_and_writing_parts(index: Any) -> None:
    array = np.arange(24.0).reshape(3, 2, 4)[:, :, :4].repeat(2, 1)[:, :3]
    x = gl.tensor(array)
    expected = array[index]
    found = x[index]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.numpy(), expected)
    array = array.copy()
    array[index] = -1.5
    x[index] = -1.5
    np.testing.assert_array_equal(x.numpy(), array)
    if expected.shape:
        value = np.arange(expected.shape[-1]) * 1.0
        array[index], x[index] = value, gl.tensor(value)
        np.testing.assert_array_equal(x.numpy(), array)


def test_masks() -> None:
    array = np.arange(12.0).reshape(3, 4)
    x = gl.tensor(array)
    np.testing.assert_array_equal(x[x > 5].numpy(), array[array > 5])
    rows = np.array([True, False, True])
    np.testing.assert_array_equal(x[rows, 1:].numpy(), array[rows, 1:])
    x[x > 5] = 0
    array[array > 5] = 0
    np.testing.assert_array_equal(x.numpy(), array)
    x[gl.tensor(rows)] = gl.tensor([[1.0], [2.0]])
    array[rows] = [[1], [2]]
    np.testing.assert_array_equal(x.numpy(), array)
    x[x == 1] = gl.tensor([9.0, 8.0, 7.0, 6.0])
    assert x[0].tolist() == [9, 8, 7, 6]


def test_of_a_place_written_twice_the_last_value_stays() -> None:
    x = gl.zeros(3)
    x[[0, 0, 2]] = gl.tensor([1.0, 2.0, 3.0])
    assert x.tolist() == [2, 0, 3]


def test_writing_a_part_has_derivatives() -> None:
    x = gl.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    part = gl.tensor([5.0, 7.0], requires_grad=True)
    y = x * 2
    y[::2] = part
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 16, 0, 32])
    np.testing.assert_array_equal(part.grad.numpy(), [10, 14])


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (3, "index 3 is out of range for axis 0 with 3"),
        ((0, 0, 0), "too many indices: 3"),
        ("a", "not by str"),
        (1.0, "not by float"),
        (True, "True and False"),
        (slice(0, 1, 0), "step"),
    ],
)
def test_errors_of_indices(index: Any, text: str) -> None:
    with pytest.raises(gl.errors.IndexRangeError, match=text):
        gl.zeros(3, 2)[index]


def test_an_index_out_of_range_at_run_time() -> None:
    x = gl.arange(5.0)
    with pytest.raises(gl.errors.IndexRangeError, match="7"):
        x[gl.tensor([1, 7])].numpy()
    with pytest.raises(gl.errors.IndexRangeError):
        gl.zeros(3, 4)[gl.tensor([0, 1]), gl.tensor([2, 4])].numpy()


def test_after_an_error_the_old_values_are_there() -> None:
    state = gl.tensor(np.ones(50_000, np.float32))
    rows = gl.tensor(np.array([0, 49_999])) + gl.tensor([0, 1])  # known when it runs
    result = gl.take(state, rows)
    state.add_(result.sum())
    with pytest.raises(gl.errors.IndexRangeError):
        state.realise()
    np.testing.assert_array_equal(state.numpy(), np.ones(50_000))
    with pytest.raises(gl.errors.IndexRangeError):
        result.numpy()


def test_after_an_error_within_an_update_the_old_values_are_there() -> None:
    state = gl.tensor(np.ones(50_000, np.float32))
    state.add_(gl.take(gl.ones(4), gl.tensor(np.full(50_000, 4)) + 1))
    with pytest.raises(gl.errors.IndexRangeError):
        state.realise()
    np.testing.assert_array_equal(state.numpy(), np.ones(50_000))


def test_the_value_of_a_number_is_not_structure() -> None:
    x = gl.tensor(np.ones(30_000, np.float32))
    (x * 0.1 + 3).realise()
    seen = programs.structures_seen()
    for i in range(1, 20):
        assert (x * (0.3 + i) + i * 7 + 4)[0].item() > 0
    assert programs.structures_seen() <= seen + 1


@pytest.mark.skipif(programs.backend() == "interpreter", reason="about programs")
def test_a_line_that_keeps_making_programs_is_warned_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "_MANY", 4)
    x = gl.tensor(np.ones(30_000, np.float32))
    with pytest.warns(RuntimeWarning, match=r"test_state.py, line \d+, has made 4"):
        _ = [x[:n].sum().realise() for n in range(1, 6)]


def handwritten_loop(steps: int) -> tuple[list[float], int]:
    """Momentum by hand, as a lecture writes it; the losses, and how many structures ran."""
    rng = np.random.default_rng(0)
    x, y = (gl.tensor(rng.normal(size=(64, n)).astype(np.float32)) for n in (5, 1))
    w = gl.tensor(np.ones((5, 1), np.float32), requires_grad=True)
    v = gl.zeros(5, 1)
    seen, losses = programs.structures_seen(), []
    for _ in range(steps):
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        with gl.no_grad():
            v = 0.9 * v + w.grad
            w -= 0.05 * v
        w.grad = None
        losses.append(loss)
    return [loss.item() for loss in losses], programs.structures_seen() - seen


def test_a_loop_by_hand_makes_few_structures_and_goes_down() -> None:
    losses, structures = handwritten_loop(40)
    assert structures <= 6
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(64, n)) for n in (5, 1))
    w, v = np.ones((5, 1)), np.zeros((5, 1))
    for loss in losses:
        error = x @ w - y
        np.testing.assert_allclose(loss, (error**2).mean(), rtol=1e-4)
        v = 0.9 * v + 2 * x.T @ error / 64
        w = w - 0.05 * v


def test_values_that_are_held_are_kept_when_their_graph_runs() -> None:
    x = gl.tensor(np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32))
    hidden = (x @ x).tanh()
    out = hidden.sum()
    out.item()
    assert hidden._cell.value() is not None
    dropped = (x @ x).sigmoid()
    out = dropped.sum()
    del dropped
    gc.collect()
    out.item()
    assert out._cell.value() is not None


def test_copies() -> None:
    x = gl.tensor([1.0, 2.0], requires_grad=True)
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.requires_grad
        other.data.add_(1)
        assert other.tolist() == [2, 3]
        assert x.tolist() == [1, 2]
    with pytest.raises(GradientError, match="clone"):
        copy.deepcopy(x * 2)
    (x.clone() * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_a_long_chain_runs_and_is_freed() -> None:
    x = gl.tensor(0.0)
    for _ in range(3000):
        x = x + 1
    assert x.item() == 3000
    y = gl.tensor(1.0)
    for _ in range(20000):
        y = y * 1
    del y
