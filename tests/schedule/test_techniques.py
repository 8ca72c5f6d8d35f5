"""Techniques can be left out, one by one: the results stay, the kernels change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn
from glubina.graph.techniques import TECHNIQUES, left_out
from glubina.nn import functional as F
from glubina.runtime import observers
from glubina.tensor import programs
from glubina.tensor.recent import Recent


def _network() -> Any:
    """Something for every technique: attention, a loop, normalisation, few channels."""
    gl.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, padding=1, bias=False)
    norm, lstm, out = nn.BatchNorm2d(3), nn.LSTM(12, 16, batch_first=True), nn.Linear(16, 10)
    parameters = [p for layer in (conv, norm, lstm, out) for p in layer.parameters()]
    x = gl.tensor(np.random.default_rng(0).standard_normal((4, 20, 4, 2)).astype(np.float32))
    labels = gl.tensor(np.arange(80).reshape(4, 20) % 10)

    def gradients() -> list[Any]:
        seen = norm(conv(x)).relu().reshape((4, 20, 12))
        states, _ = lstm(seen)
        heads = states.reshape((4, 20, 2, 8)).permute_dims(0, 2, 1, 3)
        mixed = F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        scores = out(mixed.permute_dims(0, 2, 1, 3).reshape((4, 20, 16)))
        loss = F.cross_entropy(scores, labels)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        return [loss, *(p.grad for p in parameters)]

    return gradients


def _results(monkeypatch: pytest.MonkeyPatch, without: str) -> tuple[list[Any], list[str]]:
    monkeypatch.setenv("GLUBINA_WITHOUT", without)
    # it is asked for when a program is made
    monkeypatch.setattr(programs, "_compiled", Recent(1 << 30, lambda key, value: 1))
    monkeypatch.setattr(programs, "_alive", {})
    kinds: list[str] = []

    def look(event: Any) -> None:
        kinds.extend(f"{kernel.kind} {kernel.space}" for kernel in event.schedule.kernels)

    with observers.schedules.watching(look):
        found = [t.numpy() for t in gl.compile(_network())()]
    return found, kinds


@pytest.mark.parametrize("name", TECHNIQUES)
def test_results_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, kernels = _results(monkeypatch, "")
    without, others = _results(monkeypatch, name)
    for a, b in zip(whole, without, strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-4, atol=2e-5)
    if name != "planes":  # which changes how kernels compute, not which there are
        assert kernels != others


def test_an_unknown_technique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUBINA_WITHOUT", "rows,magic")
    with pytest.raises(ValueError, match="names magic; there are absorbing, rows, one-pass"):
        left_out()
