"""Builds programs for tests and runs them on arrays, with different numbers of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.graph import Node
from glubina.runtime.buffer import Buffer
from glubina.runtime.build import build
from glubina.runtime.program import Program

Array = NDArray[Any]


class Compiled:
    """The native program for some outputs; `run` gives their values."""

    def __init__(
        self,
        outputs: Sequence[Node],
        inputs: Sequence[Node],
        donated: Sequence[int] | None = None,
    ) -> None:
        self.outputs = list(outputs)
        self.inputs = list(inputs)
        self.program: Program = build(outputs, inputs, donated or [-1] * len(outputs))

    def run(self, bindings: Mapping[Node, Array], threads: int = 1) -> list[Array]:
        """The outputs' values; the arrays in `bindings` are left alone."""
        given = [Buffer.from_array(bindings[node]) for node in self.inputs]
        results = []
        for node, number in zip(self.outputs, self.program.plan.donated, strict=True):
            taken = given[number] if number >= 0 else Buffer(node.size * node.dtype.itemsize)
            results.append(taken)
        self.program.run(given, results, threads)
        return [
            buffer.array(node.shape, node.dtype).copy()
            for buffer, node in zip(results, self.outputs, strict=True)
        ]

    def run_alike(self, bindings: Mapping[Node, Array]) -> list[Array]:
        """Run with one, two and three threads; the results must not differ in one bit."""
        first = self.run(bindings)
        for threads in (2, 3):
            for one, other in zip(first, self.run(bindings, threads), strict=True):
                assert one.tobytes() == other.tobytes(), f"{threads} threads give other bits"
        return first


def assert_close(found: Array, wanted: Array, scale: float = 1.0) -> None:
    """Equal for integers; for floating point within rounding of sums of a few hundred terms."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
        return
    tolerance = 2e-5 if wanted.dtype == np.float32 else 1e-12
    finite = wanted[np.isfinite(wanted)]
    size = float(np.abs(finite).max()) if finite.size else 1.0
    np.testing.assert_allclose(
        found, wanted, rtol=tolerance * scale, atol=tolerance * scale * max(size, 1e-30)
    )
