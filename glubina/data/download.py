"""Finding the files of a published data set: named folder, then the cache, then a download."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glubina.data.errors import DataNotFoundError

VARIABLE = "GLUBINA_DATA"
PATIENCE = 20  # seconds that a server may stay silent


@dataclass(frozen=True)
class Published:
    """A data set as its authors publish it.

    name: the set's name with dashes, which is also its folder's name.
    addresses: where the files lie; tried in this order.
    hashes: of each file its SHA-256.
    """

    name: str
    addresses: tuple[str, ...]
    hashes: dict[str, str]


def cache_folder() -> Path:
    """The user's cache folder for data sets, as the operating system has it."""
    import pooch  # imported where used: it takes a noticeable part of a start

    return Path(pooch.os_cache("glubina")) / "data"


def locate(published: Published, file: str) -> Path:
    """The path of one file of a set, downloaded if it is in neither of its places.

    A file may lie there as published or without its .gz. Raises DataNotFoundError, which lists
    every place and why it did not serve.
    """
    tried: list[str] = []
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser() / published.name
        found = _look(folder, file, tried, f"the folder that {VARIABLE} names")
    else:
        found = None
        tried.append(f"{VARIABLE}: not set")
    cache = cache_folder() / published.name
    found = found or _look(cache, file, tried, "the user's cache")
    return found or _download(published, file, cache, tried)


def _look(folder: Path, file: str, tried: list[str], place: str) -> Path | None:
    """The file in the folder, or a note that it is not there."""
    for name in (file, file.removesuffix(".gz")):
        if (folder / name).is_file():
            return folder / name
    tried.append(f"{folder / file}: not there ({place})")
    return None


def _download(published: Published, file: str, cache: Path, tried: list[str]) -> Path:
    """Fetch the file into the cache from the first address that gives it unharmed."""
    import logging

    import pooch

    from glubina.files import FileError, require_writable

    try:
        require_writable(cache)
    except FileError as error:
        tried.append(str(error))
        raise _not_found(published, file, cache, tried) from error
    pooch.get_logger().setLevel(logging.WARNING)
    for address in published.addresses:
        url = address + file
        try:
            with _Progress(f"{published.name}/{file}") as progress:
                got = pooch.retrieve(
                    url,
                    known_hash=f"sha256:{published.hashes[file]}",
                    fname=file,
                    path=cache,
                    downloader=pooch.HTTPDownloader(progressbar=progress, timeout=PATIENCE),
                )
            return Path(got)
        # requests has its own family of errors under OSError; a wrong checksum is a ValueError.
        except (OSError, ValueError) as error:
            tried.append(f"{url}: {_cause(error)}")
    raise _not_found(published, file, cache, tried)


def _not_found(published: Published, file: str, cache: Path, tried: list[str]) -> DataNotFoundError:
    places = "\n".join(f"  - {line}" for line in tried)
    return DataNotFoundError(
        f"the data set {published.name!r} was not found: {file} is in none of these places:\n"
        f"{places}\n"
        f"Put the set's files into a folder {published.name}/ and name the folder above it: "
        f"{VARIABLE}=/path/to/data. Or connect to the network: they are then kept in {cache}."
    )


def _cause(error: Exception) -> str:
    """What went wrong with a download, in one line of bearable length."""
    # By name: the errors are those of requests, which is pooch's choice and not ours.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds:
        return f"no answer within {PATIENCE} seconds"
    if "ConnectionError" in kinds:
        return "the server cannot be reached"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


class _Progress:
    """A progress bar in the form that pooch drives: `total`, `update`, `reset`, `close`."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=None)
        self._total = 0

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    @property
    def total(self) -> int:
        """The bytes to come."""
        return self._total

    @total.setter
    def total(self, value: float) -> None:
        self._total = int(value)
        self._bar.update(self._task, total=self._total or None)

    def update(self, amount: int) -> None:
        """More bytes have come."""
        self._bar.advance(self._task, amount)

    def reset(self) -> None:
        """Back to nothing: pooch does this once before it sets the bar to its end."""
        self._bar.update(self._task, completed=0)

    def close(self) -> None:
        """The end; the bar itself is closed by the `with` block."""
