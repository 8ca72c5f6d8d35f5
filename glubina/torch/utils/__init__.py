"""`torch.utils`: data sets and loaders, recomputation."""

from __future__ import annotations

from glubina.torch.utils import checkpoint as checkpoint
from glubina.torch.utils import data as data

__all__ = ["checkpoint", "data"]
