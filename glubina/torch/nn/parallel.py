"""`nn.DataParallel`: accepted, as all threads share each mini-batch anyway."""

from __future__ import annotations

from typing import Any

from glubina.torch.nn.module import Module


class DataParallel(Module):
    """The module itself under the name `module`; every call already uses all threads."""

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None,
                 dim: int = 0) -> None:  # fmt: skip
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's result."""
        return self.module(*inputs, **kwargs)
