"""Draws the pictures of the pages from what their code computes: `make pictures`.

A page's blocks of code are run one after the other; then `lecture_pictures` draws from the names
that they leave. Each picture is an SVG beside its page, and carries the numbers that it shows, so
that a test can tell whether it is still true.

The code of docs/pictures-of-networks.md draws its own, as PNGs: those that the page shows are kept
in docs/pictures.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PAGES = Path(__file__).resolve().parent / "lectures"
DRAWS_ITSELF = PAGES.parent / "pictures-of-networks.md"
Names = dict[str, Any]
Drawing = Callable[[Names], Any]  # from a page's names to a matplotlib figure
DRAWN: dict[str, Drawing] = {}  # by the picture's path under docs/lectures, without the suffix


def draws(picture: str) -> Callable[[Drawing], Drawing]:
    """Say that a function draws a picture; the picture's page is the one that shows it."""

    def add(drawing: Drawing) -> Drawing:
        DRAWN[picture] = drawing
        return drawing

    return add


def pictures_of(page: Path) -> list[str]:
    """The pictures that a page shows."""
    return re.findall(r"\]\(([\w-]+)\.svg\)", page.read_text(encoding="utf-8"))


def names_of(page: Path) -> Names:
    """What the code on a page leaves, run from its first block to its last."""
    names: Names = {"__name__": "__main__"}
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, str(page), "exec"), names)
    return names


def numbers(figure: Any) -> dict[str, list[float]]:
    """What a figure shows, as numbers: up to nine values of every line, cloud and image."""
    found = {}
    for place, axes in enumerate(figure.axes):
        shown = [np.asarray(line.get_ydata(), float) for line in axes.lines]
        shown += [np.asarray(cloud.get_offsets(), float)[:, 1] for cloud in axes.collections]
        shown += [np.asarray(image.get_array(), float) for image in axes.images]
        for number, values in enumerate(shown):
            flat = values.ravel()
            chosen = flat[np.linspace(0, len(flat) - 1, min(len(flat), 9)).astype(int)]
            found[f"{place}.{number}"] = [float(f"{value:.4g}") for value in chosen]
    return found


def save(figure: Any, path: Path) -> None:
    """Write a figure as an SVG that is the same whenever the figure is."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "glubina", "svg.fonttype": "none"}):
        about = {"Date": None, "Description": json.dumps(numbers(figure))}
        figure.savefig(path, format="svg", metadata=about)


def saved_numbers(path: Path) -> dict[str, list[float]]:
    """The numbers that `save` has put into a picture."""
    text = path.read_text(encoding="utf-8")
    (about,) = re.findall(r"<dc:description>(.*?)</dc:description>", text, re.DOTALL)
    found: dict[str, list[float]] = json.loads(about.replace("&quot;", '"'))
    return found


def drawn(page: Path, names: Names) -> Iterator[tuple[Path, Any]]:
    """The paths and figures of a page's pictures."""
    import lecture_pictures  # noqa: F401 - puts its drawings into DRAWN

    for picture in pictures_of(page):
        yield page.parent / f"{picture}.svg", DRAWN[picture](names)


def own_pictures(page: Path) -> list[str]:
    """The pictures that a page shows and its own code draws, by their files' names."""
    return re.findall(r"\]\(pictures/([\w-]+\.png)\)", page.read_text(encoding="utf-8"))


def keep_own(page: Path) -> None:
    """Run a page that draws its own pictures, and keep those that it shows."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            names_of(page)
        finally:
            os.chdir(home)
        for name in own_pictures(page):
            shutil.copy(Path(folder) / name, page.parent / "pictures" / name)
            print(page.parent / "pictures" / name)


def main(wanted: list[str]) -> None:
    """Draw the pictures of the pages named, or of all."""
    for page in sorted(PAGES.glob("*.md")):
        if pictures_of(page) and (not wanted or page.stem in wanted):
            for path, figure in drawn(page, names_of(page)):
                save(figure, path)
                print(path)
    if not wanted or DRAWS_ITSELF.stem in wanted:
        keep_own(DRAWS_ITSELF)


if __name__ == "__main__":
    sys.modules["pictures"] = sys.modules["__main__"]  # the drawings register here, not in a copy
    main(sys.argv[1:])
