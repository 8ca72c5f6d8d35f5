"""Landscapes: values against NumPy, paths against the rules by hand, weights put back exactly."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import size_of

import glubina as gl
from glubina import nn, optim
from glubina.explain import ExplainError, landscape
from glubina.explain.landscape_plot import level_values


def bowl(w1: Any, w2: Any) -> Any:
    """w1² + 5 w2²."""
    return w1**2 + 5 * w2**2


def descent(lr: float) -> Any:
    """Plain descent."""
    return lambda w: optim.SGD(w, lr=lr)


def network() -> tuple[nn.Sequential, Any, Any]:
    """A small network with running statistics, and its data."""
    gl.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)
    )
    x = np.random.default_rng(0).standard_normal((30, 2)).astype(np.float32)
    model(gl.tensor(x)).mean().item()  # moves the running statistics
    return model, x, x[:, :1] * x[:, 1:]


def arrays(model: nn.Module) -> dict[str, Any]:
    """The state, copied."""
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def test_a_surface_is_what_numpy_gives() -> None:
    surface = landscape.surface(bowl, (-3, 3), (-2, 2), (13, 9))
    x, y = np.meshgrid(np.linspace(-3, 3, 13), np.linspace(-2, 2, 9))
    np.testing.assert_allclose(surface.values, x**2 + 5 * y**2, rtol=1e-14)
    np.testing.assert_allclose(surface.gradients[..., 0], 2 * x, atol=1e-14)
    np.testing.assert_allclose(surface.gradients[..., 1], 10 * y, atol=1e-14)
    assert surface.lowest == (0.0, 0.0, 0.0)
    assert surface.minima().tolist() == [[0.0, 0.0]]


def test_a_surface_may_sum_over_data() -> None:
    x, y = gl.tensor([0.0, 1.0, 2.0]).double(), gl.tensor([1.0, 3.0, 5.0]).double()
    surface = landscape.surface(lambda a, b: ((a * x + b - y) ** 2).mean(), points=7)
    assert surface.lowest == (2.0, 1.0, 0.0)


def test_local_minima_are_found_lowest_first() -> None:
    surface = landscape.surface(
        lambda a, b: (a**2 - 1) ** 2 + 0.3 * a + b**2, (-2, 2), (-1, 1), (81, 21)
    )
    minima = surface.minima()
    assert len(minima) == 2
    np.testing.assert_allclose(minima, [[-1.03, 0], [0.96, 0]], atol=0.03)


def test_plain_descent_by_hand() -> None:
    way = landscape.path(bowl, lambda w: optim.SGD(w, lr=0.05), (-2.0, 1.0), steps=7)
    expected = np.array([[-2 * 0.9**k, 0.5**k] for k in range(8)])
    np.testing.assert_allclose(way.points, expected, rtol=1e-12)
    np.testing.assert_allclose(way.losses, expected[:, 0] ** 2 + 5 * expected[:, 1] ** 2)
    np.testing.assert_allclose(way.gradients, expected * [2, 10])
    assert len(way) == 7
    assert not way.diverged


def test_small_good_and_too_large_steps() -> None:
    small, good, large = (
        landscape.path(bowl, descent(lr), (-2.5, 1.0), 20) for lr in (0.005, 0.15, 0.21)
    )
    assert good.losses[-1] < 1e-4 < small.losses[-1] < small.losses[0]
    assert large.diverged
    assert not good.diverged
    assert not small.diverged


def test_momentum_beats_plain_descent_in_a_ravine() -> None:
    def ravine(a: Any, b: Any) -> Any:
        return 0.02 * a**2 + b**2

    plain = landscape.path(ravine, lambda w: optim.SGD(w, lr=0.9), (-5.0, 1.0), 30)
    heavy = landscape.path(ravine, lambda w: optim.SGD(w, lr=0.9, momentum=0.7), (-5.0, 1.0), 30)
    assert heavy.losses[-1] < 0.1 * plain.losses[-1]


RULES = [
    optim.Adadelta, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax, optim.LBFGS, optim.Lion,
    optim.NAdam, optim.RAdam, optim.RMSprop, optim.SGD,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_any_optimiser_goes_downhill(rule: Any) -> None:
    way = landscape.path(bowl, lambda w: rule(w, lr=0.05), (-2.0, 1.0), steps=8)
    assert way.losses[-1] < way.losses[0]


def test_a_path_ends_before_what_is_not_finite() -> None:
    way = landscape.path(lambda a, b: a**4 + b * b, lambda w: optim.SGD(w, lr=1.0), (2.0, 0.0), 30)
    assert 0 < len(way) < 30
    assert way.broken
    assert way.diverged
    assert np.isfinite(way.points).all()
    assert np.isfinite(way.losses).all()


def test_what_is_no_function_of_two_scalars_is_said() -> None:
    with pytest.raises(ExplainError, match=r"a scalar tensor for two scalars.*shape \(2,\)"):
        landscape.surface(lambda a, b: gl.stack([a, b]))
    with pytest.raises(ExplainError, match="a range goes from low to high"):
        landscape.surface(bowl, (1, -1))
    with pytest.raises(ExplainError, match="two numbers, got 3"):
        landscape.path(bowl, lambda w: optim.SGD(w, lr=0.1), (1, 2, 3))


def test_level_lines_of_a_parabola_are_evenly_spaced() -> None:
    levels = level_values(np.array([1.0, 5.0, np.inf, np.nan]), 4)
    np.testing.assert_allclose(np.sqrt(levels - 1), [0, 0.5, 1, 1.5, 2])


# -- the weights of a network -------------------------------------------------------------------


def test_a_line_between_two_states() -> None:
    model, x, y = network()
    loss = nn.MSELoss()
    start = arrays(model)
    end = {name: value + np.float32(0.3) for name, value in start.items()}
    end["1.num_batches_tracked"] = start["1.num_batches_tracked"]
    found = landscape.line(model, loss, x, y, end=end, points=7, batch_size=8)
    assert found.positions.tolist() == np.linspace(-0.25, 1.25, 7).tolist()
    for a, value in zip(found.positions, found.losses, strict=True):
        other = copy.deepcopy(model).eval()
        for name, held in (*other.named_parameters(), *other.named_buffers()):
            if held.dtype.kind == "f":
                share = np.clip(a, 0, 1) if "running" in name else a
                with gl.no_grad():
                    held.copy_(
                        gl.tensor(start[name] + np.float32(share) * (end[name] - start[name]))
                    )
        assert value == pytest.approx(loss(other(gl.tensor(x)), gl.tensor(y)).item(), rel=1e-4)


def test_weights_come_back_bit_for_bit_also_after_an_error() -> None:
    model, x, y = network()
    model[1].train(False)
    before, modes = arrays(model), [m.training for m in model.modules()]
    landscape.plane(model, nn.MSELoss(), x, y, points=3)
    calls = []

    def broken(outputs: Any, targets: Any) -> Any:
        calls.append(0)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        landscape.line(model, broken, x, y, points=3)
    assert calls
    for name, value in arrays(model).items():
        assert value.tobytes() == before[name].tobytes(), name
    assert [m.training for m in model.modules()] == modes


def test_random_directions_are_as_long_as_the_filters() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4))
    direction = landscape.random_direction(model, seed=3)
    assert direction.keys() == {"0.weight", "2.weight"}
    for name, axes in (("0.weight", (0, 1, 2)), ("2.weight", (1,))):
        weight = model.state_dict()[name].numpy()
        lengths: list[Any] = [
            np.sqrt((v.astype(np.float64) ** 2).sum(axes)) for v in (weight, direction[name])
        ]
        np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-5)
    again = landscape.random_direction(model, seed=3)
    assert all(np.array_equal(again[name], direction[name]) for name in direction)


def test_a_plane_through_three_states() -> None:
    model, x, y = network()
    start, loss = arrays(model), nn.MSELoss()
    rng = np.random.default_rng(1)
    others = [
        {
            name: v + (rng.standard_normal(v.shape).astype(v.dtype) if "running" not in name else 0)
            for name, v in start.items()
        }
        for _ in range(2)
    ]
    found = landscape.plane(
        model, loss, x, y, towards=(others[0], others[1]), span=(0, 1), points=3
    )
    np.testing.assert_allclose(found.project([start, *others]), [[0, 0], [1, 0], [0, 1]], atol=1e-5)
    for place, state in (((0, 0), start), ((0, 2), others[0]), ((2, 0), others[1])):
        model.load_state_dict(state)
        with gl.no_grad():
            value = loss(model.eval()(gl.tensor(x)), gl.tensor(y)).item()
        assert found.losses[place] == pytest.approx(value, rel=1e-4)


def test_a_plane_along_a_line_is_the_line() -> None:
    model, x, y = network()
    loss = nn.MSELoss()
    flat = landscape.plane(model, loss, x, y, points=5)
    straight = landscape.line(model, loss, x, y, points=5)
    np.testing.assert_allclose(flat.losses[2], straight.losses, rtol=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_batches_do_not_change_the_loss(reduction: str) -> None:
    model, x, y = network()
    loss = nn.MSELoss(reduction=reduction)
    whole = landscape.line(model, loss, x, y, points=4)
    parts = landscape.line(model, loss, x, y, points=4, batch_size=7)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)


def test_one_program_serves_all_points() -> None:
    model, x, y = network()
    calls = []

    def loss(outputs: Any, targets: Any) -> Any:
        calls.append(0)
        return ((outputs - targets) ** 2).mean()

    landscape.plane(model, loss, x, y, points=5)
    assert len(calls) == 1


def test_missing_weights_are_named() -> None:
    model, x, y = network()
    with pytest.raises(ExplainError, match=r"have no 0\.weight"):
        landscape.line(model, nn.MSELoss(), x, y, end={"0.bias": np.zeros(8)})
    with pytest.raises(ExplainError, match="30 examples and 29 targets"):
        landscape.line(model, nn.MSELoss(), x, y[1:])


def test_the_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    surface = landscape.surface(bowl, points=21)
    ways = [
        landscape.path(bowl, descent(lr), (-2.5, 1.0), 9, f"lr {lr}") for lr in (0.01, 0.1, 0.3)
    ]
    surface.plot(tmp_path / "one.png", ways, arrows=5, title="a bowl")
    surface.plot(tmp_path / "apart.png", ways, apart=True)
    surface.plot(tmp_path / "alone.png")
    one, apart = size_of(tmp_path / "one.png"), size_of(tmp_path / "apart.png")
    assert apart[0] == 3 * one[0] == 3 * size_of(tmp_path / "alone.png")[0]
    model, x, y = network()
    landscape.line(model, nn.MSELoss(), x, y, points=3).plot(tmp_path / "line.png")
    plane = landscape.plane(model, nn.MSELoss(), x, y, points=3)
    plane.plot(tmp_path / "plane.png", [[0, 0], [0.5, 0.5]])
    assert size_of(tmp_path / "line.png") == (672, 480)
    assert size_of(tmp_path / "plane.png") == (648, 528)
