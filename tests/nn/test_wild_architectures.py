"""Every class that a file may name, with sizes that no machine has: refused at once."""

from __future__ import annotations

import inspect
import time
import tracemalloc
from typing import Any

import pytest

import glubina.keras
import glubina.models
import glubina.nn.blocks  # noqa: F401 - with the others they name all that a file can
from glubina import nn
from glubina.nn import architecture, later
from glubina.nn.budget import limited

WILD = (10**12, 2**70, -1, 1e308, "x", None, [10**9] * 3, {"a": 1})
LAYER = {"class": "Linear", "arguments": {"in_features": 2, "out_features": 2}}


def classes() -> list[str]:
    for name in later.LAYERS:
        later.found(later.LAYERS, name)
    return sorted(architecture.CLASSES)


def cases(name: str) -> list[dict[str, Any]]:
    """Arguments for the class: all its whole numbers huge, and each required one wild."""
    kind = architecture.CLASSES[name]
    parameters = inspect.signature(getattr(kind, "from_config", kind)).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = {p.name: 4 for p in named if p.default is p.empty}
    whole = [p.name for p in named if p.default is p.empty or type(p.default) is int]
    found = [{**needed, **dict.fromkeys(whole, size)} for size in (10**12, 10**7)]
    found += [{**needed, name: 10**12} for name in whole]
    return found + [{**needed, name: wild} for name in [*needed][:1] for wild in WILD]


def test_no_class_takes_wild_sizes() -> None:
    for name in classes():
        for arguments in cases(name):
            begun = time.monotonic()
            tracemalloc.start()
            problem = ""
            try:
                with limited(100):
                    architecture.build({"class": name, "arguments": arguments})
            except nn.ArchitectureError as error:
                problem = str(error)
            assert len(problem) < 2000, problem
            assert problem.startswith("the architecture: ") or not problem, problem
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            told = f"{name}({arguments})"
            assert time.monotonic() - begun < 20, told
            assert peak < 100 * 2**20, f"{told}: {peak} bytes"


@pytest.mark.parametrize("depth", [100, 100_000])
def test_descriptions_in_descriptions(depth: int) -> None:
    inner: Any = {"class": "ReLU"}
    for _ in range(depth):
        inner = {"class": "Sequential", "arguments": {"modules": {"0": inner}}}
    if depth == 100:
        architecture.build(inner)
    else:
        with pytest.raises(nn.ArchitectureError, match="nested too deeply"):
            architecture.build(inner)
    while isinstance(inner, dict) and "arguments" in inner:  # or its end would recurse as deep
        inner = inner["arguments"]["modules"].pop("0")


def test_a_description_in_itself() -> None:
    inner: dict[str, Any] = {"class": "Sequential", "arguments": {"modules": {}}}
    inner["arguments"]["modules"]["0"] = inner
    with pytest.raises(nn.ArchitectureError, match="nested too deeply"):
        architecture.build(inner)
