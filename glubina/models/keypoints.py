"""A network that finds points in images: NaimishNet."""

from __future__ import annotations

from glubina.models.registry import add
from glubina.nn import ELU, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Sequential
from glubina.nn.architecture import register
from glubina.nn.checks import positive
from glubina.tensor import Tensor


@register
class KeypointRegressor(Module):
    """Four convolutions and three linear layers: images to points (N, num_keypoints, 2).

    (N, image_size, image_size, in_channels), 96 in the paper, with one network for each point:
    7,488,962 parameters; here one network may find several. The points are (x, y) in whatever
    unit the targets have, best from −1 to 1; train with "mse". width: channels of the first
    convolution; dropout: whether to use the paper's, which rises from 0.1 to 0.6.

    Source: Agarwal, Krohn-Grimberghe and Vyas, 2017, arXiv:1710.00977.
    """

    def __init__(
        self,
        num_keypoints: int = 1,
        in_channels: int = 1,
        image_size: int = 96,
        width: int = 32,
        hidden: int = 1000,
        dropout: bool = True,
    ) -> None:
        self.num_keypoints = positive("num_keypoints", num_keypoints)
        rates = iter((0.1, 0.2, 0.3, 0.4, 0.5, 0.6))

        def act() -> list[Module]:
            rate = next(rates)
            return [ELU(), Dropout(rate)] if dropout else [ELU()]

        features: list[Module] = []
        size, channels = positive("image_size", image_size), in_channels
        for level, window in enumerate((4, 3, 2, 1)):
            elu, *drop = act()
            features += [Conv2d(channels, width * 2**level, window), elu, MaxPool2d(2), *drop]
            size, channels = (size - window + 1) // 2, width * 2**level
        if size < 1:
            raise ValueError(f"image_size must be at least 27, got {image_size}")
        self.features = Sequential(*features)
        self.regressor = Sequential(
            *(Flatten(), Linear(size * size * channels, hidden), *act()),
            *(Linear(hidden, hidden), *act(), Linear(hidden, 2 * num_keypoints)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From (N, H, W, in_channels) to (N, num_keypoints, 2)."""
        points: Tensor = self.regressor(self.features(x))
        return points.reshape((x.shape[0], self.num_keypoints, 2))


add("keypoints", KeypointRegressor, "Agarwal et al., 2017, arXiv:1710.00977", (96, 96, 1))
