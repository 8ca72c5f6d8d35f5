"""How much a package takes on the disk, with all that it needs."""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


def needed(names: list[str]) -> dict[str, Distribution]:
    """The packages and all that they need, extras left out, by name; those that are there."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for line in found[name].requires or []:
            if "extra ==" not in line:
                waiting.append(re.split(r"[\s;<>=!~\[(]", line, maxsplit=1)[0])
    return found


def size(package: Distribution) -> int:
    """The bytes of a package's files; of one installed in place, those of its folder."""
    paths = [Path(str(package.locate_file(file))) for file in package.files or []]
    if not any(path.suffix in (".py", ".so") for path in paths):
        paths += Path(package.metadata["Name"]).rglob("*.py")
    return sum(path.stat().st_size for path in paths if path.is_file())


def main() -> None:
    """Print the first package's version and the bytes of all."""
    found = needed(sys.argv[1:])
    version = next(iter(found.values())).version if found else "?"
    print(version, sum(size(package) for package in found.values()))


if __name__ == "__main__":
    main()
