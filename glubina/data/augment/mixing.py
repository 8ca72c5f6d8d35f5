"""Examples mixed with each other, and their targets in the same proportion: mixup and cutmix."""

from __future__ import annotations

import numpy as np

from glubina.data.augment.base import Augmentation, soft
from glubina.data.augment.chance import Beta, chosen, each, probability, uniform
from glubina.data.augment.erasing import box
from glubina.data.errors import DataError
from glubina.tensor import Tensor, clip, floor, roll, sqrt, where


class _Mixing(Augmentation):
    """What they share: the proportion λ from Beta(α, α), and the partner.

    An example's partner is the one before it in the mini-batch: in training the mini-batches are
    shuffled, so that is any other example.
    """

    def __init__(self, alpha: float = 1.0, p: float = 1.0) -> None:
        self.alpha, self.p = float(alpha), probability("p", p)
        self._beta = Beta(alpha)

    def change(
        self, x: Tensor, y: Tensor | None, classes: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """The mixed images, and the targets mixed likewise (class numbers become soft targets)."""
        if y is None:
            raise DataError(f"{type(self).__name__} mixes targets as well: call it with (x, y)")
        target = soft(y, x, classes)
        share = self._beta(x)
        if self.p < 1:
            share = where(chosen(x, self.p), share, 1.0)
        mixed, share = self.mixed(x, roll(x, 1, 0), share)
        by = each(share, target.ndim).astype(target.dtype)
        return mixed, target * by + roll(target, 1, 0) * (1 - by)

    def mixed(self, x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The images mixed with their partners, and the exact share (N,) of the first."""
        raise NotImplementedError


class MixUp(_Mixing):
    """Each image becomes λ x + (1 − λ) x', its target λ y + (1 − λ) y'; λ from Beta(α, α).

    x' is another example of the mini-batch, λ drawn for each example; with probability 1 − p it
    stays as it is. Class numbers become soft targets, which `CrossEntropyLoss` takes.
    Source: Zhang et al., 2017, arXiv:1710.09412.
    """

    def mixed(self, x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """λ x + (1 − λ) x'."""
        by = each(share, 4)
        return x * by + other * (1 - by), share


class CutMix(_Mixing):
    """A rectangle of each image is another's, and the target mixed by the areas.

    Its area is the share 1 − λ of the image, λ from Beta(α, α), its centre any pixel; what stands
    out over the edge is cut off, and the targets' shares are those of the areas that remain. With
    probability 1 − p an example stays as it is. Source: Yun et al., 2019, arXiv:1905.04899.
    """

    def mixed(self, x: Tensor, other: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """The images with the rectangle, and the share of the area that is still their own."""
        _, h, w, _ = x.shape
        side = sqrt(1 - share)
        spans = []
        for extent in (h, w):
            length = floor(side * extent)
            centre = floor(uniform(x) * extent)
            start = clip(centre - floor(length / 2), 0, extent)
            end = clip(centre - floor(length / 2) + length, 0, extent)
            spans.append((start, end - start))
        (top, height), (left, width) = spans
        inside = box(
            x,
            *(v.astype(np.int32) for v in (top, left)),
            *(v.astype(np.int32) for v in (height, width)),
        )
        return where(inside, other, x), 1 - height * width / (h * w)
