"""Preprocessing in Keras's form: sequences of equal length."""

from glubina.keras.preprocessing import image, sequence

__all__ = ["image", "sequence"]
