"""Handwritten digits (MNIST)."""

from __future__ import annotations

from typing import Any

from glubina import data


def load_data(path: str | None = None) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """((x_train, y_train), (x_test, y_test)), both uint8: images (n, 28, 28), labels (n,).

    See `glubina.data.mnist`: the folder that GLUBINA_DATA names, the cache, a download.
    """
    (x, y), (x_test, y_test) = data.mnist()
    return (x, y.astype("uint8")), (x_test, y_test.astype("uint8"))
