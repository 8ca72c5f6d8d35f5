"""Data: sets that are at hand, the user's own files, mini-batches, preprocessing, checks."""

from __future__ import annotations

from glubina.data import augment
from glubina.data.dataset import Dataset, TensorDataset
from glubina.data.errors import DataError, DataNotFoundError, DataTypeError
from glubina.data.idx import read_idx
from glubina.data.images import DIGIT_CLASSES, FASHION_MNIST_CLASSES, digits, fashion_mnist, mnist
from glubina.data.loader import DataLoader
from glubina.data.order import epoch_order, split_order, train_test_split
from glubina.data.preprocessing import Preprocessing, Rescale, Reshape, Standardize
from glubina.data.tables import Table, load_csv, load_npy, load_npz

__all__ = [
    "augment",
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
