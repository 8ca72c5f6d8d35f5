"""The loss of a network along a line or over a plane in the space of its weights.

One compiled program sets the weights and works the loss out; it is run for one point after the
other. Afterwards the weights and buffers are what they were, bit for bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.shown import Shown
from glubina.nn import Module
from glubina.tensor import Tensor, compile, no_grad, tensor
from glubina.tensor.convert import as_tensor
from glubina.train.protocol import in_use

Array = NDArray[Any]
Direction = dict[str, Array]
State = Mapping[str, Any]


@dataclass(frozen=True)
class LossLine(Shown):
    """The loss along a line: positions (points,), losses (points,).

    labels: what the positions 0 and 1 are ("start" and "end"), empty for a random direction.
    """

    positions: Array
    losses: Array
    labels: tuple[str, ...] = ()

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw it as a PNG. Raises MissingExtraError without matplotlib."""
        from glubina.explain.landscape_plot import plot_line

        plot_line(self, path)


@dataclass(frozen=True)
class LossPlane(Shown):
    """The loss over a plane: x (columns,), y (rows,), losses (rows, columns).

    start: the weights at (0, 0). directions: the two that the plane is spanned by, by name.
    """

    x: Array
    y: Array
    losses: Array
    start: Direction
    directions: tuple[Direction, Direction]

    def project(self, states: Sequence[State]) -> Array:
        """The points of the plane that are nearest to weights, by least squares: (states, 2)."""
        first, second = (_flat(direction, self.start) for direction in self.directions)
        basis = np.stack([first, second], axis=1)
        rows = [
            _flat({name: _array(state[name]) - self.start[name] for name in self.start}, self.start)
            for state in states
        ]
        found: Array = np.linalg.lstsq(basis, np.array(rows).T, rcond=None)[0].T
        return found

    def plot(self, path: str | os.PathLike[str], points: Any = None) -> None:
        """Draw level lines as a PNG; points (n, 2), as from `project`, as a path over them.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.landscape_plot import plot_plane

        plot_plane(self, path, None if points is None else np.asarray(points))


def line(
    model: Module,
    loss: Any,
    x: Any,
    y: Any,
    *,
    start: State | None = None,
    end: State | None = None,
    points: int = 41,
    span: tuple[float, float] | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> LossLine:
    """The loss on the line w(α) = start + α · direction through the weights of a network.

    start: weights by name (`state_dict`), the current ones by default. end: other weights; the
    direction is then end − start, so that α = 1 is the end, and buffers of real numbers (running
    statistics) go the same way, but no further than start and end: a variance stays positive.
    Without it the direction is random (`random_direction` of the seed). span: from which α to
    which, (-0.25, 1.25) between two states, else (-1, 1).
    x, y: the examples; the network behaves as in use (no dropout), in batches of `batch_size`.

    Source: Goodfellow et al., 2015, arXiv:1412.6544; Li et al., 2018, arXiv:1712.09913.
    """
    begin = _state(model, start)
    direction = random_direction(model, begin, seed) if end is None else _between(begin, end)
    low, high = span or ((-1.0, 1.0) if end is None else (-0.25, 1.25))
    positions = np.linspace(low, high, points)
    with _Walker(model, loss, x, y, begin, (direction,), batch_size).ready() as walker:
        losses = np.array([walker.at(float(a)) for a in positions])
    return LossLine(positions, losses, () if end is None else ("start", "end"))


def plane(
    model: Module,
    loss: Any,
    x: Any,
    y: Any,
    *,
    start: State | None = None,
    towards: tuple[State, State] | None = None,
    points: int = 21,
    span: tuple[float, float] | None = None,
    seed: int = 0,
    batch_size: int = 1024,
) -> LossPlane:
    """The loss over the plane w(α, β) = start + α · first + β · second through the weights.

    towards: two other weights, which are then at (1, 0) and (0, 1); without them both directions
    are random and filter-normalised. Everything else is as for `line`; points is along each axis.

    Source: Li et al., 2018, arXiv:1712.09913.
    """
    begin = _state(model, start)
    if towards is None:
        first, second = (random_direction(model, begin, seed + i) for i in (0, 1))
    else:
        first, second = (_between(begin, other) for other in towards)
    low, high = span or ((-1.0, 1.0) if towards is None else (-0.25, 1.25))
    positions = np.linspace(low, high, points)
    with _Walker(model, loss, x, y, begin, (first, second), batch_size).ready() as walker:
        losses = [[walker.at(float(a), float(b)) for a in positions] for b in positions]
    return LossPlane(positions, positions, np.array(losses), begin, (first, second))


def random_direction(model: Module, weights: State | None = None, seed: int = 0) -> Direction:
    """A random direction in the space of weights, filter by filter as long as the weights.

    d ← d / ‖d‖ · ‖w‖ for each filter: a row of a matrix (out, in), an output channel (last axis)
    of a filter bank. Biases and what else has one axis stay where they are. weights: the current
    ones by default. Source: Li et al., 2018, arXiv:1712.09913, section 4.
    """
    rng = np.random.default_rng(seed)
    held = _state(model, weights)
    found = {}
    for name, parameter in model.named_parameters():
        value = held[name].astype(np.float64)
        if value.ndim < 2 or parameter.dtype.kind != "f":
            continue
        drawn = rng.standard_normal(value.shape)
        axes = (1,) if value.ndim == 2 else tuple(range(value.ndim - 1))
        length = np.sqrt((drawn**2).sum(axis=axes, keepdims=True))
        scaled = drawn / length * np.sqrt((value**2).sum(axis=axes, keepdims=True))
        found[name] = scaled.astype(parameter.dtype)
    return found


# -- walking ------------------------------------------------------------------------------------


class _Walker:
    """Sets the weights to points of a line or plane and works the loss out there."""

    def __init__(
        self,
        model: Module,
        loss: Any,
        x: Any,
        y: Any,
        start: Direction,
        directions: tuple[Direction, ...],
        batch_size: int,
    ) -> None:
        self.model, self.loss = model, loss
        self.held = {
            name: t
            for name, t in (*model.named_parameters(), *model.named_buffers())
            if name in start
        }
        self.start = {name: tensor(start[name]) for name in self.held}
        self.moved = [
            {name: tensor(value) for name, value in direction.items()} for direction in directions
        ]
        xs, ys = tensor(x), tensor(y)
        if len(xs) != len(ys) or not len(xs):
            raise ExplainError(f"{len(xs)} examples and {len(ys)} targets; there should be some")
        dtype = next((p.dtype for p in model.parameters() if p.dtype.kind == "f"), None)
        if dtype is not None and xs.dtype.kind == "f":
            xs = xs.astype(dtype)
        self.batches = [
            (xs[i : i + batch_size], ys[i : i + batch_size]) for i in range(0, len(xs), batch_size)
        ]
        self.summed = getattr(loss, "reduction", "mean") == "sum"
        self._value = compile(self._step)

    @contextmanager
    def ready(self) -> Iterator[_Walker]:
        """In use, and afterwards everything as it was."""
        before = {name: t.numpy().copy() for name, t in self.held.items()}
        with in_use(self.model):
            try:
                yield self
            finally:
                for name, t in self.held.items():
                    t.copy_(as_tensor(before[name]))

    def at(self, *position: float) -> float:
        """The loss at a point."""
        inside = np.clip(position, 0, 1)
        inside /= max(inside.sum(), 1)  # buffers are mixed, never extrapolated
        place = [tensor(np.float64(a)) for a in (*position, *inside)]
        values = [self._value(x, y, *place).item() for x, y in self.batches]
        if self.summed:
            return float(np.sum(values))
        return float(np.average(values, weights=[len(x) for x, _ in self.batches]))

    def _step(self, x: Tensor, y: Tensor, *position: Tensor) -> Tensor:
        """The loss of a batch at a point."""
        self._move(*position)
        value: Tensor = self.loss(self.model(x), y)
        return value

    def _move(self, *position: Tensor) -> None:
        """Set the weights to the first numbers' point, buffers to the others'."""
        count = len(self.moved)
        trained = {name for name, _ in self.model.named_parameters()}
        for name, held in self.held.items():
            value = self.start[name]
            chosen = position[:count] if name in trained else position[count:]
            for a, direction in zip(chosen, self.moved, strict=True):
                if name in direction:
                    value = value + a.astype(held.dtype) * direction[name]
            held.copy_(value)


def _state(model: Module, state: State | None) -> Direction:
    """The real numbers of a state as arrays, copied."""
    found = {}
    with no_grad():
        for name, held in (*model.named_parameters(), *model.named_buffers()):
            if held.dtype.kind != "f" or (state is not None and name not in state):
                continue
            value = _array(held if state is None else state[name]).astype(held.dtype)
            if value.shape != held.shape:
                raise ExplainError(f"{name} has the shape {held.shape}, got {value.shape}")
            found[name] = value.copy()
    missing = {name for name, _ in model.named_parameters()} - found.keys()
    if missing:
        raise ExplainError(f"the weights have no {', '.join(sorted(missing))}")
    return found


def _between(start: Direction, end: State) -> Direction:
    missing = start.keys() - end.keys()
    if missing:
        raise ExplainError(f"the weights have no {', '.join(sorted(missing))}")
    return {name: _array(end[name]).astype(value.dtype) - value for name, value in start.items()}


def _array(value: Any) -> Array:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _flat(values: Mapping[str, Array], like: Mapping[str, Array]) -> Array:
    """All in one vector; what is not there counts as zero."""
    parts = [
        np.asarray(values.get(name, np.zeros_like(held)), np.float64).ravel()
        for name, held in like.items()
    ]
    return np.concatenate(parts)
