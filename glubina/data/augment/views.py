"""Views of a mini-batch, the same for all its images: what predictions are averaged over."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from glubina.data.errors import DataError
from glubina.tensor import Tensor, flip

View = Callable[[Tensor], Tensor]


def same(x: Tensor) -> Tensor:
    """The images as they are."""
    return x


def mirrored(x: Tensor) -> Tensor:
    """The images (N, H, W, C) or (N, H, W), left and right exchanged."""
    if x.ndim not in (3, 4):
        raise DataError(f"images of shape (N, H, W, C) or (N, H, W) are mirrored, got {x.shape}")
    return flip(x, axis=2)


VIEWS: dict[str, View] = {"same": same, "mirrored": mirrored}


def views(given: str | View | Iterable[str | View] | None) -> tuple[View, ...]:
    """Views by their names ("same", "mirrored") or as functions; none for None.

    Raises DataError for an unknown name and for what is neither.
    """
    if given is None:
        return ()
    several = [given] if isinstance(given, str) or callable(given) else list(given)
    return tuple(_view(one) for one in several)


def _view(given: Any) -> View:
    if callable(given):
        view: View = given
        return view
    if not isinstance(given, str) or given not in VIEWS:
        near = difflib.get_close_matches(str(given), VIEWS, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"a view is one of {', '.join(map(repr, VIEWS))} or a function of the images, got "
            f"{given!r}.{meant}"
        )
    return VIEWS[given]
