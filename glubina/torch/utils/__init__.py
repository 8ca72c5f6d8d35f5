"""`torch.utils`: data sets and loaders."""

from __future__ import annotations

from glubina.torch.utils import data as data

__all__ = ["data"]
