"""Keras's verbs on every module: compile, fit, evaluate, predict, summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from glubina.graph.node import Shape

if TYPE_CHECKING:
    from glubina.metrics import Metric, MetricFunction
    from glubina.optim import EMA, Optimizer
    from glubina.tensor import Tensor
    from glubina.train import Checkpoints, History, Stop
    from glubina.train.trainer import Trainer


class Trainable:
    """What makes a module trainable; the work itself is done in `glubina.train`.

    These imports happen where they are used: a network that is only called needs none of it.
    """

    _trainer: Trainer | None = None

    def compile(
        self,
        optimizer: str | Optimizer | Callable[[list[Tensor]], Optimizer] = "adam",
        loss: str | Callable[[Any, Any], Tensor] | None = None,
        metrics: Sequence[str | Metric | MetricFunction] = (),
        penalty: Callable[[], Tensor] | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        constraint: Callable[[], None] | Iterable[Callable[[], None]] | None = None,
        ema: float | EMA | None = None,
    ) -> None:
        """Say how the module is trained and measured.

        optimizer: an optimizer over its parameters, a function that makes one from them, or a name
        ("sgd", "adam", "adamw"; with that rule's default settings). loss: a loss such as
        `nn.CrossEntropyLoss()`, a function of (outputs, targets), or a name ("cross_entropy",
        "mse", "l1", "nll", "bce_with_logits"). metrics: names ("accuracy", ...), metrics or
        functions, see `glubina.metrics`. penalty: a function without arguments whose value is added
        to what is minimised (`nn.penalty.l2(net.parameters(), 1e-4)`); the loss that is reported
        is without it. clip_norm, clip_value: limits of the gradients, as `optim.clip_grad_norm_`
        and `clip_grad_value_` set them. constraint: one or several functions without arguments
        that are called after each update (`nn.constraint.max_norm([layer.weight], 3.0)`).
        ema: the decay of a moving average of the weights (0.999), or an `optim.EMA` of the module:
        validation, callbacks after an epoch and the module after `fit` have the averaged weights.
        """
        from glubina import optim
        from glubina.nn.names import loss_named
        from glubina.train.limits import Limits
        from glubina.train.trainer import Trainer

        limits = Limits.of(penalty, clip_norm, clip_value, constraint)
        rule: Any = optim.named(optimizer) if isinstance(optimizer, str) else optimizer
        compared: Any = loss_named(loss) if isinstance(loss, str) else loss
        self._trainer = Trainer(self._as_model(), rule, compared, metrics, limits, ema)

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: Any = None,
        validation_split: float = 0.0,
        callbacks: Any = None,
        shuffle: bool = True,
        seed: int | None = None,
        verbose: int = 1,
        augment: Any = None,
        stop: Stop | None = None,
        check_finite: bool = False,
        accumulate: int = 1,
        checkpoints: Checkpoints | str | os.PathLike[str] | None = None,
        resume: bool | str | os.PathLike[str] = False,
    ) -> History:
        """Train for a number of epochs; the figures of each come back. See `Trainer.fit`.

        x, y: inputs and targets along the first axis, a data set, or a DataLoader. augment: random
        changes of the mini-batches in training, see `glubina.data.augment`. stop: when to end
        before the last epoch, see `train.Stop`. check_finite: raise AnomalyError at the first NaN
        or infinity, with where it came up. accumulate: how many mini-batches make a step.
        checkpoints: a folder, or `train.Checkpoints(...)`, in which the state of the training is
        kept. resume: go on from the newest one there, and end with the bits of a training that was
        never stopped.
        """
        return self._compiled("fit").fit(
            x,
            y,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=validation_data,
            validation_split=validation_split,
            callbacks=callbacks,
            shuffle=shuffle,
            seed=seed,
            verbose=verbose,
            augment=augment,
            stop=stop,
            check_finite=check_finite,
            accumulate=accumulate,
            checkpoints=checkpoints,
            resume=resume,
        )

    def evaluate(self, x: Any, y: Any = None, batch_size: int = 256) -> dict[str, float]:
        """The loss and the metrics over data, by name."""
        return self._compiled("evaluate").evaluate(x, y, batch_size)

    def predict(self, x: Any, batch_size: int = 256, views: Any = None) -> Any:
        """The outputs for inputs, as a NumPy array; probabilities where the loss takes logits.

        views: what the outputs are averaged over, as ("same", "mirrored"); see `Trainer.predict`.
        """
        from glubina.train.trainer import Trainer

        trainer = self._trainer or Trainer(self._as_model())
        return trainer.predict(x, batch_size, views)

    def summary(
        self,
        input_shape: Shape | Any = None,
        dtype: Any = None,
        batch_size: int | None = None,
    ) -> None:
        """Print the layers: outputs, parameters, arithmetic, memory.

        `input_shape` is one example's, without the batch axis, or a mini-batch itself; with it
        output shapes and arithmetic are known. dtype: of the input. batch_size: what a training
        step of so many examples takes is planned too. `nn.summary` gives the same as an object.
        """
        from glubina.nn.summary import summary

        print(summary(self._as_model(), input_shape, dtype, batch_size))

    def _compiled(self, verb: str) -> Trainer:
        if self._trainer is None:
            raise RuntimeError(
                f"call compile(optimizer=..., loss=...) before {verb}: it says what is minimised"
            )
        return self._trainer

    def _as_model(self) -> Any:
        return self
