"""The wheel holds what a person needs: every module, the types' mark, the data with its credit."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree without touching the network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_package(contents: set[str]) -> None:
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "glubina").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files <= contents, f"missing: {sorted(files - contents)}"


def test_the_wheel_is_typed(contents: set[str]) -> None:
    assert "glubina/py.typed" in contents


def test_the_wheel_holds_only_the_package(contents: set[str]) -> None:
    tops = {entry.split("/")[0] for entry in contents}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"glubina"}


def test_the_wheel_carries_licence_and_command(wheel: Path, contents: set[str]) -> None:
    assert any(entry.endswith("licenses/LICENSE") for entry in contents)
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [each for each in contents if each.endswith("entry_points.txt")]
        assert "glubina = glubina.cli:main" in archive.read(entry).decode()


def test_the_package_imports_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import glubina, pathlib; print(pathlib.Path(glubina.__file__).parent.parent)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(done.stdout.strip()) == tmp_path
