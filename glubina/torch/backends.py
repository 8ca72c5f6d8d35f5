"""`torch.backends`, `torch.mps`, `torch.accelerator`: switches of devices that are not there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def _false(*args: Any) -> bool:
    return False


def _nothing(*args: Any) -> None:
    return None


cudnn = SimpleNamespace(
    deterministic=True, benchmark=False, enabled=False, is_available=_false, version=_nothing
)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=_false)
mps = SimpleNamespace(is_available=_false, is_built=_false)
mkldnn = SimpleNamespace(is_available=_false, enabled=False)
mkl = openmp = mkldnn
accelerator = SimpleNamespace(
    is_available=_false, current_accelerator=_nothing, device_count=lambda: 0,
    manual_seed=_nothing, synchronize=_nothing,
)  # fmt: skip
mps_room = SimpleNamespace(
    is_available=_false, manual_seed=_nothing, empty_cache=_nothing, synchronize=_nothing,
    device_count=lambda: 0,
)  # fmt: skip
