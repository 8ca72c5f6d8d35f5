"""Documents say what they are: format, version, library, checksum; and are held to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import glubina
from glubina.files import DamagedFileError, FileError, read_document, write_document

CONTENT = {"name": "глубина", "rate": 0.1, "shape": [1, 2], "none": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A document of version 2."""
    write_document(tmp_path / "a.json", "test", 2, CONTENT)
    return tmp_path / "a.json"


def changed(path: Path, **change: Any) -> Path:
    """The document with other values and the old checksum, unless that is changed too."""
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return path


def test_there_and_back(path: Path) -> None:
    value = read_document(path, "test", 2)
    assert {name: value[name] for name in CONTENT} == CONTENT
    assert value["library"] == glubina.__version__
    assert read_document(path, "test", 3)["version"] == 2  # an older file is the caller's
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    read_document(path, "test", 2)  # the checksum is of the content, not of its layout


def test_what_was_altered_is_refused(path: Path) -> None:
    changed(path, rate=0.2)
    with pytest.raises(DamagedFileError, match=r"a\.json: .*checksum.*remove its line 'sha256'"):
        read_document(path, "test", 2)
    assert read_document(path, "test", 2, check=False)["rate"] == 0.2
    value = json.loads(path.read_text())
    del value["sha256"]
    path.write_text(json.dumps(value))
    assert read_document(path, "test", 2)["rate"] == 0.2


def test_a_later_version_says_what_reads_it(path: Path) -> None:
    changed(path, version=3, library="9.8.7")
    with pytest.raises(FileError, match=r"version 3 .*up to version 2\. Install glubina 9\.8\.7"):
        read_document(path, "test", 2)
    changed(path, library=7)
    with pytest.raises(FileError, match=r"Install a later glubina"):
        read_document(path, "test", 2)


@pytest.mark.parametrize("version", [0, -1, True, "2", 1.0, None, [2]])
def test_what_is_no_version(path: Path, version: object) -> None:
    with pytest.raises(DamagedFileError, match="is no version of a format"):
        read_document(changed(path, version=version), "test", 2)


@pytest.mark.parametrize("text", ['{"format": "other"}', "[]", "3", '{"format": ["test"]}'])
def test_another_format(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(DamagedFileError, match="is not a file of the format 'test'"):
        read_document(path, "test", 2)
