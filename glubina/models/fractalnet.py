"""FractalNet: very deep without residual connections."""

from __future__ import annotations

from collections.abc import Sequence

from glubina.models.heads import draw_for_relu, pooled_classifier
from glubina.models.registry import add
from glubina.nn import Dropout, MaxPool2d, Module, ModuleList
from glubina.nn.architecture import register
from glubina.nn.blocks import FractalBlock
from glubina.nn.blocks.fractal import global_columns
from glubina.tensor import Tensor


@register
class FractalNet(Module):
    """Fractal blocks, each followed by dropout and max-pooling: images to (N, num_classes).

    columns: of each block; the longest path has len(channels) · 2^{columns−1} convolutions, 20
    with the defaults. channels: of each block. drop_path: see `FractalBlock`; the column of
    global drop-path is the same in all blocks. dropout: of the last block, rising evenly from
    0 at the first. For images of 32 × 32; each block halves the size.

    33.7 million parameters with the defaults; the paper's table says 38.6 for its 20 layers.
    Source: Larsson, Maire and Shakhnarovich, 2016, arXiv:1605.07648.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 3,
        columns: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        drop_path: float = 0.15,
        dropout: float = 0.4,
    ) -> None:
        self.columns, self.drop_path = columns, drop_path
        self.blocks, self.between = ModuleList(), ModuleList()
        for i, width in enumerate(channels):
            self.blocks.append(FractalBlock(in_channels, width, columns, drop_path))
            self.between.append(Dropout(dropout * i / max(1, len(channels) - 1)))
            in_channels = width
        self.pool = MaxPool2d(2)
        self.head = pooled_classifier(in_channels, num_classes)
        draw_for_relu(self)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels), sides of at least 2^blocks, to (N, num_classes)."""
        only = None
        if self.training and self.drop_path:
            only = global_columns(x.shape[0], self.columns, 0.5)
        for block, dropout in zip(self.blocks, self.between, strict=True):
            x = self.pool(dropout(block(x, only)))
        result: Tensor = self.head(x)
        return result


add("fractalnet20", FractalNet, "Larsson et al., 2016, arXiv:1605.07648", (32, 32, 3))
