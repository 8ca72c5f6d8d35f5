"""Troubles to be seen from outside: in the curves, the examples, and what the network answers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from glubina.explain.formulas import number
from glubina.explain.probe import Record
from glubina.explain.trouble import Diagnosis
from glubina.explain.troubles_inside import finite
from glubina.train.history import History

CONSTANT = 1e-3
LARGE, TINY = 20.0, 1e-3  # root mean squares of inputs
UNEVEN = 1e3  # the largest scale of a feature as a multiple of the least
JUMPED = 3.0  # the loss at its worst as a multiple of that before training
LEARNED = 0.97  # the loss as a share of the best constant answer's
GAINED = 0.65  # of what training gains, the share that validation gains
WORSE = 1.1  # the validation loss at the end as a multiple of the best


def not_finite(history: History | None, records: Sequence[Record]) -> Iterator[Diagnosis]:
    """A loss or a gradient that is NaN or infinite."""
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


def probe_data(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Inputs of odd sizes, and a label among them."""
    data = records[0].data if records else None
    if data is None:
        return
    first = records[0].layers[0] if records[0].layers else None
    scaled = first is not None and ("Norm" in first.operation or "Rescal" in first.operation)
    least, largest = data.scales
    seen = ""
    if scaled:
        pass
    elif largest > UNEVEN * least:
        seen = (
            f"the features' scales differ widely: standard deviations from {number(least)} to "
            f"{number(largest)}"
        )
    elif data.size > LARGE and (first is None or first.std > LARGE / 4):
        seen = f"the inputs are large: the root of their mean square is {number(data.size)}"
    elif 0 < data.size < TINY:
        seen = f"the inputs are tiny: the root of their mean square is {number(data.size)}"
    if seen:
        yield Diagnosis(
            "inputs not standardised",
            "" if first is None else first.name,
            0,
            seen,
            "bring them to mean 0 and standard deviation 1 (data.Standardize; divide pixels by "
            "255), or begin with a normalisation",
        )
    if data.telling is not None:
        yield Diagnosis(
            "label leakage",
            "",
            0,
            f"feature {data.telling} of the inputs alone tells the target: each of its values goes "
            "with one class",
            "leave it out if it will not be known when the network is used",
        )


_MISMATCHES = {
    "softmax": (
        "the network's outputs are probabilities already, and the loss applies the softmax once "
        "more, so it cannot become small",
        "leave the last softmax out: CrossEntropyLoss takes logits",
    ),
    "sigmoid": (
        "the network ends in a sigmoid, and the loss applies the sigmoid once more, so it cannot "
        "become small",
        "leave the last sigmoid out: BCEWithLogitsLoss takes logits (or take BCELoss)",
    ),
    "logits": (
        "NLLLoss takes logarithms of probabilities, and the network's outputs are none (their "
        "exponentials do not add up to 1)",
        "end with LogSoftmax, or take CrossEntropyLoss",
    ),
}


def mismatched(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """A loss that takes something else than the network gives."""
    outputs = records[0].outputs if records else None
    if outputs is not None and outputs.twice:
        yield Diagnosis("mismatched loss", "", records[0].epoch, *_MISMATCHES[outputs.twice])


def step(history: History | None, records: Sequence[Record]) -> Iterator[Diagnosis]:
    """Steps that are too large, or too small, by the losses and how far the weights move."""
    losses = [] if history is None or "loss" not in history else list(history["loss"])
    probed = [r.loss for r in finite(records)]
    curve = probed if len(probed) > len(losses) else losses
    if not all(map(math.isfinite, losses)):
        yield Diagnosis(
            "too large a step", "", 0, "the loss left every bound", "divide the step size by 10"
        )
        return
    if len(curve) < 3:
        return
    floor = 1e-3 * max(abs(v) for v in curve)
    rises = sum(b > 1.2 * a + floor for a, b in itertools.pairwise(curve))
    worst = max(*curve, *losses)
    if curve[-1] > 1.05 * curve[0] + floor or rises * 4 >= len(curve):
        yield Diagnosis(
            "too large a step",
            "",
            len(losses),
            f"the training loss went from {number(curve[0])} to {number(curve[-1])} and rose by "
            f"more than a fifth {rises} time{'s' * (rises != 1)} in {len(curve) - 1} epochs",
            "the step size may be too large: divide it by 3 to 10",
        )
        return
    if worst > JUMPED * curve[0] + floor:
        yield Diagnosis(
            "too large a step",
            "",
            len(losses),
            f"the loss jumped from {number(curve[0])} to {number(worst)}",
            "the step size may be too large at the start: divide it by 3 to 10, or begin smaller",
        )
        return
    moved = [p.change / p.norm for r in records[1:] for p in r.parameters if p.norm > 0]
    if moved and max(moved) < 1e-7 and all(r.gradient > 0 for r in records):
        yield Diagnosis(
            "too small a step",
            "",
            len(losses),
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
            len(losses),
            f"the training loss falls steadily but only from {number(curve[0])} to "
            f"{number(curve[-1])}, and no parameter moves by more than {max(moved):.1e} of its "
            "norm in an epoch",
            "the step size may be too small: multiply it by 10",
        )


def constant(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """The same answer for every example."""
    record = records[-1] if records else None
    if record is None:
        return
    if record.output_spread < CONSTANT:
        yield Diagnosis(
            "constant output",
            "",
            record.epoch,
            "the network gives almost the same for every input: its outputs differ by "
            f"{record.output_spread:.1e} of their size",
            "look for dead or saturated layers, for inputs that are not standardised, and whether "
            "the targets fit the inputs",
        )


def overfitting(history: History | None, records: Sequence[Record] = ()) -> Iterator[Diagnosis]:
    """A validation loss that rises, or stays high, while the training loss falls."""
    if history is None or "val_loss" not in history or len(history) < 4:
        return
    training, validation = history["loss"], history["val_loss"]
    if not all(map(math.isfinite, (*training, *validation))):
        return
    best = min(range(len(validation)), key=lambda i: validation[i])
    begin = max(training[0], validation[0], *(r.loss for r in records[:1]))
    floor = 0.05 * begin  # less than that is no matter
    even = _smoothed(validation)  # one noisy epoch is no trend
    rises = len(validation) - 1 - best >= 2 and training[-1] < training[best]
    end = min(even[-1], validation[-1])  # nor is one noisy epoch of the last ones
    rises = rises and end > WORSE * min(even) + floor
    gain = begin - training[-1]
    stays = training[-1] < begin / 4 and begin - end < GAINED * gain
    if not rises and not stays:
        return
    since = f"since epoch {history.epoch[best]} the validation loss rises "
    since += f"({number(validation[best])} to {number(validation[-1])}) while the training loss "
    since += f"falls ({number(training[best])} to {number(training[-1])})"
    apart = f"the training loss came from {number(begin)} down to {number(training[-1])}, the "
    apart += f"validation loss only to {number(validation[-1])}"
    advice = "use more data or augmentation, dropout, weight decay, or a smaller network"
    guess = records[-1].outputs.guess if records and records[-1].outputs else math.nan
    if min(validation) > LEARNED * guess:
        advice += (
            f"; the validation loss was never better than always giving the same answer "
            f"({number(guess)}): look whether inputs and targets belong together"
        )
    yield Diagnosis(
        "overfitting",
        "",
        history.epoch[best],
        since if rises else apart,
        f"stop there (EarlyStopping), {advice}" if rises else advice,
    )


def learning(records: Sequence[Record]) -> Iterator[Diagnosis]:
    """A training that comes to nothing, or to one class for all, where nothing else tells why."""
    record = records[-1] if records else None
    if record is None or record.epoch < 2 or record.outputs is None:
        return
    guess, same, others = record.outputs.guess, record.outputs.same, record.outputs.others
    if same is not None and others:
        yield Diagnosis(
            "constant output",
            "",
            record.epoch,
            f"the network gives class {same} to every example of the probe, though {others:.0%} "
            "are of another",
            "weight the classes in the loss, or show rare ones more often; train longer"
            if others < 0.3
            else "train longer or with other step sizes; look whether the targets fit the inputs",
        )
    elif record.loss > LEARNED * guess:
        yield Diagnosis(
            "not learning",
            "",
            record.epoch,
            f"after {record.epoch} epochs the loss on the probe is {number(record.loss)}, no "
            f"better than always giving the same answer ({number(guess)})",
            "look whether inputs and targets belong together (shuffled apart?), whether the "
            "targets can be told from the inputs at all, and try other step sizes",
        )


def _smoothed(values: Sequence[float]) -> list[float]:
    """Running means over a fifth of the epochs, three at least (of fewer than six: themselves)."""
    width = 1 if len(values) < 6 else max(3, len(values) // 5)
    return [sum(values[i : i + width]) / width for i in range(len(values) - width + 1)]
