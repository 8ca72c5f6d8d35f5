"""Chance: generators of one's own are found wherever they are, and go on where they were."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina.files import pack, unpack
from glubina.train.chance import own_generators, restore, states


class Holder:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)

    def method(self) -> None:
        pass


def closed(one: Any) -> Any:
    def function(x: Any, other: Any = one) -> Any:
        return one, random, x

    return function


KINDS = [
    lambda: gl.Generator(3),
    lambda: np.random.default_rng(3),
    lambda: np.random.Generator(np.random.MT19937(3)),
    lambda: np.random.Generator(np.random.Philox(3)),
    lambda: np.random.Generator(np.random.SFC64(3)),
    lambda: np.random.RandomState(3),
    lambda: random.Random(3),
]


def draw(one: Any) -> float:
    if isinstance(one, gl.Generator):
        return float(gl.rand((), generator=one))
    return float(one.normal()) if hasattr(one, "normal") else one.gauss(0, 1)


@pytest.mark.parametrize("make", KINDS)
def test_each_kind_goes_on(make: Any) -> None:
    one, other = make(), make()
    for _ in range(3):  # an odd number: some keep a second draw for later
        draw(one)
    packed, arrays = pack(states([one]))
    wanted = draw(one), draw(one), random.random(), np.random.normal()  # noqa: NPY002
    restore(unpack(packed, arrays), [other])
    assert (draw(other), draw(other), random.random(), np.random.normal()) == wanted  # noqa: NPY002
    with pytest.raises(ValueError, match="it has 1 generators of its own, this one 2"):
        restore(unpack(packed, arrays), [other, make()])


def test_they_are_found_in_order_and_once() -> None:
    a, b, c, d, e = (np.random.default_rng(k) for k in range(5))
    holder = Holder(first=a, nest={"x": [b, (a,)]}, function=closed(c), part=partial(closed, d))
    holder.me = holder
    roots = [holder, holder.method, e.normal, Holder(rows=[[0.0]] * 20_000), gl.ones(3), np]
    assert [*map(id, own_generators(roots))] == [*map(id, [a, b, c, d, e])]
    assert own_generators([Holder(shared=gl.tensor), random.SystemRandom(), None]) == []
