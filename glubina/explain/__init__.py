"""See through it: computations, derivatives, kernels and training made visible.

The room itself can be called: `gl.explain(loss)` is `glubina.explain.explain(loss)`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from glubina.explain import landscape, learned
from glubina.explain.computation import Explanation
from glubina.explain.diagnosis import Diagnosis, diagnose
from glubina.explain.errors import ExplainError
from glubina.explain.frames import Frame
from glubina.explain.influence import Influence, Path
from glubina.explain.ladder import Ladder, Rung, ladder
from glubina.explain.monitor import Monitor
from glubina.explain.opening import explain, paths
from glubina.explain.probe import Record
from glubina.explain.vertex import Edge, Vertex

__all__ = [
    "Diagnosis",
    "Edge",
    "ExplainError",
    "Explanation",
    "Frame",
    "Influence",
    "Ladder",
    "Monitor",
    "Path",
    "Record",
    "Rung",
    "Vertex",
    "diagnose",
    "explain",
    "ladder",
    "landscape",
    "learned",
    "paths",
]


class _Room(ModuleType):
    """A module that can be called; `room.py` tells type checkers so."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Explanation:
        return explain(*arguments, **keywords)


sys.modules[__name__].__class__ = _Room
