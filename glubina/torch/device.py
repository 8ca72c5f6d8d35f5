"""Devices: there is the CPU, and whoever asks for another one is told so."""

from __future__ import annotations

from typing import Any

from glubina.tensor.threads import get_num_threads


class device(str):
    """The name of a device, as in `torch.device("cpu")`; it may be named before it is used."""

    __slots__ = ()

    def __new__(cls, name: str = "cpu", index: int | None = None) -> device:
        """Accepts the names that PyTorch knows; only "cpu" can hold tensors."""
        kind = str(name).partition(":")[0]
        if kind not in ("cpu", "cuda", "mps", "xpu", "meta"):
            raise RuntimeError(f"torch.device: {name!r} is no kind of device; there is 'cpu'")
        return str.__new__(cls, name if index is None else f"{kind}:{index}")

    @property
    def type(self) -> str:
        """The kind: "cpu", "cuda", ..."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number after the colon, if there is one."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"


CPU = device("cpu")


def on_cpu(wanted: Any) -> None:
    """RuntimeError unless the device is the CPU (or None)."""
    if wanted is None or str(wanted).partition(":")[0] == "cpu":
        return
    if isinstance(wanted, int):
        wanted = f"cuda:{wanted}"
    raise RuntimeError(
        f"there is no device {str(wanted)!r} here: glubina.torch runs on the CPU "
        f"({get_num_threads()} threads). Leave .cuda() out, or choose the device by "
        "'cuda' if torch.cuda.is_available() else 'cpu'"
    )


def is_device(value: object) -> bool:
    """Whether an argument of `.to(...)` names a device."""
    if isinstance(value, device):
        return True
    return isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda", "mps", "xpu")
