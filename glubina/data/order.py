"""The order of the examples: shuffling and splitting, reproducible from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError

Order = NDArray[np.int64]
Part = tuple[NDArray[np.generic], NDArray[np.generic]]


def generator(seed: int, stream: int = 0) -> np.random.Generator:
    """A generator that depends on the seed and the stream alone (counter-based: Philox)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream))))


def epoch_order(count: int, seed: int, epoch: int) -> Order:
    """The shuffled order of `count` examples in an epoch: the same for the same arguments.

    The epoch's number takes the place of a state, so training can go on from any epoch.
    """
    return generator(seed, epoch).permutation(count)


def split_order(
    count: int,
    test_size: float,
    seed: int,
    stratify: NDArray[np.generic] | None = None,
    name: str = "test_size",
) -> tuple[Order, Order]:
    """The rows of the training part and of the test part, both shuffled.

    `test_size` is a share between 0 and 1. With `stratify`, an array of labels, every class gives
    the same share (as near as whole examples allow). name: what errors call the share. Raises
    DataError if a part would be empty.
    """
    if not 0 < test_size < 1:
        raise DataError(f"{name} must lie between 0 and 1 (a share), got {test_size}")
    held = round(count * test_size)
    if not 0 < held < count:
        raise DataError(
            f"{count} examples with {name} {test_size} leave {count - held} for training and "
            f"{held} for {'testing' if name == 'test_size' else 'validation'}; both parts need at "
            "least one"
        )
    chance = generator(seed)
    shuffled = chance.permutation(count)
    if stratify is None:
        return shuffled[held:], shuffled[:held]
    if len(stratify) != count:
        raise DataError(f"stratify has {len(stratify)} labels for {count} examples")
    labels = np.asarray(stratify)[shuffled]
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise DataError(
            f"the class {classes[sizes.argmin()]} has one example; a stratified split needs two "
            "of each class, one for each part"
        )
    chosen = np.zeros(count, bool)
    for label, quota in zip(classes, _quotas(sizes, held)):
        chosen[np.flatnonzero(labels == label)[:quota]] = True
    return shuffled[~chosen], shuffled[chosen]


def _quotas(sizes: NDArray[np.int64], held: int) -> Order:
    """How many each class gives, `held` in all, by the largest remainders."""
    exact = sizes * (held / sizes.sum())
    quotas: Order = np.floor(exact).astype(np.int64)
    missing = held - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    return quotas


def train_test_split(
    x: NDArray[np.generic],
    y: NDArray[np.generic],
    test_size: float = 0.2,
    *,
    stratify: bool = False,
    seed: int = 0,
) -> tuple[NDArray[np.generic], NDArray[np.generic], NDArray[np.generic], NDArray[np.generic]]:
    """Split into `x_train, x_test, y_train, y_test`, shuffled by the seed.

    With `stratify=True` the classes in `y` keep their shares in both parts.
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise DataError(f"x has {len(x)} examples and y has {len(y)}")
    train, test = split_order(len(x), test_size, seed, y if stratify else None)
    return x[train], x[test], y[train], y[test]


def train_validation_test_split(
    x: NDArray[np.generic],
    y: NDArray[np.generic],
    validation_size: float = 0.1,
    test_size: float = 0.2,
    *,
    stratify: bool = False,
    seed: int = 0,
) -> tuple[Part, Part, Part]:
    """Split into `(x_train, y_train), (x_validation, y_validation), (x_test, y_test)`.

    The sizes are shares of all examples. With `stratify=True` the classes in `y` keep their shares
    in all three parts.
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise DataError(f"x has {len(x)} examples and y has {len(y)}")
    if not (validation_size > 0 and test_size > 0 and validation_size + test_size < 1):
        raise DataError(
            "validation_size and test_size must be shares above 0 with a sum below 1, got "
            f"{validation_size} and {test_size}"
        )
    rest, test = split_order(len(x), test_size, seed, y if stratify else None)
    share = validation_size / (1 - test_size)
    inner = split_order(len(rest), share, seed, y[rest] if stratify else None)
    train, validation = (rest[part] for part in inner)
    return (x[train], y[train]), (x[validation], y[validation]), (x[test], y[test])


def k_fold(
    count: int, folds: int = 5, seed: int = 0, stratify: NDArray[np.generic] | None = None
) -> list[tuple[Order, Order]]:
    """Of each fold the rows to train on and the rows held back; every row is held back once.

    The folds' sizes differ by one at most. With `stratify`, an array of labels, each class is
    spread evenly over the folds.
    """
    if not 2 <= folds <= count:
        raise DataError(f"folds must lie between 2 and the {count} examples, got {folds}")
    order = generator(seed).permutation(count)
    if stratify is not None:
        if len(stratify) != count:
            raise DataError(f"stratify has {len(stratify)} labels for {count} examples")
        # In order of their classes, dealt out like cards: each fold gets its share of each.
        order = order[np.argsort(np.asarray(stratify)[order], kind="stable")]
    held = [order[fold::folds] for fold in range(folds)]
    return [
        (np.concatenate([part for other, part in enumerate(held) if other != fold]), part)
        for fold, part in enumerate(held)
    ]


def class_weights(y: NDArray[np.generic], classes: int | None = None) -> NDArray[np.float32]:
    """Weights that make all classes count alike: n / (classes · count of the class), float32.

    For the loss: `nn.CrossEntropyLoss(weight=gl.tensor(class_weights(y_train)))`. y: class numbers
    (n,). classes: how many there are, if not all occur; the weight of one that does not is 0.
    """
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iu" or not len(y):
        raise DataError(f"class_weights takes class numbers (n,), got {y.dtype} of {y.shape}")
    least, largest = int(y.min()), int(y.max())
    total = largest + 1 if classes is None else classes
    if least < 0 or largest >= total:
        raise DataError(f"labels go from 0 to {total - 1}, got {least} to {largest}")
    counts = np.bincount(y.astype(np.int64), minlength=total)
    weights = np.where(counts > 0, len(y) / (total * np.maximum(counts, 1)), 0.0)
    return weights.astype(np.float32)


def fresh_seed() -> int:
    """A seed drawn from the random state that `gl.manual_seed` sets."""
    # Imported here: `glubina.tensor` is not needed to split or shuffle by a given seed.
    from glubina.tensor.random import default_generator

    seed, counter = default_generator.reserve(1)
    return int(np.random.SeedSequence((seed, counter)).generate_state(1, np.uint64)[0])
