"""Small colour pictures of ten classes (CIFAR-10)."""

from __future__ import annotations

from typing import Any

from glubina import data


def load_data() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """((x_train, y_train), (x_test, y_test)), uint8: images (n, 32, 32, 3), labels (n, 1).

    See `glubina.data.cifar10`: the folder that GLUBINA_DATA names, the cache, a download.
    """
    found: Any = getattr(data, "cifar10", None)
    if found is None:
        raise data.DataNotFoundError(
            "glubina.data has no CIFAR-10 here: load its arrays with glubina.data.load_npz"
        )
    (x, y), (x_test, y_test) = found()
    return (x, y.astype("uint8")[:, None]), (x_test, y_test.astype("uint8")[:, None])
