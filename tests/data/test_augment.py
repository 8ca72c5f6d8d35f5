"""Augmentation: values against NumPy, the statistics of the draws, and its place in training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import nn, optim
from glubina.data import DataError, augment
from glubina.data.augment import affine, erasing, mixing, place
from glubina.data.augment.chance import Beta, quantiles
from glubina.runtime.team import get_num_threads, set_num_threads

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((6, 7, 9, 3)).astype(np.float32)
MANY = np.zeros((4000, 3, 3, 1), np.float32)

KINDS: list[augment.Augmentation] = [
    augment.RandomFlip(0.5, 0.5),
    augment.RandomHorizontalFlip(),
    augment.RandomVerticalFlip(),
    augment.RandomShift((1, 2), fill=0.5),
    augment.RandomCrop((5, 6), padding=1, mode="reflect"),
    augment.RandomAffine(30, (0.1, 0.2), (0.8, 1.2), (-5, 5, -3, 3), fill=0.25),
    augment.RandomRotation(90),
    augment.RandomScale((0.5, 2)),
    augment.RandomShear(20),
    augment.ColorJitter(0.3, 0.4, limits=(0, 1)),
    augment.RandomBrightness(0.5),
    augment.RandomContrast(0.5),
    augment.GaussianNoise(0.2),
    augment.Cutout(3, value=2),
    augment.RandomErasing(0.7, value="random"),
    augment.Compose([augment.RandomFlip(), augment.RandomApply(augment.GaussianNoise(1.0))]),
    augment.RandomChoice([augment.RandomFlip(), augment.RandomShift(2)]),
]


def ids(kinds: list[augment.Augmentation]) -> list[str]:
    return [type(kind).__name__ for kind in kinds]


def tensors(*values: Any) -> list[gl.Tensor]:
    return [gl.tensor(np.array(value)) for value in values]


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "padding"), [("constant", None), ("edge", 6), ("reflect", 6)])
def test_window(mode: str, padding: int | None) -> None:
    """Windows of a padded image, by NumPy's padding."""
    top, left = np.array([-3, 0, 2, 5, -5, 1], np.int32), np.array([1, -4, 6, 0, 3, -2], np.int32)
    options: Any = {"constant_values": 0.5} if mode == "constant" else {}
    padded = np.pad(IMAGES, ((0, 0), (6, 6), (6, 6), (0, 0)), mode, **options)
    wanted = np.stack(
        [image[6 + i : 11 + i, 6 + j : 10 + j] for image, i, j in zip(padded, top, left)]
    )
    found = place.window(gl.tensor(IMAGES), *tensors(top, left), (5, 4), 0.5, mode)
    np.testing.assert_array_equal(found.numpy(), wanted)


def numpy_affine(
    image: np.ndarray, angle: float, scale: float, shear: Any, shift: Any, fill: float
) -> np.ndarray:
    """A pixel at a time: the map as a matrix, its inverse by NumPy, bilinear weights."""
    h, w, channels = image.shape
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    skew = np.array([[1, math.tan(shear[0])], [math.tan(shear[1]), 1]])
    inverse = np.linalg.inv(turn @ skew * scale)
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    made = np.empty_like(image, np.float64)
    for row in range(h):
        for column in range(w):
            u, v = inverse @ (np.array([column, row]) - centre - shift) + centre
            value = np.zeros(channels)
            for i in (math.floor(v), math.floor(v) + 1):
                for j in (math.floor(u), math.floor(u) + 1):
                    inside = 0 <= i < h and 0 <= j < w
                    pixel = image[i, j] if inside else np.full(channels, fill)
                    value += (1 - abs(v - i)) * (1 - abs(u - j)) * pixel
            made[row, column] = value
    return made


@pytest.mark.parametrize("fill", [0.0, 0.25])
def test_affine(fill: float) -> None:
    n = len(IMAGES)
    angle, scale = RANDOM.uniform(-3, 3, n), RANDOM.uniform(0.5, 2, n)
    shear, shift = RANDOM.uniform(-0.4, 0.4, (2, n)), RANDOM.uniform(-3, 3, (2, n))
    x = IMAGES.astype(np.float64)
    wanted = np.stack(
        [numpy_affine(x[k], angle[k], scale[k], shear[:, k], shift[:, k], fill) for k in range(n)]
    )
    found = affine.affine(
        gl.tensor(x), *tensors(angle, scale), tuple(tensors(*shear)), tuple(tensors(*shift)), fill
    )
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_a_right_angle_turns_counter_clockwise() -> None:
    made = augment.RandomRotation((90, 90))(IMAGES[:, :, :7])
    np.testing.assert_allclose(made.numpy(), np.rot90(IMAGES[:, :, :7], axes=(1, 2)), atol=1e-5)


def test_boxes() -> None:
    top, left, height, width = (
        np.array(v, np.int32) for v in ([-1, 3, 6], [2, -2, 8], [3, 2, 5], [0, 4, 1])
    )
    wanted = np.zeros((3, 7, 9, 3), bool)
    for k in range(3):
        wanted[k, max(top[k], 0) : top[k] + height[k], max(left[k], 0) : left[k] + width[k]] = True
    found = erasing.box(gl.tensor(IMAGES[:3]), *tensors(top, left, height, width))
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_flips_are_one_of_four() -> None:
    made = augment.RandomFlip(0.5, 0.5)(np.repeat(IMAGES, 20, axis=0)).numpy()
    seen = set()
    for image, source in zip(made, np.repeat(IMAGES, 20, axis=0)):
        turned = [source, source[:, ::-1], source[::-1], source[::-1, ::-1]]
        (which,) = (k for k, other in enumerate(turned) if np.array_equal(image, other))
        seen.add(which)
    assert seen == {0, 1, 2, 3}


def test_brightness_and_contrast() -> None:
    bright = augment.RandomBrightness((0.5, 0.5))(IMAGES).numpy()
    np.testing.assert_allclose(bright, IMAGES * 0.5, rtol=1e-6)
    means = IMAGES.mean(axis=(1, 2, 3), keepdims=True)
    strong = augment.RandomContrast((2, 2), limits=(0, 1))(IMAGES).numpy()
    np.testing.assert_allclose(strong, np.clip(means + 2 * (IMAGES - means), 0, 1), atol=1e-5)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0, 10.0])
def test_quantiles_of_beta(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2α + 1)), fourth moment; and draws that have them."""
    table = quantiles(alpha)
    assert np.all(np.diff(table) >= 0)
    assert (table[0], table[-1]) == (0, 1)
    middle = (table[1:] + table[:-1]) / 2
    variance = 1 / (4 * (2 * alpha + 1))
    assert middle.mean() == pytest.approx(0.5)
    assert middle.var() == pytest.approx(variance, rel=4e-3)
    kurtosis = ((middle - 0.5) ** 4).mean() / variance**2
    assert kurtosis == pytest.approx(3 - 6 / (2 * alpha + 3), rel=3e-2)
    gl.manual_seed(0)
    drawn = Beta(alpha)(gl.tensor(MANY)).numpy()
    assert drawn.var() == pytest.approx(variance, rel=0.1)


def test_mixup_mixes_images_and_targets_alike() -> None:
    y = np.arange(6)
    mixed, targets = augment.MixUp(0.8)(IMAGES, y, classes=6)
    share = targets.numpy()[y, y]
    np.testing.assert_allclose(targets.numpy().sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(targets.numpy()[y, y - 1], 1 - share, atol=1e-6)
    by = share[:, None, None, None]
    wanted = by * IMAGES + (1 - by) * np.roll(IMAGES, 1, axis=0)
    np.testing.assert_allclose(mixed.numpy(), wanted, atol=1e-6)
    real = RANDOM.random((6, 2)).astype(np.float32)  # targets of a regression
    mixed, targets = augment.MixUp()(IMAGES, real)
    assert targets.shape == (6, 2)
    assert np.all(targets.numpy() <= np.maximum(real, np.roll(real, 1, axis=0)) + 1e-6)


def test_cutmix_counts_the_area() -> None:
    y = np.arange(6)
    gl.manual_seed(1)
    mixed, targets = augment.CutMix()(IMAGES, y, classes=6)
    own = (mixed.numpy() == IMAGES).all(axis=-1)
    assert (mixed.numpy() == np.where(own[..., None], IMAGES, np.roll(IMAGES, 1, 0))).all()
    np.testing.assert_allclose(targets.numpy()[y, y], own.mean(axis=(1, 2)), atol=1e-6)
    assert 0 < own.mean() < 1


def test_mixing_with_a_probability() -> None:
    y = np.arange(4000) % 10
    for kind in (mixing.MixUp(p=0.25), mixing.CutMix(p=0.25)):
        _, targets = kind(MANY, y, classes=10)
        mixed = (targets.numpy().max(axis=1) < 1).mean()
        assert mixed <= 0.25 + 0.04
        assert mixed > 0.1


# -- draws ----------------------------------------------------------------------------------------


def test_the_share_that_is_flipped() -> None:
    images = np.zeros((4000, 1, 2, 1), np.float32)
    images[:, 0, 0] = 1
    made = augment.RandomFlip(0.3)(images).numpy()
    assert made[:, 0, 1, 0].mean() == pytest.approx(0.3, abs=0.03)


def test_shifts_are_even() -> None:
    images = np.zeros((4000, 5, 5, 1), np.float32)
    images[:, 2, 2] = 1
    made = augment.RandomShift(2)(images).numpy().sum(axis=0)[..., 0]
    np.testing.assert_allclose(made / 4000, 1 / 25, atol=0.015)


def test_noise_has_its_deviation() -> None:
    made = augment.GaussianNoise(0.5)(MANY).numpy()
    assert made.std() == pytest.approx(0.5, rel=0.02)
    assert made.mean() == pytest.approx(0, abs=0.01)


def test_erasing_has_its_area_and_share() -> None:
    images = np.zeros((1000, 20, 20, 1), np.float32)
    made = augment.RandomErasing(0.6, (0.1, 0.3), (0.5, 2), value=1)(images).numpy()
    areas = made.mean(axis=(1, 2, 3))
    assert (areas > 0).mean() == pytest.approx(0.6, abs=0.05)
    assert areas[areas > 0].mean() == pytest.approx(0.2, abs=0.01)
    assert areas[areas > 0].min() > 0.08
    assert areas.max() < 0.34
    cut = augment.Cutout(4, value=1)(images).numpy().sum(axis=(1, 2, 3))
    assert cut.max() == 16
    assert cut.min() >= 4


@pytest.mark.parametrize("kind", KINDS, ids=ids(KINDS))
def test_the_same_seed_gives_the_same_bits_with_any_number_of_threads(
    kind: augment.Augmentation,
) -> None:
    before = get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            gl.manual_seed(5)
            made.append(kind(IMAGES).numpy())
            different = kind(IMAGES).numpy()
            compiled = gl.compile(kind)
            gl.manual_seed(5)
            made.append(compiled(gl.tensor(IMAGES)).numpy())
    finally:
        set_num_threads(before)
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)
    assert not np.array_equal(made[0], different), "the next mini-batch is drawn anew"
    assert made[0].dtype == np.float32


def test_in_use_nothing_changes() -> None:
    kind = augment.RandomShift(2).eval()
    np.testing.assert_array_equal(kind(IMAGES).numpy(), IMAGES)
    _, y = kind(IMAGES, np.arange(6))
    np.testing.assert_array_equal(y.numpy(), np.arange(6))
    assert not np.array_equal(kind.train()(IMAGES).numpy(), IMAGES)


def test_grey_images_and_bytes() -> None:
    made = augment.RandomShift(1)((IMAGES[..., 0] * 255).astype(np.uint8))
    assert made.shape == (6, 7, 9)
    assert made.dtype == np.float32
    assert augment.RandomCrop(4)(IMAGES[..., 0].astype(np.float64)).dtype == np.float64


# -- training -------------------------------------------------------------------------------------


def network(size: int = 8) -> nn.Module:
    gl.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(size * size, 3))
    net.compile(lambda p: optim.SGD(p, lr=0.1), nn.CrossEntropyLoss(), ["accuracy"])
    return net


X = RANDOM.random((40, 8, 8)).astype(np.float32)
Y = RANDOM.integers(0, 3, 40)


def weights(net: nn.Module) -> np.ndarray:
    return np.array(net.state_dict()["1.weight"].numpy())


@pytest.mark.parametrize(
    "changes",
    [
        [augment.RandomFlip(), augment.RandomShift(1), augment.RandomErasing()],
        [augment.RandomChoice([augment.MixUp(0.4), augment.CutMix()])],
    ],
    ids=["images", "mixing"],
)
def test_fit_augments_as_a_plain_loop_does(changes: list[augment.Augmentation]) -> None:
    net = network()
    gl.manual_seed(7)
    history = net.fit(X, Y, 10, 3, shuffle=False, seed=1, verbose=0, augment=changes)
    plain, whole = network(), augment.Compose(changes)
    rule = optim.SGD(plain.parameters(), lr=0.1)
    gl.manual_seed(7)
    losses = []
    for start in [0, 10, 20, 30] * 3:
        x, y = whole(X[start : start + 10], Y[start : start + 10], classes=3)
        rule.zero_grad()
        loss = nn.CrossEntropyLoss()(plain(x), y)
        loss.backward()
        rule.step()
        losses.append(loss.item())
    np.testing.assert_allclose(weights(net), weights(plain), atol=1e-5)
    assert history["loss"][-1] == pytest.approx(np.mean(losses[-4:]), rel=1e-4)
    assert history.names[:2] == ("loss", "accuracy")


def test_validation_is_not_augmented() -> None:
    erased = augment.Cutout(50)  # everything
    net = network()
    history = net.fit(X, Y, 10, 1, validation_data=(X, Y), verbose=0, augment=erased)
    assert history["val_loss"][0] == pytest.approx(net.evaluate(X, Y)["loss"], rel=1e-6)
    np.testing.assert_array_equal(weights(net), weights(network()))  # from nothing, no gradient


def test_a_crop_changes_what_the_model_is_given() -> None:
    net = network(6)
    net.fit(X, Y, 10, 1, verbose=0, augment=augment.RandomCrop(6))
    assert net.predict(X[:, :6, :6]).shape == (40, 3)


class Own:
    """A data set whose examples come one by one."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> Any:
        return X[index], Y[index]


def test_examples_that_come_one_by_one_are_augmented_alike() -> None:
    changes = [augment.RandomShift(1), augment.MixUp()]
    made = []
    for source in ((X, Y), (Own(), None)):
        net = network()
        gl.manual_seed(3)
        net.fit(*source, batch_size=16, epochs=2, shuffle=False, seed=0, verbose=0, augment=changes)
        made.append(weights(net))
    np.testing.assert_allclose(made[0], made[1], atol=1e-6)
    assert not np.array_equal(made[0], weights(network()))


def test_a_function_augments_too() -> None:
    net = network()
    net.fit(X, Y, 10, 1, verbose=0, augment=lambda x: x * 0)
    np.testing.assert_array_equal(weights(net), weights(network()))


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: augment.RandomFlip(1.5), "horizontal must be a probability"),
        (lambda: augment.RandomShift(-1), "size must be a whole number of pixels"),
        (lambda: augment.RandomShift(1, mode="wrap"), "mode is one of 'constant', 'edge'"),
        (lambda: augment.RandomCrop(0), "size must be a whole number of pixels, at least 1"),
        (lambda: augment.RandomAffine(-3), "degrees must not be negative"),
        (lambda: augment.RandomAffine(scale=(2, 1)), "scale must be .from, to. in order"),
        (lambda: augment.RandomScale((0, 1)), "scale must be greater than 0"),
        (lambda: augment.RandomShear(90), "shear must lie between -90 and 90"),
        (lambda: augment.RandomAffine(translate=(0.1, 2)), "two shares of height and width"),
        (lambda: augment.ColorJitter(-0.1), "brightness must not be negative"),
        (lambda: augment.GaussianNoise(-1), "std must not be negative"),
        (lambda: augment.RandomErasing(scale=(0.1, 2)), "scale must lie from 0 to 1"),
        (lambda: augment.RandomErasing(value="noise"), "a number or 'random'"),
        (lambda: augment.MixUp(0), "alpha must be greater than 0"),
        (lambda: augment.Compose([]), "at least one"),
        (lambda: augment.RandomApply("flip"), "takes a list of augmentations"),
        (lambda: augment.RandomCrop(20)(IMAGES), "are too small for a crop"),
        (lambda: augment.RandomShift(9)(IMAGES), "cannot be moved"),
        (lambda: augment.MixUp()(IMAGES), "call it with .x, y."),
        (lambda: augment.MixUp()(IMAGES, np.arange(6)), "give the number of classes"),
        (lambda: augment.RandomFlip()(np.zeros((3, 4))), r"images of shape \(N, H, W, C\)"),
        (lambda: augment.RandomFlip()(np.zeros((3, 4, 4), int)), "float or uint8"),
        (lambda: network().fit(X, Y, augment=3, verbose=0), "augment is an augmentation"),
    ],
)
def test_refusals(make: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        make()
