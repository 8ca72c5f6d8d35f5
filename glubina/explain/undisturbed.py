"""Looking at a network without leaving a trace: running statistics and chance stay as they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from glubina.nn import Module
from glubina.tensor.convert import as_tensor
from glubina.tensor.random import default_generator


def networks_in(variables: Mapping[str, Any], function: Any) -> list[Module]:
    """The networks among variables, and the one that is called, or of which a method is."""
    candidates = (*variables.values(), function, getattr(function, "__self__", None))
    return list({id(v): v for v in candidates if isinstance(v, Module)}.values())


@contextmanager
def undisturbed(networks: Iterable[Module]) -> Iterator[None]:
    """Afterwards the networks' buffers and the generator's state are what they were before."""
    buffers = {id(held): held for network in networks for held in network.buffers()}
    kept = [(held, held.numpy()) for held in buffers.values()]
    chance = default_generator.get_state()
    try:
        yield
    finally:
        default_generator.set_state(chance)
        for held, array in kept:
            held.copy_(as_tensor(array))
