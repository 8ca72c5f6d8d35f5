"""`torch.utils.checkpoint`: parts of a network that the backward pass works out again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from glubina.tensor.recompute import recompute

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, worked out again in the backward pass; see `gl.recompute`.

    use_reentrant, preserve_rng_state: accepted. There is one way here, which is not reentrant, and
    random draws are always the same again.
    """
    return recompute(function, *args, **kwargs)


def checkpoint_sequential(
    functions: Iterable[Callable[[Any], Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """A sequence of modules or functions in so many parts, all but the last worked out again."""
    steps = list(functions)
    if not 1 <= segments <= max(len(steps), 1):
        raise ValueError(
            f"checkpoint_sequential: segments should be from 1 to {len(steps)}, the number of "
            f"functions, got {segments!r}"
        )
    size = len(steps) // segments
    last = size * (segments - 1)

    def part(start: int, end: int) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for step in steps[start:end]:
                x = step(x)
            return x

        return run

    for start in range(0, last, max(size, 1)):
        input = recompute(part(start, start + size), input)
    return part(last, len(steps))(input)
