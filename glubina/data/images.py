"""The image sets: digits (in the package), Fashion-MNIST and MNIST (found or downloaded)."""

from __future__ import annotations

import gzip
import hashlib
import io
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glubina.data.download import Published, locate
from glubina.data.errors import DataError
from glubina.data.idx import read_idx
from glubina.files import DamagedFileError

Labelled = tuple[NDArray[np.uint8], NDArray[np.int64]]

DIGITS_SHA256 = "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"
DIGIT_CLASSES = tuple("0123456789")
FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"

FASHION_MNIST = Published(
    name="fashion-mnist",
    addresses=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    hashes={
        TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
MNIST = Published(
    name="mnist",
    addresses=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
    hashes={
        TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)


def digits() -> Labelled:
    """Handwritten digits: images uint8 (1797, 8, 8) with values 0 to 16, and labels int64 (1797,).

    They ship in the package. Source: E. Alpaydin and C. Kaynak, "Optical Recognition of
    Handwritten Digits", UCI Machine Learning Repository, 1998 (CC BY 4.0).
    """
    resource = resources.files(__package__) / "sets" / "digits.csv.gz"
    content = resource.read_bytes()
    if hashlib.sha256(content).hexdigest() != DIGITS_SHA256:
        raise DamagedFileError(str(resource), "is damaged: reinstall glubina")
    text = gzip.decompress(content)
    table = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.int64)
    return table[:, :-1].astype(np.uint8).reshape(-1, 8, 8), np.ascontiguousarray(table[:, -1])


def fashion_mnist() -> tuple[Labelled, Labelled]:
    """Clothing pictures: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (60000, 28, 28) and (10000, 28, 28), labels int64; the names of the classes
    are in `FASHION_MNIST_CLASSES`. Looked for in `$GLUBINA_DATA/fashion-mnist/`, then in the
    user's cache, then downloaded; DataNotFoundError lists the places. Source: H. Xiao, K. Rasul,
    R. Vollgraf, "Fashion-MNIST", arXiv:1708.07747 (MIT licence).
    """
    return _load(FASHION_MNIST)


def mnist() -> tuple[Labelled, Labelled]:
    """Handwritten digits: `(x_train, y_train), (x_test, y_test)`.

    Images are uint8 (60000, 28, 28) and (10000, 28, 28), labels int64. Looked for in
    `$GLUBINA_DATA/mnist/`, then in the user's cache, then downloaded; DataNotFoundError lists
    the places. Source: Y. LeCun and C. Cortes, http://yann.lecun.com/exdb/mnist/ (CC BY-SA 3.0).
    """
    return _load(MNIST)


def _load(published: Published) -> tuple[Labelled, Labelled]:
    """Both parts of a set in MNIST's four files."""
    return (
        _part(published, TRAIN_IMAGES, TRAIN_LABELS),
        _part(published, TEST_IMAGES, TEST_LABELS),
    )


def _part(published: Published, images_file: str, labels_file: str) -> Labelled:
    images = _read_bytes(published, images_file, rank=3)
    labels = _read_bytes(published, labels_file, rank=1)
    if len(images) != len(labels):
        raise DataError(
            f"{published.name}: {images_file} holds {len(images)} images and {labels_file} "
            f"{len(labels)} labels; the two files do not belong together"
        )
    return images, labels.astype(np.int64)


def _read_bytes(published: Published, file: str, rank: int) -> NDArray[Any]:
    path = locate(published, file)
    array = read_idx(path)
    if array.ndim != rank or array.dtype != np.uint8:
        raise DamagedFileError(
            path, f"holds {array.dtype} of {array.ndim} axes; bytes of {rank} axes were expected"
        )
    return array
