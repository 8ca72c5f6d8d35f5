"""How much a package takes on the disk, with all that it needs."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def plain(requirement: str) -> str:
    """The name of a requirement such as "numpy>=1.26"."""
    name = re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(names: list[str]) -> dict[str, Distribution]:
    """The packages and all that they need, extras left out, by name; those that are there."""
    found: dict[str, Distribution] = {}
    waiting = [plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        waiting += [plain(line) for line in found[name].requires or [] if "extra ==" not in line]
    return found


def files(package: Distribution) -> set[Path]:
    """The files of a package, compiled Python left out."""
    paths = (Path(str(package.locate_file(file))).resolve() for file in package.files or [])
    return {path for path in paths if path.suffix != ".pyc" and path.is_file()}


def here(name: str) -> tuple[str, list[str], set[Path]]:
    """The version, requirements and files of this checkout's package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / name / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.*)"', text)
    paths = {path for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".ll", ".typed")}
    return version[1] if version else "?", project["dependencies"], paths


def measure(names: list[str]) -> tuple[str, int]:
    """The first package's version, and the bytes of all and of what they need."""
    if names[0] == "glubina":
        version, names, paths = here("glubina")
    else:
        version, paths = distribution(names[0]).version, set()
    for package in needed(names).values():
        paths |= files(package)  # two packages may hold the same file
    return version, sum(path.stat().st_size for path in paths)


if __name__ == "__main__":
    print(*measure(sys.argv[1:]))
