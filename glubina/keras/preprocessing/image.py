"""`ImageDataGenerator`: mini-batches of images, moved and scaled at random by NumPy.

`fit(augment=...)` of `glubina.train` does the same inside the compiled step, which is much faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.keras.generators import Sequence

Array = NDArray[Any]
_FILLS = ("nearest", "constant")


class ImageDataGenerator:
    """Makes mini-batches of changed images (N, H, W, C); see `flow`.

    rotation_range: degrees. width_shift_range, height_shift_range: shares of the extent, pixels
    from 1 on. shear_range: degrees. zoom_range: a share, or (low, high). fill_mode: 'nearest', or
    'constant' with cval. featurewise_...: with the mean and spread that `fit` found;
    samplewise_...: with each image's own. rescale: a factor at the end. preprocessing_function:
    of each image, before that.
    """

    def __init__(
        self, featurewise_center: bool = False, samplewise_center: bool = False,
        featurewise_std_normalization: bool = False, samplewise_std_normalization: bool = False,
        zca_whitening: bool = False, zca_epsilon: float = 1e-6, rotation_range: float = 0,
        width_shift_range: float = 0.0, height_shift_range: float = 0.0,
        brightness_range: Any = None, shear_range: float = 0.0, zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0, fill_mode: str = "nearest", cval: float = 0.0,
        horizontal_flip: bool = False, vertical_flip: bool = False, rescale: float | None = None,
        preprocessing_function: Callable[[Array], Array] | None = None,
        data_format: str | None = None, validation_split: float = 0.0, dtype: Any = None,
    ) -> None:  # fmt: skip
        unknown = {"zca_whitening": zca_whitening, "brightness_range": brightness_range,
                   "channel_shift_range": channel_shift_range}  # fmt: skip
        for name, value in unknown.items():
            if value:
                raise NotImplementedError(f"ImageDataGenerator: {name} is not there")
        if fill_mode not in _FILLS:
            raise ValueError(f"fill_mode is one of {', '.join(_FILLS)} here, got {fill_mode!r}")
        if data_format not in (None, "channels_last"):
            raise ValueError(f"images are 'channels_last' here, got {data_format!r}")
        self.featurewise = (featurewise_center, featurewise_std_normalization)
        self.samplewise = (samplewise_center, samplewise_std_normalization)
        self.rotation_range, self.shear_range = rotation_range, shear_range
        self.shifts = (height_shift_range, width_shift_range)
        several = isinstance(zoom_range, (tuple, list))
        self.zoom = tuple(zoom_range) if several else (1 - zoom_range, 1 + zoom_range)
        self.fill_mode, self.cval = fill_mode, cval
        self.flips = (vertical_flip, horizontal_flip)
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.validation_split = validation_split
        self.mean: Any = None
        self.std: Any = None

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find the mean and the spread of each channel, for the featurewise settings."""
        images = np.asarray(x, np.float32)
        self.mean = images.mean(axis=(0, 1, 2))
        self.std = (images - self.mean).std(axis=(0, 1, 2))

    def flow(
        self, x: Any, y: Any = None, batch_size: int = 32, shuffle: bool = True,
        sample_weight: Any = None, seed: int | None = None, subset: str | None = None, **_: Any,
    ) -> Flow:  # fmt: skip
        """Mini-batches without end, to be given to `fit`; of them `len(x) / batch_size` an epoch.

        subset: 'validation' is the first share `validation_split`, 'training' the rest.
        """
        images, labels = np.asarray(x), None if y is None else np.asarray(y)
        if images.ndim != 4:
            raise ValueError(f"flow takes images (N, H, W, C), got the shape {images.shape}")
        if subset is not None:
            cut = int(len(images) * self.validation_split)
            part = slice(0, cut) if subset == "validation" else slice(cut, None)
            images, labels = images[part], None if labels is None else labels[part]
        return Flow(self, images, labels, batch_size, shuffle, seed)

    def flow_from_directory(self, *args: Any, **options: Any) -> Any:
        """NotImplementedError: `glubina.data` opens folders of images by class."""
        raise NotImplementedError(
            "flow_from_directory is not there: load the folder with glubina.data and use flow(x, y)"
        )

    def standardize(self, image: Array) -> Array:
        """The scaling of one image."""
        image = np.asarray(image, np.float32)
        if self.preprocessing_function is not None:
            image = self.preprocessing_function(image)
        if self.rescale:
            image = image * np.float32(self.rescale)
        if self.samplewise[0]:
            image = image - image.mean()
        if self.samplewise[1]:
            image = image / (image.std() + 1e-6)
        if any(self.featurewise) and self.mean is None:
            raise RuntimeError("call fit(x) of the ImageDataGenerator first: it finds the mean")
        if self.featurewise[0]:
            image = image - self.mean
        if self.featurewise[1]:
            image = image / (self.std + 1e-6)
        return image.astype(np.float32)

    def random_transform(self, image: Array, seed: int | None = None) -> Array:
        """One image moved, turned, sheared, zoomed and mirrored at random."""
        draw = np.random if seed is None else np.random.RandomState(seed)
        extents = np.array(image.shape[:2])
        shift = np.array([
            draw.uniform(-s, s) * (n if s < 1 else 1) for s, n in zip(self.shifts, extents)
        ])  # fmt: skip
        angle = np.deg2rad(draw.uniform(-self.rotation_range, self.rotation_range))
        shear = np.deg2rad(draw.uniform(-self.shear_range, self.shear_range))
        zoom = draw.uniform(self.zoom[0], self.zoom[1], 2)
        turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        sheared = np.array([[1, -np.sin(shear)], [0, np.cos(shear)]])
        matrix = turned @ sheared @ np.diag(zoom)
        middle = (extents - 1) / 2
        if not np.allclose(matrix, np.eye(2)) or shift.any():
            image = self._moved(image, matrix, middle + turned @ shift - matrix @ middle)
        for axis, wanted in enumerate(self.flips):
            if wanted and draw.uniform() < 0.5:
                image = np.flip(image, axis)
        return image

    def _moved(self, image: Array, matrix: Array, offset: Array) -> Array:
        """The image at the places matrix · (row, column) + offset, linear between pixels."""
        rows, columns = image.shape[:2]
        grid = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1)
        places = grid @ matrix.T + offset
        low = np.floor(places).astype(int)
        share = (places - low).astype(np.float32)
        result = np.zeros(image.shape, np.float32)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row, column = low[..., 0] + dy, low[..., 1] + dx
            weight = np.abs(1 - dy - share[..., 0]) * np.abs(1 - dx - share[..., 1])
            value = image[row.clip(0, rows - 1), column.clip(0, columns - 1)].astype(np.float32)
            if self.fill_mode == "constant":
                inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
                value = np.where(inside[..., None], value, np.float32(self.cval))
            result += weight[..., None] * value
        return result


class Flow(Sequence):
    """What `ImageDataGenerator.flow` gives: by number, or one after another without end."""

    def __init__(
        self, generator: ImageDataGenerator, x: Array, y: Array | None, batch_size: int,
        shuffle: bool, seed: int | None,
    ) -> None:  # fmt: skip
        self.generator, self.x, self.y, self.batch_size = generator, x, y, batch_size
        self.n, self.shuffle = len(x), shuffle
        self._random = np.random.RandomState(seed) if seed is not None else np.random
        self._order = np.arange(self.n)
        self._next = 0
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        change, scale = self.generator.random_transform, self.generator.standardize
        images = np.stack([scale(change(self.x[row])) for row in rows])
        return images if self.y is None else (images, self.y[rows])

    def on_epoch_end(self) -> None:
        """A new order."""
        if self.shuffle:
            self._order = self._random.permutation(self.n)

    def __iter__(self) -> Flow:
        return self

    def __next__(self) -> Any:
        batch = self[self._next]
        self._next = (self._next + 1) % len(self)
        if not self._next:
            self.on_epoch_end()
        return batch

    next = __next__
