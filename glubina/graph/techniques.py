"""Techniques that can be left out, so that what each of them gains can be measured."""

from __future__ import annotations

import os

VARIABLE = "GLUBINA_WITHOUT"

TECHNIQUES = {
    "absorbing": "element-wise work at the end of the kernel whose result it takes",
    "rows": "one kernel for all that happens to a row: softmax, normalisation, cross-entropy",
    "one-pass": "mean and variance in one pass over the numbers",
    "early": "kernels that end in a result run while what they read is in the cache",
    "lifting": "what needs no state is computed outside of loops, for all steps at once",
    "attention": "attention in blocks, without its matrix of weights",
    "planes": "vectors along pixels where there are few channels",
}


def left_out() -> frozenset[str]:
    """The techniques that GLUBINA_WITHOUT names, separated by commas; ValueError for another.

    It is read when a program is made, and belongs to the program's name in the cache on disk.
    """
    named = frozenset(filter(None, os.environ.get(VARIABLE, "").split(",")))
    unknown = sorted(named - TECHNIQUES.keys())
    if unknown:
        known = ", ".join(TECHNIQUES)
        raise ValueError(f"{VARIABLE} names {', '.join(unknown)}; there are {known}")
    return named


def used(name: str) -> bool:
    """Whether a technique is used; the results are the same without it, but for rounding."""
    return VARIABLE not in os.environ or name not in left_out()
