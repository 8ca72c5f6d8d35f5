"""The blocks that the networks are stacked from: those of `glubina.nn.blocks`."""

from __future__ import annotations

from glubina.nn.blocks import *  # noqa: F403 - the same names, where one looks for them first
from glubina.nn.blocks import __all__ as __all__
