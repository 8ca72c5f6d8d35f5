"""Data: sets that are at hand, the user's own files, mini-batches, preprocessing, checks."""

from __future__ import annotations

from typing import Any

from glubina.data import augment
from glubina.data.cifar import CIFAR10_CLASSES, cifar10, read_cifar
from glubina.data.dataset import Dataset, TensorDataset
from glubina.data.errors import DataError, DataNotFoundError, DataTypeError
from glubina.data.folders import ImageFolder, image_folder
from glubina.data.idx import read_idx
from glubina.data.images import DIGIT_CLASSES, FASHION_MNIST_CLASSES, digits, fashion_mnist, mnist
from glubina.data.loader import DataLoader
from glubina.data.numpy_files import load_npy, load_npz
from glubina.data.opening import Opened, open_data
from glubina.data.order import (
    class_weights,
    epoch_order,
    k_fold,
    split_order,
    train_test_split,
    train_validation_test_split,
)
from glubina.data.preprocessing import OneHot, Preprocessing, Rescale, Reshape
from glubina.data.report import report
from glubina.data.scaling import MinMax, Standardize
from glubina.data.tables import Table, load_csv
from glubina.graph.names import missing

__all__ = [
    "augment",
    "digits",
    "fashion_mnist",
    "mnist",
    "cifar10",
    "DIGIT_CLASSES",
    "FASHION_MNIST_CLASSES",
    "CIFAR10_CLASSES",
    "Dataset",
    "TensorDataset",
    "DataLoader",
    "load_csv",
    "load_npz",
    "load_npy",
    "read_idx",
    "read_cifar",
    "image_folder",
    "ImageFolder",
    "open_data",
    "Opened",
    "report",
    "Table",
    "train_test_split",
    "train_validation_test_split",
    "k_fold",
    "class_weights",
    "split_order",
    "epoch_order",
    "Preprocessing",
    "Standardize",
    "MinMax",
    "OneHot",
    "Rescale",
    "Reshape",
    "DataError",
    "DataTypeError",
    "DataNotFoundError",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
