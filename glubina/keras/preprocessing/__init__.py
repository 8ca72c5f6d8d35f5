"""Preprocessing in Keras's form: sequences of equal length."""

from glubina.keras.preprocessing import sequence

__all__ = ["sequence"]
