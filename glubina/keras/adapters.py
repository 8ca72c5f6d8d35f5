"""Keras's callbacks, told of what happens by the training loop that all of Glubina has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glubina import train
from glubina.keras.callbacks import Callback


class Adapter(train.Callback):
    """Keras's callbacks as one of `glubina.train`: epochs from 0, `model.stop_training`."""

    def __init__(self, model: Any, callbacks: Iterable[Callback], begin: int, epochs: int) -> None:
        self.model, self.callbacks, self.begin, self.epochs = model, list(callbacks), begin, epochs

    def _told(self, method: str, *given: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(*given)
        if self.model.stop_training:
            self.session.stop()

    def on_train_begin(self) -> None:
        """Tell them."""
        params = {"epochs": self.epochs, "steps": self.session.steps, "verbose": 0}
        self.model.stop_training = False
        for callback in self.callbacks:
            callback.set_model(self.model)
            callback.set_params(params)
        self._told("on_train_begin", {})

    def on_epoch_begin(self, epoch: int) -> None:
        """Tell them."""
        self._told("on_epoch_begin", self.begin + epoch - 1, {})

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        """Tell them; what one adds to the figures the next ones see."""
        figures = {name: value for name, value in logs.items() if name != "seconds"}
        if not self.watching():
            self.model.optimizer.iterations += self.session.steps
        self._told("on_epoch_end", self.begin + epoch - 1, figures)

    def on_train_end(self) -> None:
        """Tell them."""
        self._told("on_train_end", {})

    def state_dict(self) -> dict[str, Any]:
        """The callbacks' states, and how far the optimizer has counted."""
        optimizer = self.model.optimizer
        return {
            "callbacks": [[type(c).__name__, c.state_dict()] for c in self.callbacks],
            "iterations": optimizer.iterations,
            "rate": optimizer._rate,
        }

    def load_state_dict(self, values: Any) -> None:
        """Go on; callbacks that have no state in it begin anew."""
        here = list(self.callbacks)
        for name, state in values["callbacks"]:
            found = next((c for c in here if type(c).__name__ == name), None)
            if found is not None:
                here.remove(found)
                found.load_state_dict(state)
        optimizer = self.model.optimizer
        optimizer.iterations, optimizer._rate = values["iterations"], values["rate"]

    def watching(self) -> bool:
        """Whether training returns after every step."""
        return False


class BatchAdapter(Adapter):
    """The same, told of every step, after which the learning rate may be another."""

    def watching(self) -> bool:
        """Whether training returns after every step."""
        return True

    def on_epoch_begin(self, epoch: int) -> None:
        """Tell them, and that the first step begins."""
        super().on_epoch_begin(epoch)
        self._told("on_train_batch_begin", 0, {})

    def on_step_end(self, step: int, logs: Any) -> None:
        """Tell them, and that the next step begins."""
        if self.model.optimizer.changes:
            self.model.optimizer.advance()
        else:
            self.model.optimizer.iterations += 1
        self._told("on_train_batch_end", step - 1, dict(logs))
        if step < self.session.steps:
            self._told("on_train_batch_begin", step, {})


def adapter(model: Any, callbacks: Any, begin: int, epochs: int) -> Adapter:
    """The callbacks of one `fit`; only those of batches make it return after every step."""
    given = [] if callbacks is None else callbacks
    given = list(given) if isinstance(given, (list, tuple)) else [given]
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(f"a callback is an instance of keras.callbacks.Callback: {callback!r}")
    watched = model.optimizer.changes or any(c.watches_batches() for c in given)
    return (BatchAdapter if watched else Adapter)(model, given, begin, epochs)
