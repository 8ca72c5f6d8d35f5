"""What happens inside a network while it trains: a probe after every epoch, outside the step."""

from __future__ import annotations

import os
from dataclasses import asdict, is_dataclass, replace
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from numpy.typing import NDArray

from glubina.explain.errors import ExplainError
from glubina.explain.probe import Record, look
from glubina.explain.probe_data import DataRecord, seen_data
from glubina.nn import Module
from glubina.tensor import tensor
from glubina.train.callbacks import Callback
from glubina.train.history import Logs

if TYPE_CHECKING:
    from glubina.explain.diagnosis import Diagnosis

Array = NDArray[Any]


class Monitor(Callback):
    """A callback that looks into the network before training and after every epoch.

    x, y: the probe, some tens or hundreds of examples as they are given to `fit`. loss: the loss
    function, unless the model was compiled with one.

    `records` has what was seen, `diagnosis()` what it means, `plot(path)` draws it.

    >>> monitor = explain.Monitor(x[:256], y[:256])
    >>> model.fit(x, y, epochs=10, callbacks=[monitor])
    >>> print(monitor.report())
    """

    def __init__(self, x: Any, y: Any, loss: Any = None) -> None:
        self.x, self.y = tensor(x), tensor(y)
        if len(self.x) != len(self.y) or len(self.x) < 2:
            raise ExplainError(
                f"a probe is at least 2 examples with their targets, got {len(self.x)} and "
                f"{len(self.y)}"
            )
        self.loss = loss
        self.records: list[Record] = []
        self._before: dict[str, Array] = {}
        self._data: DataRecord | None = None

    def on_train_begin(self) -> None:
        """Look at the network as it was initialised."""
        self.records, self._before = [], {}
        self._look(0)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Look at it after an epoch."""
        self._look(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The records, and the weights of the last look."""
        return {"records": [asdict(record) for record in self.records], "before": self._before}

    def load_state_dict(self, values: Any) -> None:
        """Go on after these records."""
        self.records = [_again(Record, record) for record in values["records"]]
        self._before = values["before"]

    def diagnosis(self) -> list[Diagnosis]:
        """What the records and the training's figures tell, the likely causes first."""
        from glubina.explain.diagnosis import diagnose

        return diagnose(self.session.history if self.records else None, self.records)

    def report(self) -> str:
        """The diagnosis in plain language."""
        found = self.diagnosis()
        return "\n".join(map(str, found)) if found else "nothing suspicious"

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw curves, norms of gradients and weights, and activations over the epochs, as a PNG.

        Raises MissingExtraError without matplotlib.
        """
        from glubina.explain.monitor_plot import plot

        plot(self.session.history, self.records, path)

    def _look(self, epoch: int) -> None:
        model = self.session.model
        if not isinstance(model, Module):
            raise ExplainError(f"a monitor looks into networks of nn, not {type(model).__name__}")
        loss = self.loss or getattr(model._trainer, "loss", None)
        if loss is None:
            raise ExplainError("the monitor needs the loss: Monitor(x, y, loss=...)")
        record, self._before = look(model, loss, self.x, self.y, epoch, self._before)
        self._data = self._data or seen_data(self.x.numpy(), self.y.numpy())
        self.records.append(replace(record, data=self._data))


def _again(kind: Any, values: Any) -> Any:
    """A record from what `asdict` made of it; those within it as well."""
    if is_dataclass(kind) and isinstance(values, dict):
        hints, made = get_type_hints(kind), cast(Any, kind)
        return made(**{name: _again(hints[name], value) for name, value in values.items()})
    inner = next((part for part in get_args(kind) if is_dataclass(part)), None)
    if inner is None or values is None:
        return values
    if isinstance(values, (tuple, list)):
        return tuple(_again(inner, value) for value in values)
    return _again(inner, values)
