"""What goes wrong in a training, in plain language: from its figures and the monitor's records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from glubina.explain.formulas import number
from glubina.explain.monitor import SQUASHING, ParameterRecord, Record
from glubina.train.history import History

KINDS = (
    "not finite",
    "bad initialisation",
    "exploding gradients",
    "vanishing gradients",
    "dead units",
    "saturation",
    "too large a step",
    "constant output",
    "overfitting",
    "too small a step",
)

VANISHED = 1e-3  # the first layer's gradient as a share of the last one's
EXPLODED = 1e3
SHRUNK = 1e-2  # the last layer's outputs as a share of the first one's
DEAD = 0.4
SATURATED = 0.5
CONSTANT = 1e-3
WORSE = 1.1  # the validation loss at the end as a multiple of the best


@dataclass(frozen=True)
class Diagnosis:
    """One trouble: its kind (of `KINDS`), where, since when, what was seen, what may help."""

    kind: str
    layer: str
    epoch: int
    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.seen}; {self.advice}"


def diagnose(history: History | None, records: Sequence[Record]) -> list[Diagnosis]:
    """The troubles of a training, the likely causes before their consequences.

    history: the figures of `fit`; records: of a `Monitor`. Either may be missing.
    """
    found = [
        *_not_finite(history, records),
        *_initialisation(records),
        *_gradients(records),
        *_activations(records),
        *_step(history, records),
        *_constant(records),
        *_overfitting(history),
    ]
    return sorted(found, key=lambda d: KINDS.index(d.kind))


def _not_finite(history: History | None, records: Sequence[Record]) -> Iterator[Diagnosis]:
    epochs = [r.epoch for r in records if not math.isfinite(r.loss + r.gradient)]
    if history is not None and "loss" in history:
        losses = zip(history.epoch, history["loss"], strict=True)
        epochs += [epoch for epoch, loss in losses if not math.isfinite(loss)]
    if epochs:
        first = min(epochs)
        when = f"after epoch {first}" if first else "before the first step"
        yield Diagnosis(
            "not finite",
            "",
            first,
            f"the loss or a gradient is NaN or infinite {when}",
            "lower the step size, clip the gradients; fit(check_finite=True) tells where it began",
        )


def _finite(records: Sequence[Record]) -> list[Record]:
    return [r for r in records if math.isfinite(r.loss + r.gradient)]


def _initialisation(records: Sequence[Record]) -> Iterator[Diagnosis]:
    if not records or records[0].epoch:
        return
    start = records[0]
    for parameter in start.parameters:
        if len(parameter.shape) > 1 and parameter.equal and parameter.shape[0] > 1:
            yield Diagnosis(
                "bad initialisation",
                parameter.name,
                0,
                f"all weights of {parameter.name} are equal at the start, so its units compute the "
                "same and learn the same",
                "draw them at random (nn.init.kaiming_normal_, xavier_uniform_)",
            )
            return
    hidden = [layer for layer in start.layers[:-1] if layer.std > 0]
    if len(hidden) < 3:
        return
    last = hidden[-1]
    # like with like: a tanh gives less than the layer before it, whatever the weights
    first = next(layer for layer in hidden if layer.operation == last.operation)
    first = hidden[0] if first is last and last.operation not in SQUASHING else first
    ratio = last.std / first.std
    if not SHRUNK < ratio < 1 / SHRUNK:
        way, much = ("shrink", "small") if ratio < 1 else ("grow", "large")
        yield Diagnosis(
            "bad initialisation",
            last.name,
            0,
            f"at the start the outputs {way} from layer to layer: their standard deviation is "
            f"{number(first.std)} after {first.name} and {number(last.std)} after {last.name}",
            f"the initial weights are too {much}: use nn.init.kaiming_normal_ for ReLU, "
            "xavier_uniform_ for tanh, or normalise",
        )


def _weights(record: Record) -> list[ParameterRecord]:
    return [p for p in record.parameters if len(p.shape) > 1 and math.isfinite(p.gradient)]


def _gradients(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Gradients that shrink or grow on the way back to the first layer."""
    for record in _finite(records):
        weights = _weights(record)
        if not weights:
            continue
        first, last = weights[0], weights[-1]
        when = f"after epoch {record.epoch}" if record.epoch else "before the first step"
        pair = (
            f"{when} the gradient's elements are {number(first.gradient_rms)} in {first.name} and "
            f"{number(last.gradient_rms)} in {last.name} (root mean square)"
        )
        if len(weights) >= 3 and last.gradient_rms > 0:
            ratio = first.gradient_rms / last.gradient_rms
            if ratio < VANISHED:
                yield Diagnosis(
                    "vanishing gradients",
                    first.name,
                    record.epoch,
                    pair,
                    "the first layers hardly learn: use ReLU instead of sigmoid or tanh, batch "
                    "normalisation, residual connections, or larger initial weights",
                )
                return
            if ratio > EXPLODED:
                yield _exploding(first, record, pair)
                return
        if record.gradient > EXPLODED:
            yield _exploding(
                max(record.parameters, key=lambda p: p.gradient),
                record,
                f"{when} the gradient has the norm {number(record.gradient)}",
            )
            return


def _exploding(parameter: ParameterRecord, record: Record, seen: str) -> Diagnosis:
    return Diagnosis(
        "exploding gradients",
        parameter.name,
        record.epoch,
        seen,
        "clip the gradients (compile(clip_norm=1.0)), use smaller initial weights, normalise the "
        "layers or the inputs",
    )


def _activations(records: Sequence[Record]) -> Iterator[Diagnosis]:
    if not records:
        return
    start = {(layer.name, layer.operation): layer for layer in records[0].layers}
    now = records[-1]
    for layer in now.layers:
        before = start.get((layer.name, layer.operation), layer)
        if layer.dead is not None and layer.dead > DEAD:
            from_the_start = (before.dead or 0) > DEAD and records[0].epoch == 0
            advice = (
                "the initial weights or biases are wrong, or the inputs not centred"
                if from_the_start
                else "the step size may be too large; LeakyReLU or batch normalisation may help"
            )
            yield Diagnosis(
                "dead units",
                layer.name,
                now.epoch,
                f"layer {layer.name}: {layer.dead:.0%} of the rectifiers are never active",
                advice,
            )
        if layer.saturated is not None and layer.saturated > SATURATED:
            yield Diagnosis(
                "saturation",
                layer.name,
                now.epoch,
                f"layer {layer.name}: {layer.saturated:.0%} of the values of its {layer.operation} "
                "are at the ends, where the derivative is almost 0",
                "use smaller initial weights or steps, standardise the inputs, or use ReLU",
            )


def _step(history: History | None, records: Sequence[Record]) -> Iterator[Diagnosis]:
    losses = [] if history is None or "loss" not in history else list(history["loss"])
    finite = [loss for loss in losses if math.isfinite(loss)]
    begin = [records[0].loss] if records and math.isfinite(records[0].loss) else []
    curve = [*begin, *finite]
    if len(finite) < len(losses):
        yield Diagnosis(
            "too large a step", "", 0, "the loss left every bound", "divide the step size by 10"
        )
        return
    if len(curve) < 3:
        return
    floor = 1e-3 * max(abs(v) for v in curve)
    rises = sum(b > 1.2 * a + floor for a, b in itertools.pairwise(curve))
    if curve[-1] > 1.05 * curve[0] + floor or rises * 4 >= len(curve):
        yield Diagnosis(
            "too large a step",
            "",
            len(finite),
            f"the training loss went from {number(curve[0])} to {number(curve[-1])} and rose by "
            f"more than a fifth {rises} time{'s' * (rises != 1)} in {len(curve) - 1} epochs",
            "the step size may be too large: divide it by 3 to 10",
        )
        return
    moved = [p.change / p.norm for r in records[1:] for p in r.parameters if p.norm > 0]
    if moved and max(moved) < 1e-7 and all(r.gradient > 0 for r in records):
        yield Diagnosis(
            "too small a step",
            "",
            len(finite),
            f"no parameter moves by more than {max(moved):.1e} of its norm in an epoch, although "
            "there are gradients",
            "the step size may be zero or far too small, or the optimizer holds other parameters",
        )
        return
    falls = all(b <= a for a, b in itertools.pairwise(curve))
    slow = bool(moved) and max(moved) < 1e-3
    if falls and slow and curve[-1] > 0.95 * curve[0]:
        yield Diagnosis(
            "too small a step",
            "",
            len(finite),
            f"the training loss falls steadily but only from {number(curve[0])} to "
            f"{number(curve[-1])}, and no parameter moves by more than {max(moved):.1e} of its "
            "norm in an epoch",
            "the step size may be too small: multiply it by 10",
        )


def _constant(records: Sequence[Record]) -> Iterator[Diagnosis]:
    record = records[-1] if records else None
    if record is not None and record.output_spread < CONSTANT:
        yield Diagnosis(
            "constant output",
            "",
            record.epoch,
            "the network gives almost the same for every input: its outputs differ by "
            f"{record.output_spread:.1e} of their size",
            "look for dead or saturated layers, for inputs that are not standardised, and whether "
            "the targets fit the inputs",
        )


def _overfitting(history: History | None) -> Iterator[Diagnosis]:
    if history is None or "val_loss" not in history or len(history) < 4:
        return
    training, validation = history["loss"], history["val_loss"]
    if not all(map(math.isfinite, (*training, *validation))):
        return
    best = min(range(len(validation)), key=lambda i: validation[i])
    if len(validation) - 1 - best < 2:
        return
    even = _smoothed(validation)  # one noisy epoch is no trend
    if even[-1] > WORSE * min(even) and training[-1] < training[best]:
        yield Diagnosis(
            "overfitting",
            "",
            history.epoch[best],
            f"since epoch {history.epoch[best]} the validation loss rises "
            f"({number(validation[best])} to {number(validation[-1])}) while the training loss "
            f"falls ({number(training[best])} to {number(training[-1])})",
            "stop there (EarlyStopping), use more data or augmentation, dropout, weight decay, or "
            "a smaller network",
        )


def _smoothed(values: Sequence[float]) -> list[float]:
    """Running means over a fifth of the epochs, three at least (of fewer than six: themselves)."""
    width = 1 if len(values) < 6 else max(3, len(values) // 5)
    return [sum(values[i : i + width]) / width for i in range(len(values) - width + 1)]
