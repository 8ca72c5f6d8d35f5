"""What cannot be explained, and why."""

from __future__ import annotations


class ExplainError(ValueError):
    """Something that is asked for is no part of the computation, or cannot be shown."""
