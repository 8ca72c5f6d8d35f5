"""Optimizers with Keras's names and defaults; they are given to `compile` and act on its model.

learning_rate (also as `lr`) is a number or a schedule, a function of the step's number. Every
optimizer takes clipnorm (each gradient's norm), global_clipnorm, clipvalue, and `decay`
(learning_rate / (1 + decay · step)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from glubina import optim
from glubina.keras.lookup import Described, found
from glubina.keras.rule import Rule
from glubina.tensor import Tensor

CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


class Rate(float):
    """A learning rate that `K.get_value` and `K.set_value` know."""

    owner: Optimizer

    def numpy(self) -> float:
        """The number."""
        return float(self)

    def assign(self, value: float) -> None:
        """Set the optimizer's learning rate."""
        self.owner.learning_rate = value


class Optimizer(Described):
    """The settings of an update rule, and once training has begun its learning rate."""

    rule: ClassVar[Any]
    default_rate: ClassVar[float] = 0.001

    def __init__(self, learning_rate: Any = None, **options: Any) -> None:
        rate = options.pop("lr", learning_rate)
        self.schedule: Callable[[Any], Any] | None = rate if callable(rate) else None
        self.iterations = 0
        self.decay = float(options.pop("decay", 0.0) or 0.0)
        self.clipping = {
            name: float(options.pop(name)) for name in CLIPPING if options.get(name) is not None
        }
        for name in (*CLIPPING, "name"):
            options.pop(name, None)
        self._rate = self.default_rate if rate is None else self._at(0) if callable(rate) else rate
        self._rate = float(self._rate)
        self.settings = self._settings(**options)
        self._bound: Rule | None = None

    _settings: ClassVar[Callable[..., dict[str, Any]]]
    """From the options to the rule's settings, in the names of `glubina.optim`."""

    def bind(self, parameters: list[Tensor], bounds: Sequence[tuple[Tensor, Any]]) -> Rule:
        """The rule over a model's parameters; the learning rate is the rule's from now on."""
        inner = type(self).rule(parameters, lr=self._rate, **self.settings)
        self._bound = Rule(inner, bounds, self.clipping)
        self.iterations = 0
        return self._bound

    @property
    def learning_rate(self) -> Rate:
        """The learning rate of the next step; it can be set."""
        rate = Rate(self._rate)
        rate.owner = self
        return rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self.schedule = value
            value = self._at(self.iterations)
        self._rate = float(value)
        self._apply(self._rate)

    lr = learning_rate

    @property
    def changes(self) -> bool:
        """Whether the learning rate is another one in every step."""
        return self.schedule is not None or self.decay > 0

    def advance(self, steps: int = 1) -> None:
        """Count steps; the learning rate becomes that of the next one."""
        self.iterations += steps
        if self.schedule is not None:
            self._rate = self._at(self.iterations)
            self._apply(self._rate)
        elif self.decay:
            self._apply(self._rate / (1 + self.decay * self.iterations))

    def _at(self, step: int) -> float:
        assert self.schedule is not None
        return float(self.schedule(step))

    def _apply(self, rate: float) -> None:
        if self._bound is not None:
            for group in self._bound.param_groups:
                group["lr"] = rate


class SGD(Optimizer):
    """w ← w − learning_rate · gradient, with momentum (and Nesterov's) if wanted."""

    rule = optim.SGD
    default_rate = 0.01

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov, **options)

    def _settings(self, momentum: float, nesterov: bool) -> dict[str, Any]:
        forms = {"nesterov": nesterov and momentum > 0, "rate_inside": momentum > 0}
        return {"momentum": momentum, **forms}  # Keras's velocity has the rate in it


class RMSprop(Optimizer):
    """Steps divided by the root of the running mean of the squared gradient."""

    rule = optim.RMSprop

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float | None = None,
        centered: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            learning_rate, rho=rho, momentum=momentum, epsilon=epsilon, centered=centered, **options
        )

    def _settings(
        self, rho: float, momentum: float, epsilon: float | None, centered: bool
    ) -> dict[str, Any]:
        eps = 1e-7 if epsilon is None else epsilon
        return {"alpha": rho, "momentum": momentum, "eps": eps, "centered": centered}


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients."""

    rule = optim.Adagrad

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, start=initial_accumulator_value, epsilon=epsilon, **options)

    def _settings(self, start: float, epsilon: float | None) -> dict[str, Any]:
        return {
            "initial_accumulator_value": start,
            "eps": 1e-7 if epsilon is None else epsilon,
        }


class Adadelta(Optimizer):
    """Steps whose length follows from those before; the learning rate is 1, as in Zeiler's paper.

    (Keras 2's default. Keras 3 has 0.001, with which the rule hardly moves.)
    """

    rule = optim.Adadelta
    default_rate = 1.0

    def __init__(
        self,
        learning_rate: Any = 1.0,
        rho: float = 0.95,
        epsilon: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, rho=rho, epsilon=epsilon, **options)

    def _settings(self, rho: float, epsilon: float | None) -> dict[str, Any]:
        return {"rho": rho, "eps": 1e-7 if epsilon is None else epsilon}


class Adam(Optimizer):
    """Steps by running means of the gradient and of its square."""

    rule: ClassVar[Any] = optim.Adam

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        more = {"amsgrad": True} if amsgrad else {}
        super().__init__(
            learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **more, **options
        )

    def _settings(
        self, beta_1: float, beta_2: float, epsilon: float | None, **more: Any
    ) -> dict[str, Any]:
        return {"betas": (beta_1, beta_2), "eps": 1e-7 if epsilon is None else epsilon, **more}


class AdamW(Adam):
    """Adam that shrinks the weights by learning_rate · weight_decay beside the step."""

    rule = optim.AdamW

    def __init__(
        self, learning_rate: Any = 0.001, weight_decay: float = 0.004, **options: Any
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **options)


class Adamax(Adam):
    """Adam by the largest gradient."""

    rule = optim.Adamax


class Nadam(Adam):
    """Adam with Nesterov's momentum."""

    rule = optim.NAdam


class Lion(Optimizer):
    """Steps by the sign of the running mean."""

    rule = optim.Lion

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **options: Any
    ) -> None:
        super().__init__(learning_rate, beta_1=beta_1, beta_2=beta_2, **options)

    def _settings(self, beta_1: float, beta_2: float) -> dict[str, Any]:
        return {"betas": (beta_1, beta_2)}


class ExponentialDecay(Described):
    """initial_learning_rate · decay_rate^(step / decay_steps); in stairs if told."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        self.start, self.steps, self.rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        power = step / self.steps
        return float(self.start * self.rate ** (math.floor(power) if self.staircase else power))


class PiecewiseConstantDecay(Described):
    """values[i] up to the step boundaries[i], then the next."""

    def __init__(
        self, boundaries: Sequence[int], values: Sequence[float], name: str | None = None
    ) -> None:
        self.boundaries, self.values = tuple(boundaries), tuple(values)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError("values must be one more than boundaries")

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        return float(self.values[int(np.searchsorted(self.boundaries, step, side="left"))])


class CosineDecay(Described):
    """From initial_learning_rate to alpha times it in half a cosine."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.start, self.steps, self.alpha = initial_learning_rate, decay_steps, alpha

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        share = (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) / 2
        return self.start * ((1 - self.alpha) * share + self.alpha)


class PolynomialDecay(Described):
    """From initial_learning_rate to end_learning_rate by (1 − step / decay_steps)^power."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        name: str | None = None,
    ) -> None:
        self.start, self.steps = initial_learning_rate, decay_steps
        self.end, self.power = end_learning_rate, power

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        left = (1 - min(step, self.steps) / self.steps) ** self.power
        return float((self.start - self.end) * left + self.end)


class InverseTimeDecay(Described):
    """initial_learning_rate / (1 + decay_rate · step / decay_steps)."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str | None = None,
    ) -> None:
        self.start, self.steps, self.rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase = staircase

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        share = step // self.steps if self.staircase else step / self.steps
        return self.start / (1 + self.rate * share)


class schedules:
    """Learning rates by the step's number."""

    ExponentialDecay = ExponentialDecay
    PiecewiseConstantDecay = PiecewiseConstantDecay
    CosineDecay = CosineDecay
    PolynomialDecay = PolynomialDecay
    InverseTimeDecay = InverseTimeDecay


KNOWN: dict[str, Any] = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": Nadam,
    "lion": Lion,
}


def get(identifier: Any) -> Any:
    """An optimizer from a name, a class, an object or a description."""
    return found("optimizer", identifier, KNOWN, Optimizer)
