"""Nested states come back with the same bits and types."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import glubina as gl
from glubina.files import UnstorableError, pack, unpack

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([np.float32(1.5), np.int64(-3), np.array([1.0, np.nan], np.float32)])
    | st.sampled_from([np.zeros((), np.float64), np.zeros((2, 0), np.uint32), np.bool_(True)])
)
keys = st.text(max_size=3) | st.integers() | st.just("$") | st.tuples(st.integers())
long = st.integers(14, 18).map(lambda n: [-0.0, float("nan"), *map(float, range(n - 2))])
values = st.recursive(
    leaves | long,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
)


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes() or (a != a and b != b)
    return bool(a == b)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_there_and_back(value: Any) -> None:
    packed, arrays = pack(value)
    text = json.dumps(packed, allow_nan=False)
    assert same(unpack(json.loads(text), arrays), value)


def test_arrays_are_named_by_their_place() -> None:
    state = {"model": {"0.weight": gl.ones(2)}, "optimizer": {"state": {0: {"m": np.ones(1)}}}}
    packed, arrays = pack(state)
    assert sorted(arrays) == ["model/0.weight", "optimizer/state/0/m"]
    assert unpack(packed, arrays)["optimizer"]["state"][0]["m"] is arrays["optimizer/state/0/m"]


def test_what_cannot_be_stored_is_named() -> None:
    with pytest.raises(UnstorableError, match=r"callbacks/0/f: a function cannot be stored"):
        pack({"callbacks": [{"f": lambda: None}]})


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(40):
        value = (value,)
    with pytest.raises(UnstorableError, match=r"0/0/0/0/\.\.\.: it nests deeper than 16 levels"):
        pack(value)
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UnstorableError, match="deeper than 16"):
        pack(circle)


@pytest.mark.parametrize(
    "packed", [{"$": "array", "name": "x"}, {"$": "code"}, {"$": []}, {"$": "pairs", "of": [1]}]
)
def test_what_pack_has_not_written(packed: Any) -> None:
    with pytest.raises(ValueError, match="is not part of a stored state"):
        unpack({"a": packed}, {})
