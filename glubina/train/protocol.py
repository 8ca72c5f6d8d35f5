"""What training needs of a model, a loss and an optimizer: it knows them by this only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from glubina.tensor import Tensor, no_grad


class Model(Protocol):
    """A network: callable on a mini-batch, with parameters, two behaviours and a state."""

    training: bool

    def __call__(self, x: Any, /) -> Any:
        """The outputs for a mini-batch of inputs."""

    def parameters(self) -> Iterable[Tensor]:
        """The tensors that are trained."""

    def train(self, mode: bool = True) -> Any:
        """Behave as in training, or as in use."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Parameters and buffers by name."""

    def load_state_dict(self, values: Any, /) -> Any:
        """Take the values of parameters and buffers by name."""


class Loss(Protocol):
    """A loss: a rank-0 tensor from a mini-batch's outputs and targets.

    Optional attributes tell training about it: `reduction` ("mean" unless it says "sum"),
    `class_labels`, true where targets are class numbers and outputs are logits, so that labels
    can be checked beforehand and `predict` applies the softmax, and `fit_targets(y, shape,
    dtype, name)` (the outputs' shape, or `Several` of them), which brings targets into the form
    that the loss takes.
    """

    def __call__(self, outputs: Any, targets: Any, /) -> Tensor:
        """The loss."""


class Optimizer(Protocol):
    """An update rule over the parameters that it was made with."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> None:
        """Update the parameters from their gradients."""


def takes_labels(loss: Any) -> bool:
    """Whether the loss compares logits with class numbers."""
    return bool(getattr(loss, "class_labels", False))


@contextmanager
def behaving(model: Model, training: bool) -> Iterator[None]:
    """The model and all modules in it behave as in training or in use, and then as before.

    A module inside may have been set apart (a frozen batch normalisation, say): each one's own
    behaviour comes back.
    """
    modules = list(getattr(model, "modules", lambda: [model])())
    before = [module.training for module in modules]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in zip(modules, before):
            module.training = mode


@contextmanager
def in_use(model: Model) -> Iterator[None]:
    """The model behaves as in use (dropout off), without derivatives, and then as before."""
    with behaving(model, training=False), no_grad():
        yield
