"""Pictures that a notebook shows by itself."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from glubina.files import MissingExtraError


class Shown:
    """What draws itself with `plot(path)`: so it does in a notebook, where matplotlib is there."""

    plot: Any

    def _repr_png_(self) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "picture.png"
            try:
                self.plot(os.fspath(path))
            except MissingExtraError:
                return None  # the text is shown instead
            return path.read_bytes()
