"""What goes wrong in a training, in plain language: from its figures and the monitor's records."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.explain.probe import Record
from glubina.explain.trouble import KINDS, Diagnosis
from glubina.explain.troubles_inside import activations, gradients, initialisation, left_out
from glubina.explain.troubles_outside import (
    constant,
    learning,
    mismatched,
    not_finite,
    overfitting,
    probe_data,
    step,
)
from glubina.train.history import History

__all__ = ["KINDS", "Diagnosis", "diagnose"]


def diagnose(history: History | None, records: Sequence[Record]) -> list[Diagnosis]:
    """The troubles of a training, the likely causes before their consequences.

    history: the figures of `fit`; records: of a `Monitor`. Either may be missing.
    """
    found = [
        *not_finite(history, records),
        *probe_data(records),
        *mismatched(records),
        *initialisation(records),
        *gradients(records),
        *left_out(records),
        *activations(records),
        *step(history, records),
        *constant(records),
        *overfitting(history, records),
    ]
    if not found:
        found = [*learning(records)]
    return sorted(found, key=lambda d: KINDS.index(d.kind))
