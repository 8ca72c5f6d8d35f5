"""Data: sets that are at hand, the user's own files, mini-batches, preprocessing, checks."""

from __future__ import annotations

from .dataset import Dataset, TensorDataset
from .errors import DataError, DataNotFoundError, DataTypeError
from .idx import read_idx
from .images import DIGIT_CLASSES, FASHION_MNIST_CLASSES, digits, fashion_mnist, mnist
from .loader import DataLoader
from .order import epoch_order, split_order, train_test_split
from .preprocessing import Preprocessing, Rescale, Reshape, Standardize
from .tables import Table, load_csv, load_npy, load_npz

__all__ = [
    "digits",
    "fashion_mnist",
    "mnist",
    "DIGIT_CLASSES",
    "FASHION_MNIST_CLASSES",
    "Dataset",
    "TensorDataset",
    "DataLoader",
    "load_csv",
    "load_npz",
    "load_npy",
    "read_idx",
    "Table",
    "train_test_split",
    "split_order",
    "epoch_order",
    "Preprocessing",
    "Standardize",
    "Rescale",
    "Reshape",
    "DataError",
    "DataTypeError",
    "DataNotFoundError",
]
