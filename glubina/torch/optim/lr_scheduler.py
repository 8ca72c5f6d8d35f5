"""`torch.optim.lr_scheduler`: the schedules of `glubina.optim.lr_scheduler`."""

from __future__ import annotations

from glubina.optim import lr_scheduler as plain
from glubina.optim.lr_scheduler import *  # noqa: F403 - the same names

__all__ = [*plain.__all__]
