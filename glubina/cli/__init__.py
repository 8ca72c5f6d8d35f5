"""The command line: train, evaluate, predict, recipes."""

from __future__ import annotations

from glubina.cli.app import main

__all__ = ["main"]
