"""The room as type checkers see it: names to import, and a function that can be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    import glubina.explain.ladder as rungs
    import glubina.explain.landscape as pictures
    import glubina.explain.learned as inner
    from glubina.explain import (
        computation,
        diagnosis,
        errors,
        frames,
        influence,
        monitor,
        opening,
        probe,
        vertex,
    )
    from glubina.tensor import Tensor

    class explain:
        """`gl.explain`: called, it is the function `explain.explain`."""

        Diagnosis: TypeAlias = diagnosis.Diagnosis
        Edge: TypeAlias = vertex.Edge
        ExplainError: TypeAlias = errors.ExplainError
        Explanation: TypeAlias = computation.Explanation
        Frame: TypeAlias = frames.Frame
        Influence: TypeAlias = influence.Influence
        Ladder: TypeAlias = rungs.Ladder
        Monitor: TypeAlias = monitor.Monitor
        Path: TypeAlias = influence.Path
        Record: TypeAlias = probe.Record
        Rung: TypeAlias = rungs.Rung
        Vertex: TypeAlias = vertex.Vertex
        diagnose = staticmethod(diagnosis.diagnose)
        explain = staticmethod(opening.explain)
        ladder = staticmethod(rungs.ladder)
        landscape = pictures
        learned = inner
        paths = staticmethod(opening.paths)

        def __new__(  # type: ignore[misc]
            cls,
            what: Tensor | Callable[..., Any],
            *arguments: Any,
            names: Mapping[str, Tensor] | None = None,
            operations: bool = False,
            **keywords: Any,
        ) -> computation.Explanation:
            """As `explain.explain`."""
            ...
