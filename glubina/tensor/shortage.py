"""What takes the memory of a program that does not fit, and what would."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from glubina.graph import origins
from glubina.runtime.demand import demand
from glubina.runtime.limits import OutOfMemoryError, size_text
from glubina.schedule.plan import labels
from glubina.tensor.base import TensorBase, wrap
from glubina.tensor.cell import placeholder
from glubina.tensor.outline import translated

if TYPE_CHECKING:
    from glubina.graph.node import Node
    from glubina.runtime.build import Translation
    from glubina.runtime.layout import Laid

_SHOWN = 5
_SECONDS = 5.0  # for planning what would fit


def explain(error: OutOfMemoryError, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Write into the error what a function's program would hold, from which layers and lines.

    The function is called once more, on arguments without values, to see where its values are made.
    """
    with origins.watching() as watch:
        made = translated(partial(function, **kwargs), *args)
        error.largest = largest(made, watch)
        kept = _kept(made.laid, watch)
    rows = _rows(args)
    if rows > 1:
        fits = largest_fitting(
            lambda size: _smaller(function, args, kwargs, rows, size), rows, error
        )
        advise_size(error, fits, rows, f"{fits} rows along the first axis of the arguments")
    advise_recomputation(error, kept)


def explain_graph(error: OutOfMemoryError, made: Translation) -> None:
    """The same of a graph that was not recorded: what is largest, without layers and lines."""
    error.largest = largest(made, None)


def largest(made: Translation, watch: origins.Origins | None) -> list[str]:
    """The largest arrays of the arena and of the results, and the largest workspace, in words."""
    plan, names = made.laid.plan, labels(made.schedule.kernels)
    arrays = [
        (spec.nbytes, f"{spec.dtype} {spec.shape}, a result")
        for spec, taken in zip(plan.outputs, plan.donated, strict=True)
        if taken < 0
    ]
    spaces = []
    for held in made.laid.held:
        if held.what is None:
            spaces.append((held.size, f"the workspace of the kernel {names[held.first]}"))
        else:
            arrays.append((held.size, _text(held.what, watch)))
    arrays.sort(key=lambda item: -item[0])
    found = [*arrays[:_SHOWN], *([max(spaces)] if spaces else [])]
    return [f"{size_text(size)}: {text}" for size, text in found if size]


def _text(node: Node, watch: origins.Origins | None) -> str:
    """An array of the arena: dtype, shape, and where it comes from."""
    head = f"{node.dtype.name} {node.shape}"
    origin = None if watch is None else watch.of(node)
    if origin is None:
        return f"{head}, made by {node.op.name}"
    parts = [f"layer {origin.layer!r}" if origin.layer else "", origin.stage]
    place = origin.user or origin.library
    parts.append(f"{place.file}, line {place.line}" if place is not None else "")
    return ", ".join([head, *(part for part in parts if part)])


def _kept(laid: Laid, watch: origins.Origins) -> int:
    """Bytes that the forward pass leaves for the backward pass, when that begins."""
    stages = [(held, _stage(held.what, watch)) for held in laid.held]
    first = min((held.first for held, stage in stages if stage == origins.BACKWARD), default=None)
    if first is None:
        return 0
    return sum(
        held.size
        for held, stage in stages
        if stage == origins.FORWARD and held.first < first <= held.last
    )


def _stage(node: Node | None, watch: origins.Origins) -> str:
    origin = None if node is None else watch.of(node)
    return "" if origin is None else origin.stage


# -- what would fit ------------------------------------------------------------------------------


def advise_size(error: OutOfMemoryError, fits: int, size: int, text: str) -> None:
    """Say how many examples fit; what was asked for is `size`."""
    if fits:
        error.advice.append(text)
    else:
        error.advice.append(f"not even 1 of the {size}: a smaller model")


def advise_recomputation(error: OutOfMemoryError, kept: int) -> None:
    """Say what recomputation can save, where the forward pass leaves much."""
    if kept * 4 >= error.needed:
        error.advice.append(
            f"{size_text(kept)} of it are kept from the forward for the backward pass: "
            "nn.Recompute around parts of the network keeps only what goes into them"
        )


def largest_fitting(
    planned: Callable[[int], int], size: int, error: OutOfMemoryError, besides: int = 0
) -> int:
    """The largest number below `size` whose planned bytes are available; 0 if there is none.

    planned: the bytes of a program for so many examples. Memory grows about linearly with that, so
    few plans are needed; after some seconds the largest number known to fit is taken.
    """
    room = error.available - besides
    end = time.monotonic() + _SECONDS
    low, low_bytes, high, high_bytes = 0, 0, size, error.needed
    while high - low > 1:
        share = (room - low_bytes) / max(high_bytes - low_bytes, 1)
        guess = min(max(low + int((high - low) * share), low + 1), high - 1)
        needed = planned(guess)
        if needed <= room:
            low, low_bytes = guess, needed
            if guess + 1 < high:
                following = planned(guess + 1)
                if following > room:
                    return guess
                low, low_bytes = guess + 1, following
        else:
            high, high_bytes = guess, needed
        if time.monotonic() > end:
            break
    return low


def planned_bytes(function: Callable[..., Any], *args: Any) -> int:
    """The bytes that a run of a function would need; nothing is compiled or run."""
    return demand(translated(function, *args).laid.plan)


def _rows(args: Sequence[Any]) -> int:
    """The first extent that all tensors among the arguments have; 0 if they differ."""
    extents = {a.shape[0] if a.shape else 0 for a in args if isinstance(a, TensorBase)}
    plain = all(isinstance(a, TensorBase) or not hasattr(a, "__len__") for a in args)
    return extents.pop() if len(extents) == 1 and plain else 0


def _smaller(function: Callable[..., Any], args: Any, kwargs: Any, rows: int, size: int) -> int:
    """What the function would need with so many rows of its arguments."""
    given = [
        wrap(placeholder((size, *a.shape[1:]), a.dtype)) if isinstance(a, TensorBase) else a
        for a in args
    ]
    return planned_bytes(partial(function, **kwargs), *given)
