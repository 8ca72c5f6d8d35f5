"""A table that forgets what was not asked for lately, once what it holds weighs too much."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key in two generations, each of at most so many bytes as `weigh` says.

    What is asked for comes into the young generation. When that is full it takes the place of the
    old one, whose values go, except to those who still hold them. So what is asked for again and
    again is found as in a dict (look into `young` first), and no order has to be kept: what goes
    was not asked for while a whole generation came in. A value of more than `most` has a
    generation to itself. Whoever changes a table that threads share holds a lock.
    """

    def __init__(self, most: int, weigh: Callable[[Any, V], int]) -> None:
        self.most = most
        self.young: dict[Hashable, V] = {}
        self._old: dict[Hashable, V] = {}
        self._weigh = weigh
        self._weight = 0  # of the young; Ctrl-C may make it a little wrong, and nothing else

    def get(self, key: Hashable) -> V | None:
        """The value, if it is still there; it is young again."""
        value = self.young.get(key)
        if value is None:
            value = self._old.pop(key, None)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Hashable, value: V) -> None:
        """Enter a value, or weigh it anew."""
        weight = self._weigh(key, value)
        if self.young and self._weight + weight > self.most:
            self._old = self.young
            self.young, self._weight = {}, 0
        self.young[key] = value
        self._weight += weight

    def clear(self) -> None:
        """Forget everything."""
        self.young, self._old, self._weight = {}, {}, 0

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
