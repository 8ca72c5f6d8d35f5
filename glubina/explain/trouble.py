"""A trouble of a training: what it is called, where, what was seen, and what may help."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "not finite",
    "inputs not standardised",
    "mismatched loss",
    "bad initialisation",
    "exploding gradients",
    "vanishing gradients",
    "frozen layer",
    "dead units",
    "saturation",
    "too large a step",
    "constant output",
    "label leakage",
    "overfitting",
    "too small a step",
    "not learning",
)


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
