"""Troubles inside a network: its initial weights, gradients and activations on the probe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from glubina.explain.formulas import number
from glubina.explain.probe import SQUASHING, ParameterRecord, Record
from glubina.explain.trouble import Diagnosis

VANISHED = 1e-3  # the first layer's gradient as a share of the last one's
EXPLODED = 1e3
FORGOTTEN = 1e-6  # the first step's gradient as a share of the largest
SHRUNK = 1e-2  # the last layer's outputs as a share of the first one's
DEAD = 0.4
SATURATED = 0.5


def finite(records: Sequence[Record]) -> list[Record]:
    """The records in which nothing is NaN or infinite."""
    return [r for r in records if math.isfinite(r.loss + r.gradient)]


def initialisation(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Initial weights that are all alike, or too small or large for so many layers."""
    if not records or records[0].epoch:
        return
    start = records[0]
    for parameter in start.parameters:
        if parameter.equal and parameter.reached:
            yield Diagnosis(
                "bad initialisation",
                parameter.name,
                0,
                f"the units of {parameter.name} all have the same weights and the same gradients "
                "at the start, so they compute the same and learn the same",
                "draw the weights at random (nn.init.kaiming_normal_, xavier_uniform_)",
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
    """The weights that gradients come to."""
    weights = [p for p in record.parameters if len(p.shape) > 1 and p.reached]
    return [p for p in weights if math.isfinite(p.gradient)]


def gradients(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Gradients that shrink or grow on the way back to the first layer, or to the first step."""
    yield from _forgotten(finite(records))
    for record in finite(records):
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
            # exactly nothing: of dead rectifiers, or at the start of a last layer of zeros
            other = not ratio and (not record.epoch or any(layer.dead for layer in record.layers))
            if ratio < VANISHED and not other:
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


def _forgotten(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Recurrent layers that learn nothing of the beginning of their sequences."""
    if len(records) < 2 or records[-1].loss < records[0].loss / 2:
        return
    for time in records[-1].times:
        if time.first < FORGOTTEN * time.largest:
            yield Diagnosis(
                "vanishing gradients",
                time.name,
                records[-1].epoch,
                f"of {time.steps} steps of {time.name} the first gets a gradient of "
                f"{number(time.first)}, where another gets {number(time.largest)} (norms): what "
                "happens early in a sequence is not learned",
                "use LSTM or GRU instead of RNN, attention, shorter sequences, or larger "
                "(orthogonal) recurrent weights",
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


def activations(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Rectifiers that are never active, and squashing functions at their ends."""
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
            what = "states" if layer.operation == "recurrent tanh" else layer.operation
            yield Diagnosis(
                "saturation",
                layer.name,
                now.epoch,
                f"layer {layer.name}: {layer.saturated:.0%} of the values of its {what} "
                "are at the ends, where the derivative is almost 0",
                "use smaller initial weights or steps, standardise the inputs, or use ReLU",
            )


def left_out(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Parameters that should be trained and are not: no gradient comes to them, or no step."""
    if not records:
        return
    last = records[-1]
    cut = [p for p in last.parameters if not p.reached]
    if cut:
        more = f" and {len(cut) - 1} more" if len(cut) > 1 else ""
        yield Diagnosis(
            "frozen layer",
            cut[0].name,
            last.epoch,
            f"no gradient comes to {cut[0].name}{more}: the loss does not depend on it, or only "
            "through detach()",
            "look where the way from it to the loss is cut; of layers that are to stay as they are "
            "say so with requires_grad_(False)",
        )
        return
    if len(records) < 2 or not all(math.isfinite(r.gradient) for r in records):
        return
    still = [
        p.name
        for number, p in enumerate(last.parameters)
        if p.size > 1
        and all(r.parameters[number].change == 0 for r in records[1:])
        and all(r.parameters[number].gradient > VANISHED * r.gradient for r in records)
    ]
    if still and len(still) < sum(p.size > 1 for p in last.parameters):
        more = f" and {len(still) - 1} more" if len(still) > 1 else ""
        yield Diagnosis(
            "frozen layer",
            still[0],
            last.epoch,
            f"{still[0]}{more} never changed, although there are gradients for it and other "
            "weights changed",
            "give all parameters to the optimizer (net.parameters()), with a step size above 0",
        )
