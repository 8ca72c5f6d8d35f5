"""The order of the examples: shuffling and splitting, reproducible from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glubina.data.errors import DataError

Order = NDArray[np.int64]


def generator(seed: int, stream: int = 0) -> np.random.Generator:
    """A generator that depends on the seed and the stream alone (counter-based: Philox)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, stream))))


def epoch_order(count: int, seed: int, epoch: int) -> Order:
    """The shuffled order of `count` examples in an epoch: the same for the same arguments.

    The epoch's number takes the place of a state, so training can go on from any epoch.
    """
    return generator(seed, epoch).permutation(count)


def split_order(
    count: int, test_size: float, seed: int, stratify: NDArray[np.generic] | None = None
) -> tuple[Order, Order]:
    """The rows of the training part and of the test part, both shuffled.

    `test_size` is a share between 0 and 1. With `stratify`, an array of labels, every class gives
    the same share (as near as whole examples allow). Raises DataError if a part would be empty.
    """
    if not 0 < test_size < 1:
        raise DataError(f"test_size must lie between 0 and 1 (a share), got {test_size}")
    held = round(count * test_size)
    if not 0 < held < count:
        raise DataError(
            f"{count} examples with test_size {test_size} leave {count - held} for training and "
            f"{held} for testing; both parts need at least one"
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


def fresh_seed() -> int:
    """A seed drawn from the random state that `gl.manual_seed` sets."""
    # Imported here: `glubina.tensor` is not needed to split or shuffle by a given seed.
    from glubina.tensor.random import default_generator

    seed, counter = default_generator.get_state()
    default_generator.set_state((seed, counter + 1))
    return int(np.random.SeedSequence((seed, counter)).generate_state(1, np.uint64)[0])
