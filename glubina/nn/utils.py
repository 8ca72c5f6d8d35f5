"""Helpers that users look for under this name."""

from __future__ import annotations

from glubina.optim.clip import clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm_", "clip_grad_value_"]
