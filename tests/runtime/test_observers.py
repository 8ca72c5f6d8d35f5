"""Channels: who subscribes hears, until it ends."""

from __future__ import annotations

import pytest

from glubina.runtime.observers import Channel


def test_subscribers_hear_until_they_end() -> None:
    channel: Channel[int] = Channel()
    first: list[int] = []
    second: list[int] = []
    assert not channel
    end = channel.subscribe(first.append)
    channel.send(1)
    with channel.watching(second.append):
        channel.send(2)
        assert channel
    channel.send(3)
    end()
    end()
    channel.send(4)
    assert (first, second) == ([1, 2, 3], [2])
    assert not channel


def test_watching_ends_after_an_error() -> None:
    channel: Channel[int] = Channel()
    with pytest.raises(KeyError), channel.watching(print):
        raise KeyError
    assert not channel
