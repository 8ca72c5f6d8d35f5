"""`torch.cuda`: says that there is none."""

from __future__ import annotations

from typing import Any

from glubina.torch.device import on_cpu


def is_available() -> bool:
    """False: tensors are on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Nothing to seed."""


def manual_seed_all(seed: int) -> None:
    """Nothing to seed."""


def empty_cache() -> None:
    """Nothing to empty."""


def synchronize(device: Any = None) -> None:
    """Nothing to wait for."""


def current_device() -> int:
    """RuntimeError: there is none."""
    on_cpu("cuda")
    return 0


def get_device_name(device: Any = None) -> str:
    """RuntimeError: there is none."""
    on_cpu("cuda")
    return ""
