"""`torch.optim.swa_utils`: averages of a model's weights beside it, equal or exponential."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import glubina.tensor as gl
from glubina import nn as plain
from glubina.optim import LRScheduler, Optimizer
from glubina.optim.lr_scheduler.base import per_group
from glubina.tensor.arguments import choice, whole
from glubina.torch.nn.module import Module

Average = Callable[[Any, Any, Any], Any]
Averages = Callable[[Sequence[Any], Sequence[Any], Any], None]


def _checked(decay: float) -> float:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """d a̅ + (1 − d) a, as a function of the average, the weight and their number."""
    _checked(decay)
    return lambda averaged, current, number: decay * averaged + (1 - decay) * current


def get_swa_avg_fn() -> Average:
    """The equal mean: a̅ + (a − a̅) / (n + 1)."""
    return lambda averaged, current, number: averaged + (current - averaged) / (number + 1)


def _of_all(average: Average) -> Averages:
    """The same for lists, in place."""

    def update(averaged: Sequence[Any], current: Sequence[Any], number: Any) -> None:
        with gl.no_grad():
            for held, value in zip(averaged, current, strict=True):
                held.copy_(average(held, value, number))

    return update


def get_ema_multi_avg_fn(
    decay: float = 0.999,
) -> Averages:
    """As `get_ema_avg_fn`, for lists of weights and in place."""
    return _of_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Averages:
    """As `get_swa_avg_fn`, for lists of weights and in place."""
    return _of_all(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose weights are an average of the model's: `update_parameters(model)`.

    avg_fn(averaged, current, number) gives the new average of a weight, multi_avg_fn takes lists
    and works in place; without either the mean of all is taken. The first update copies.
    use_buffers: average buffers too, else the model's present ones are taken.
    """

    n_averaged: Any

    def __init__(
        self,
        model: plain.Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", gl.tensor(np.int64(0)))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: plain.Module) -> None:
        """Take the model's present weights into the average."""
        averaged: list[Any] = list(self.module.parameters())
        current: list[Any] = list(model.parameters())
        kept, buffers = list(self.module.buffers()), list(model.buffers())
        if self.use_buffers:
            averaged, current, kept, buffers = averaged + kept, current + buffers, [], []
        number = int(self.n_averaged.item())
        with gl.no_grad():
            for held, value in zip(kept, buffers, strict=True):
                held.copy_(value.detach())
            self._average(averaged, [value.detach() for value in current], number)
            self.n_averaged.add_(1)

    def _average(self, averaged: list[Any], current: list[Any], number: int) -> None:
        pairs = list(zip(averaged, current, strict=True))
        real = [(held, value) for held, value in pairs if number and held.dtype.kind == "f"]
        chosen = {id(held) for held, _ in real}
        for held, value in pairs:
            if id(held) not in chosen:
                held.copy_(value)
        if self.avg_fn is None:
            if real:
                update = self.multi_avg_fn or get_swa_multi_avg_fn()
                update([h for h, _ in real], [v for _, v in real], number)
            return
        for held, value in real:
            held.copy_(self.avg_fn(held.detach(), value, number))


class SWALR(LRScheduler):
    """From the rate that is to a constant swa_lr, within anneal_epochs; by "cos" or "linear"."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        self.swa_lrs = per_group("swa_lr", swa_lr, optimizer, "SWALR")
        self.anneal_epochs = whole("anneal_epochs", anneal_epochs, 0)
        self.cosine = choice("anneal_strategy", anneal_strategy, "cos", "linear") == "cos"
        super().__init__(optimizer, last_epoch)

    def _share(self, epoch: float) -> float:
        t = max(0.0, min(1.0, epoch / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.cosine else t

    def rate(self, base: float, epoch: float, group: int) -> float:
        """The rate now, after those of other schedules, is moved on by one epoch."""
        if not self.anneal_epochs:
            epoch = max(1, epoch)
        last, now = float(self.optimizer.param_groups[group]["lr"]), self.swa_lrs[group]
        before, share = self._share(epoch - 1), self._share(epoch)
        start = now if before == 1 else (last - before * now) / (1 - before)
        return now * share + start * (1 - share)


def update_bn(loader: Iterable[Any], model: plain.Module, device: Any = None) -> None:
    """Set the running statistics of batch normalisation to those over a loader's mini-batches."""
    norms: list[Any] = [
        m for m in model.modules() if getattr(m, "num_batches_tracked", None) is not None
    ]
    if not norms:
        return
    before, training = [norm.momentum for norm in norms], model.training
    for norm in norms:
        norm.running_mean.zero_()
        norm.running_var.fill_(1.0)
        norm.num_batches_tracked.zero_()
        norm.momentum = None  # the average over all mini-batches
    model.train()
    with gl.no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    model.train(training)
