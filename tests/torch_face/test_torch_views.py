"""Parts of tensors change with them, as course code expects: `x[0][1] = 5`, `x.view(-1)[0] = 1`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glubina.torch as torch
from glubina.tensor.errors import GradientError


def test_writing_through_indices_of_indices() -> None:
    line = torch.zeros(3, 1, 5)
    for place, letter in enumerate((2, 0, 4)):
        line[place][0][letter] = 1
    assert line.sum(2).tolist() == [[1.0], [1.0], [1.0]]
    assert line[2, 0].tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_writing_through_shapes_turns_and_iteration() -> None:
    x = torch.zeros(2, 3)
    x.view(-1)[4] = 1
    x.t()[0] += 2
    x.transpose(0, 1)[2][0] = 9
    x.unsqueeze(0)[0, 1].mul_(3)
    for row in x:
        row[2].add_(1)
    assert x.tolist() == [[2.0, 0.0, 10.0], [6.0, 3.0, 1.0]]
    first, second = x.chunk(2)
    second.zero_()
    assert x.tolist() == [[2.0, 0.0, 10.0], [0.0, 0.0, 0.0]]
    assert first.tolist() == [[2.0, 0.0, 10.0]]


def test_a_part_sees_changes_of_the_whole() -> None:
    x = torch.arange(6.0)
    part, turned = x[2:4], x.view(2, 3).T
    x.mul_(10)
    assert part.tolist() == [20.0, 30.0]
    assert turned.tolist() == [[0.0, 30.0], [10.0, 40.0], [20.0, 50.0]]
    part.fill_(1)
    assert turned[2].tolist() == [1.0, 50.0]


def test_the_whole_need_not_be_held() -> None:
    x = torch.arange(6).reshape(2, 3)
    x[0][1] = 50
    assert x.tolist() == [[0, 50, 2], [3, 4, 5]]
    a = torch.arange(6)
    first = a[:4]
    second = first[1:]
    del a
    first[1] = 9
    second[1] = 7
    assert first.tolist() == [0, 9, 7, 3]
    assert second.tolist() == [9, 7, 3]


def test_diagonals_moved_axes_and_the_function_reshape() -> None:
    x = torch.zeros(2, 3)
    x.diagonal().add_(1)
    x.diagonal(1).fill_(2)
    torch.movedim(x, 0, 1)[0].mul_(5)
    torch.reshape(x, (3, 2))[1, 1] = 7
    assert x.tolist() == [[5.0, 2.0, 0.0], [7.0, 1.0, 2.0]]


def test_what_is_written_makes_the_other_parts_require_gradients() -> None:
    w = torch.ones(2, requires_grad=True)
    whole = torch.zeros(4).view(2, 2)
    one, other = whole[0], whole[0]
    other.unsqueeze_(0)
    one[0] = w.sum() * 3
    assert whole.requires_grad
    assert other.requires_grad
    other.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_copies_are_no_views() -> None:
    x = torch.arange(6.0).view(2, 3)
    for copy in (x.clone(), x[[0, 1]], x[x > -1], x.t().contiguous(), x.t().reshape(-1), x + 0):
        copy.zero_()
    assert x.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_parts_of_parameters() -> None:
    w = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(GradientError, match=r"a view of a leaf .* no_grad\(\), or through \.data"):
        w[0].mul_(2)
    w.data[0].mul_(5)
    with torch.no_grad():
        w[1][0] -= 3
    assert w.tolist() == [[5.0, 5.0], [-2.0, 1.0]]


def test_many_parts_are_quickly_made_and_forgotten() -> None:
    x = torch.zeros(20000, 2)
    rows = list(x)
    rows[7].fill_(1)
    assert x[7].tolist() == [1.0, 1.0]
    assert rows[7].tolist() == [1.0, 1.0]
    few = torch.zeros(3)
    for _ in range(500):
        few[0]
    assert len(few._cell.views.refs) <= 65


def test_derivatives_go_through_what_is_written_to_a_part() -> None:
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    y = torch.zeros(2, 2)
    y[0][1] = w[0] * w[1]
    y[1].add_(w)
    (y * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert w.grad.tolist() == [9.0, 8.0]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_chains_of_views_agree_with_numpy(data: st.DataObject) -> None:
    array = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    whole = torch.from_numpy(array)
    theirs, ours = array, whole
    for _ in range(data.draw(st.integers(1, 4))):
        rank = theirs.ndim
        kind = data.draw(st.sampled_from(["index", "slice", "turn", "axis"]))
        if kind == "index" and rank > 1:
            at = data.draw(st.integers(-theirs.shape[0], theirs.shape[0] - 1))
            theirs, ours = theirs[at], ours[at]
        elif kind == "slice" and rank:
            start = data.draw(st.integers(0, theirs.shape[0] - 1))
            theirs, ours = theirs[start:], ours[start:]
        elif kind == "turn" and rank > 1:
            theirs, ours = np.swapaxes(theirs, 0, rank - 1), ours.transpose(0, rank - 1)
        elif kind == "axis":
            theirs, ours = theirs[None], ours.unsqueeze(0)
    theirs *= 2
    ours.mul_(2)
    theirs[0] = 7
    ours[0] = 7
    np.testing.assert_array_equal(whole.numpy(), array)
    array += 1
    whole.add_(1)
    np.testing.assert_array_equal(ours.numpy(), theirs)
