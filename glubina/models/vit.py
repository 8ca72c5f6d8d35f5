"""The vision transformer: an image as a sequence of patches."""

from __future__ import annotations

import math

from glubina.graph import ShapeError
from glubina.models.registry import add
from glubina.nn import (
    Conv2d,
    Dropout,
    LayerNorm,
    Linear,
    Module,
    Parameter,
    Sequential,
    TransformerEncoderLayer,
    init,
)
from glubina.nn.architecture import register
from glubina.nn.checks import positive
from glubina.tensor import Tensor, broadcast_to, concat


@register
class VisionTransformer(Module):
    """Patches as words: (N, image_size, image_size, in_channels) to (N, num_classes).

    Each patch_size × patch_size pixels become one vector of `width`; a learned vector, the class
    token, is put before them, learned positions are added, `layers` transformer layers follow
    (normalisation before each part, feed-forward part mlp_width wide with GELU, 4 · width unless
    given), and a linear layer reads the class token. The defaults are ViT-B/16, 86,567,656
    parameters.

    Source: Dosovitskiy et al., 2020, arXiv:2010.11929.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        mlp_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        if positive("image_size", image_size) % positive("patch_size", patch_size):
            raise ValueError(
                f"patches must fill the image: image_size {image_size} is no multiple of "
                f"patch_size {patch_size}"
            )
        self.image_size, self.in_channels = image_size, in_channels
        patches = (image_size // patch_size) ** 2
        self.patches = Conv2d(in_channels, width, patch_size, patch_size)
        self.token = Parameter.of_shape((1, 1, width))
        self.positions = Parameter.of_shape((1, patches + 1, width))
        self.dropout = Dropout(dropout)
        inner = 4 * width if mlp_width is None else positive("mlp_width", mlp_width)
        self.layers = Sequential(
            *(
                TransformerEncoderLayer(
                    width, heads, inner, dropout, "gelu", 1e-6, batch_first=True, norm_first=True
                )
                for _ in range(positive("layers", layers))
            )
        )
        self.norm = LayerNorm(width, 1e-6)
        self.head = Linear(width, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: patches by their number of inputs, positions with deviation 0.02.

        The class token and the last layer begin at zero.
        """
        kh, kw, inputs, _ = self.patches.weight.shape
        init.trunc_normal_(self.patches.weight, std=math.sqrt(1 / (kh * kw * inputs)))
        init.zeros_(self.token)
        init.normal_(self.positions, 0, 0.02)
        for name, parameter in self.layers.named_parameters():
            if name.endswith(("linear1.weight", "linear2.weight")):
                init.xavier_uniform_(parameter)
            elif name.endswith(("linear1.bias", "linear2.bias")):
                init.normal_(parameter, 0, 1e-6)
        init.zeros_(self.head.weight)
        for bias in (self.patches.bias, self.head.bias):
            if bias is not None:
                init.zeros_(bias)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, image_size, image_size, in_channels) to (N, num_classes)."""
        expected = (self.image_size, self.image_size, self.in_channels)
        if x.shape[1:] != expected:
            raise ShapeError(
                f"expected images of shape (N, {', '.join(map(str, expected))}), got {x.shape}"
            )
        y = self.patches(x)
        examples, width = y.shape[0], y.shape[-1]
        token = broadcast_to(self.token, (examples, 1, width))
        y = concat([token, y.reshape((examples, -1, width))], axis=1)
        y = self.norm(self.layers(self.dropout(y + self.positions)))
        result: Tensor = self.head(y[:, 0])
        return result


_SOURCE = "Dosovitskiy et al., 2020, arXiv:2010.11929"
add("vit-b-16", VisionTransformer, _SOURCE, (224, 224, 3))
add(
    "vit-small", VisionTransformer, _SOURCE, (32, 32, 3), image_size=32, patch_size=4, width=192,
    layers=9, heads=3, num_classes=10,
)  # fmt: skip
