"""`gl.check_gradients`: compares a backward pass with central differences, entry by entry."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.runtime.buffer import Buffer
from glubina.tensor.arguments import function_of
from glubina.tensor.base import TensorBase
from glubina.tensor.convert import as_tensor
from glubina.tensor.creation import tensor as tensor_of
from glubina.tensor.errors import DTypeError, GradientError
from glubina.tensor.function import Function
from glubina.tensor.gradient_report import GradientReport, TensorReport, WrongEntry
from glubina.tensor.mode import enable_grad, no_grad
from glubina.tensor.random import default_generator
from glubina.tensor.realise import settle

Array = NDArray[Any]
_float64 = np.dtype(np.float64)


def check_gradients(
    function: Callable[..., Any],
    *inputs: Any,
    samples: int = 64,
    step: float = 1e-5,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
    raise_error: bool = False,
) -> GradientReport:
    """Whether the backward pass of a layer or function is right; the report says what is not.

    function: a layer (its parameters are checked too), a `gl.Function`, or a function of tensors.
    inputs: what it is called with; floating tensors and arrays are checked, in float64, others are
        passed on. samples: how many entries of each are compared (chosen by the seed where there
        are more; all of them otherwise). step: h, relative to entries beyond 1.
    rtol, atol: an entry is wrong if |given − expected| > atol·s + rtol·max(|given|, |expected|),
        s the largest expected entry of its tensor, at least 1.
    raise_error: GradientError with the report's text if something is wrong.

    The output y is summed with fixed random weights, L = Σ v y, and

        ∂L/∂x_i ≈ (L(x + h e_i) − L(x − h e_i)) / 2h.

    Where that fails, the slopes to both sides are looked at: at a kink (ReLU at 0) anything between
    them is right. Random draws (dropout) are the same in every evaluation; parameters, buffers and
    gradients are as before afterwards.

    >>> report = gl.check_gradients(gl.tanh, np.array([0.5, -1.0]))
    >>> bool(report)
    True
    """
    function_of("check_gradients", function)
    check = _Check(function, inputs, seed, step)
    with check.in_float64():
        report = GradientReport(check.name, check.run(samples, rtol, atol))
    if raise_error and not report:
        raise GradientError(str(report))
    return report


class _Check:
    """One check: the points that are moved, and the loss as a function of them."""

    def __init__(
        self, function: Callable[..., Any], inputs: tuple[Any, ...], seed: int, step: float
    ) -> None:
        if isinstance(function, type) and issubclass(function, Function):
            self.name, self.call = function.__name__, function.apply
        else:
            kind = type(function).__name__
            self.name, self.call = getattr(function, "__name__", kind), function
        self.random = np.random.default_rng(seed)
        self.step = step
        self.state = default_generator.get_state()
        self.model: Any = function if hasattr(function, "named_parameters") else None
        self.args: list[Any] = [_argument(value) for value in inputs]
        self.weights: list[Array] = []
        names = _names(getattr(function, "forward", self.call), len(inputs))
        self.points: list[tuple[str, Any]] = [
            (name, a) for name, a in zip(names, self.args, strict=True) if _is_float(a)
        ]

    @contextmanager
    def in_float64(self) -> Iterator[None]:
        """The model in float64; everything in it is as before afterwards."""
        named = [] if self.model is None else list(self.model.named_parameters())
        buffers = [] if self.model is None else [b for _, b in self.model.named_buffers()]
        before = [(t, t.numpy(), t.grad) for t in (*(p for _, p in named), *buffers)]
        try:
            for t, array, _ in before:
                t.grad = None
                if array.dtype.kind == "f":
                    _put(t, array.astype(_float64))
            self.points += [(name, p) for name, p in named if p.requires_grad]
            self.buffers = [(b, b.numpy()) for b in buffers]
            yield
        finally:
            default_generator.set_state(self.state)
            for t, array, gradient in before:
                _put(t, array)
                t.grad = gradient

    def loss(self) -> Any:
        """Σ v y at the present points."""
        default_generator.set_state(self.state)
        for buffer, array in self.buffers:
            _put(buffer, array)
        returned = self.call(*self.args)
        results = returned if isinstance(returned, (tuple, list)) else [returned]
        outputs = [r for r in map(as_tensor, results) if r.dtype.kind == "f"]
        if not outputs:
            raise DTypeError(f"check_gradients: {self.name} gives no floating tensor")
        if not self.weights:
            self.weights = [self.random.uniform(0.5, 1.5, r.shape) for r in outputs]
            self.weights = [
                np.asarray(w * self.random.choice([-1, 1], w.shape)) for w in self.weights
            ]
        total: Any = 0.0
        for output, weight in zip(outputs, self.weights, strict=True):
            total = total + (output * tensor_of(weight.astype(output.dtype))).sum()
        return total

    def run(self, samples: int, rtol: float, atol: float) -> list[TensorReport]:
        """A report for each point that is moved."""
        with enable_grad():
            loss = self.loss()
            if not loss.requires_grad:
                raise GradientError(f"check_gradients: {self.name} gives no gradient")
            loss.backward()
        given = [None if t.grad is None else t.grad.numpy() for _, t in self.points]
        reports = []
        for (name, t), gradient in zip(self.points, given, strict=True):
            t.grad = None
            reports.append(self._compared(name, t, gradient, samples, rtol, atol))
        return reports

    def _compared(
        self, name: str, t: Any, gradient: Array | None, samples: int, rtol: float, atol: float
    ) -> TensorReport:
        array = t.numpy()
        places = np.arange(array.size)
        if array.size > samples:
            places = np.sort(self.random.choice(places, samples, replace=False))
        found = np.zeros(array.shape) if gradient is None else gradient
        entries = [
            WrongEntry(index, float(found[index]), self._slope(t, array, index))
            for index in (tuple(int(i) for i in np.unravel_index(p, array.shape)) for p in places)
        ]
        scale = max([1.0, *(abs(e.expected) for e in entries)])
        wrong, kinks = [], 0
        for entry in entries:
            if entry.is_within(atol * scale, rtol):
                continue
            if self._at_kink(t, array, entry, atol * scale):
                kinks += 1
            else:
                wrong.append(entry)
        return TensorReport(
            name, array.shape, len(entries), entries, wrong, kinks, gradient is None
        )

    def _at(self, t: Any, array: Array, index: tuple[int, ...], amount: float) -> float:
        moved = array.copy()
        moved[index] += amount
        _put(t, moved)
        try:
            with no_grad():
                return float(self.loss().item())
        finally:
            _put(t, array)

    def _slope(self, t: Any, array: Array, index: tuple[int, ...]) -> float:
        h = self.step * max(1.0, abs(float(array[index])))
        return (self._at(t, array, index, h) - self._at(t, array, index, -h)) / (2 * h)

    def _at_kink(self, t: Any, array: Array, entry: WrongEntry, atol: float) -> bool:
        """Whether the slopes to the two sides differ, and what was given lies between them."""
        h = self.step * max(1.0, abs(float(array[entry.index])))
        middle = self._at(t, array, entry.index, 0.0)
        right = (self._at(t, array, entry.index, h) - middle) / h
        left = (middle - self._at(t, array, entry.index, -h)) / h
        low, high = min(left, right), max(left, right)
        apart = high - low > 1e-3 * max(1.0, abs(low), abs(high))
        slack = 1e-3 * max(abs(low), abs(high)) + atol
        return apart and low - slack <= entry.given <= high + slack


def _put(t: Any, array: Array) -> None:
    settle(t._cell, Buffer.from_array(np.ascontiguousarray(array)), array.shape, array.dtype)


def _argument(value: Any) -> Any:
    """A floating tensor or array as a leaf in float64; another array as a tensor."""
    if not isinstance(value, (TensorBase, np.ndarray, list)):
        return value
    t: Any = as_tensor(value)  # type: ignore[arg-type]
    if t.dtype.kind != "f":
        return t
    return tensor_of(t.numpy().astype(_float64)).requires_grad_()


def _is_float(value: Any) -> bool:
    return isinstance(value, TensorBase) and value.dtype.kind == "f"


def _names(function: Any, count: int) -> list[str]:
    """The arguments' names, as the function's signature has them."""
    try:
        known = [
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        known = []
    if known[:1] == ["ctx"]:
        known = known[1:]
    return [known[i] if i < len(known) else f"argument {i}" for i in range(count)]
