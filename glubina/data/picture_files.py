"""One image file to pixels: known formats only, and no size taken at its word."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.files import DamagedFileError, FileError, MissingExtraError, read_bytes
from glubina.files.reading import require_room

# Without this list pillow tries them all; one (EPS) is a program, which it would let run.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
LARGE = 32 * 10**6  # pixels from which a file must be of a size that can hold them
PER_BYTE = 2000  # pixels; a blank PNG of bytes has 1030, a blank JPEG 250
GREY = frozenset(("1", "L", "LA", "I", "I;16", "F"))


def read_picture(
    path: str | os.PathLike[str], size: tuple[int, int] | None = None, channels: int | None = None
) -> NDArray[np.uint8]:
    """One image, uint8 (rows, columns, channels).

    size: (rows, columns) that it is resized to. channels: 1 for grey, 3 for colour; without it as
    the image is. Formats: PNG, JPEG, BMP, GIF, WebP, TIFF, PPM (PGM, PBM), told by the content.

    Raises FileError if it cannot be read or does not fit into the memory, DamagedFileError if it
    is damaged, no image, or claims pixels that its bytes cannot hold, and MissingExtraError
    without pillow.
    """
    Image = _pillow()
    file = Path(path)
    # from memory: read from a file, a part of the length that it claims is allocated first
    with io.BytesIO(read_bytes(file)) as stream:
        stored = stream.getbuffer().nbytes
        try:
            with _unwarned(Image), Image.open(stream, formats=FORMATS) as image:
                _require_size(file, image.size, stored)
                if channels is None:
                    channels = 1 if image.mode in GREY else 3
                image = image.convert("L" if channels == 1 else "RGB")
                if size is not None and image.size != (size[1], size[0]):
                    image = image.resize((size[1], size[0]))
                pixels: NDArray[np.uint8] = np.asarray(image, np.uint8)
        except FileError:
            raise
        except Image.UnidentifiedImageError as error:
            raise DamagedFileError(file, "is a damaged image, or none that is known") from error
        except Image.DecompressionBombError as error:
            raise DamagedFileError(file, f"is too large for an image ({error})") from error
        except Exception as error:  # pillow's formats each have their own errors
            raise DamagedFileError(file, f"is a damaged image, or none ({error!s:.200})") from error
    return pixels.reshape(*pixels.shape[:2], channels)


@contextmanager
def _unwarned(Image: Any) -> Iterator[None]:
    """In the block pillow's warning of large images is silent: `_require_size` judges them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _require_size(file: Path, size: tuple[int, int], stored: int) -> None:
    pixels = size[0] * size[1]
    if pixels >= LARGE and pixels > PER_BYTE * stored:
        raise DamagedFileError(
            file,
            f"is damaged: it claims {size[0]} x {size[1]} pixels, too large for {stored} bytes",
        )
    require_room(file, 8 * pixels)  # as it is, and as it is wanted


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "images need pillow, which is not installed: pip install 'glubina[images]'"
        ) from error
    return Image
