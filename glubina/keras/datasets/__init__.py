"""Data sets in Keras's form: `mnist.load_data()` gives ((x_train, y_train), (x_test, y_test))."""

from glubina.keras.datasets import cifar10, fashion_mnist, mnist

__all__ = ["cifar10", "fashion_mnist", "mnist"]
