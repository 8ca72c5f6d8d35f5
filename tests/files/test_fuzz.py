"""Every reader against files that are damaged or hostile: by chance, by structure, cut anywhere."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz import attempt, fuzz, mutated
from fuzz_targets import TARGETS, Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import glubina as gl

SECONDS = 10 / len(TARGETS)  # by `python tests/fuzz.py` longer
SLOW = ("model.json", "keras model", "weights", "tar")  # cut at fewer places


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Without the warnings of pillow about images, and of NumPy about numbers in them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_by_chance(name: str) -> None:
    if not TARGETS[name].seeds():
        pytest.skip("pillow is not installed")
    report = fuzz(TARGETS[name], SECONDS, seed=1)
    assert report.runs > 3
    assert len(report.lines) > 5


def test_the_fuzzer_finds_what_is_hidden() -> None:
    """A reader with a fault behind two conditions: coverage leads there, chance alone would not."""

    def read(path: Path) -> None:
        gl.files.read_json(path)
        if path.read_bytes().count(b"9") > 3:
            raise ZeroDivisionError

    target = Target("hidden", lambda: [b'{"a": 1}'], read)
    with pytest.raises(AssertionError, match=r"hidden: ZeroDivisionError.*\ninput"):
        fuzz(target, 20)


@pytest.mark.parametrize("name", TARGETS)
def test_cut_at_each_place(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for content in target.seeds()[:2]:
        step = max(1, len(content) // (12 if name in SLOW else 60))
        for length in range(0, len(content), step):
            attempt(target, tmp_path / target.file, content[:length], set())


# -- by structure: JSON with other values in it ---------------------------------------------------

HOSTILE = st.sampled_from(
    [
        None, True, -1, 0, 3, 10**6, 2**31, 2**63, 10**12, 10**30, 0.5, 1e308, "", "x", "../../up",
        "/etc/passwd", "a\0b", "\x1b[2J", "__class__", "os.system", "Linear", "Sequential",
        "x" * 3000, [], {}, [[]], [10**12] * 3, {"class": "Linear"}, {"class": "builtins.eval"},
        {"class": "Linear", "arguments": {"in_features": 10**12, "out_features": 10**12}},
        {"class_name": "Dense", "config": {"units": 10**12}}, {"at": [0, 10**9]}, {"$": "array"},
        {"$": "tuple", "of": 3}, {"tensor": "no", "grad": 1},
    ]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values in a JSON value but itself."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, part in inner:
        found.append((*path, key))
        if isinstance(part, (dict, list)):
            found += places(part, (*path, key))
    return found


def changed(value: Any, draw: Callable[..., Any]) -> Any:
    """The value after one or two changes: other values, without some, under other names."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 2))):
        here = places(value)
        if not here:
            return value
        *way, last = draw(st.sampled_from(here))
        holder = value
        for key in way:
            holder = holder[key]
        change = draw(st.sampled_from(("value", "value", "value", "gone", "name", "deeper")))
        if change == "value":
            holder[last] = json.loads(json.dumps(draw(HOSTILE)))  # of its own: it may be changed
        elif change == "deeper":
            for _ in range(draw(st.sampled_from((1, 30, 200)))):
                holder[last] = [holder[last]]
        elif change == "name" and isinstance(holder, dict):
            holder[str(draw(HOSTILE))[:200]] = holder.pop(last)
        else:
            del holder[last]
    return value


def _header(content: bytes, change: Callable[[Any], Any]) -> bytes:
    """A safetensors file with a changed header, without the checksum."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name in ("glubina.sha256", "glubina.format"):
        header.get("__metadata__", {}).pop(name, None)
    text = json.dumps(change(header)).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _document(content: bytes, change: Callable[[Any], Any]) -> bytes:
    value = json.loads(content)
    head = {name: value.pop(name) for name in ("format", "version", "library") if name in value}
    value.pop("sha256", None)
    return json.dumps({**head, **change(value)}).encode()


def _state(content: bytes, change: Callable[[Any], Any]) -> bytes:
    """A checkpoint with another state."""
    from glubina.files.tensors import decode_tensors, encode_tensors
    from glubina.train.checkpoint_file import STATE

    arrays, metadata = decode_tensors(content, "checkpoint")
    text = json.dumps(change(json.loads(arrays[STATE].tobytes()))).encode()
    arrays[STATE] = np.frombuffer(text, np.uint8)
    return encode_tensors(arrays, metadata)


def _form(content: bytes, change: Callable[[Any], Any]) -> bytes:
    """A file of `torch.save` with another description of what was saved."""
    from glubina.files.tensors import decode_tensors, encode_tensors

    arrays, metadata = decode_tensors(content, "checkpoint")
    metadata["glubina.torch"] = json.dumps(change(json.loads(metadata["glubina.torch"])))
    return encode_tensors(arrays, metadata)


STRUCTURED = {
    "tensors": (_header, 40),
    "checkpoint": (_state, 40),
    "model.json": (_document, 50),
    "keras model": (_document, 50),
    "settings": (_document, 15),
    "torch": (_form, 40),
    "plan": (_document, 30),
}


@pytest.mark.parametrize("name", STRUCTURED)
def test_by_structure(name: str, tmp_path: Path) -> None:
    target, (rebuilt, examples) = TARGETS[name], STRUCTURED[name]
    seeds = target.seeds()

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        content = rebuilt(data.draw(st.sampled_from(seeds)), lambda v: changed(v, data.draw))
        tmp_path.mkdir(exist_ok=True)
        attempt(target, tmp_path / target.file, content, set())

    check()


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, chance: Any
) -> None:
    """A file with a checksum is read as it was written, or not at all."""
    target = TARGETS["tensors"]
    whole = target.seeds()[0]
    path = tmp_path_factory.mktemp("flip") / target.file
    content = mutated(whole, [whole], chance)
    problem, _ = attempt(target, path, content, set())
    if problem is None and b"glubina.sha256" in content:
        got, _ = target.read(path)
        path.write_bytes(whole)
        expected, _ = target.read(path)
        assert {n: a.tobytes() for n, a in got.items()} == {
            n: a.tobytes() for n, a in expected.items()
        }
