"""The official Keras MNIST example (mnist_cnn.py), with its imports changed and less data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glubina as gl
from glubina import data

# As published with Keras 2, but for the first lines: `glubina.` before `keras`.
EXAMPLE = """
from __future__ import print_function
from glubina import keras
from glubina.keras.datasets import mnist
from glubina.keras.models import Sequential
from glubina.keras.layers import Dense, Dropout, Flatten
from glubina.keras.layers import Conv2D, MaxPooling2D
from glubina.keras import backend as K

batch_size = 128
num_classes = 10
epochs = 12

# input image dimensions
img_rows, img_cols = 28, 28

# the data, split between train and test sets
(x_train, y_train), (x_test, y_test) = mnist.load_data()

if K.image_data_format() == 'channels_first':
    x_train = x_train.reshape(x_train.shape[0], 1, img_rows, img_cols)
    x_test = x_test.reshape(x_test.shape[0], 1, img_rows, img_cols)
    input_shape = (1, img_rows, img_cols)
else:
    x_train = x_train.reshape(x_train.shape[0], img_rows, img_cols, 1)
    x_test = x_test.reshape(x_test.shape[0], img_rows, img_cols, 1)
    input_shape = (img_rows, img_cols, 1)

x_train = x_train.astype('float32')
x_test = x_test.astype('float32')
x_train /= 255
x_test /= 255
print('x_train shape:', x_train.shape)
print(x_train.shape[0], 'train samples')
print(x_test.shape[0], 'test samples')

# convert class vectors to binary class matrices
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)

model = Sequential()
model.add(Conv2D(32, kernel_size=(3, 3),
                 activation='relu',
                 input_shape=input_shape))
model.add(Conv2D(64, (3, 3), activation='relu'))
model.add(MaxPooling2D(pool_size=(2, 2)))
model.add(Dropout(0.25))
model.add(Flatten())
model.add(Dense(128, activation='relu'))
model.add(Dropout(0.5))
model.add(Dense(num_classes, activation='softmax'))

model.compile(loss=keras.losses.categorical_crossentropy,
              optimizer=keras.optimizers.Adadelta(),
              metrics=['accuracy'])

model.fit(x_train, y_train,
          batch_size=batch_size,
          epochs=epochs,
          verbose=1,
          validation_data=(x_test, y_test))
score = model.evaluate(x_test, y_test, verbose=0)
print('Test loss:', score[0])
print('Test accuracy:', score[1])
"""


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ten kinds of pictures, told apart by where a bright square stands, with noise."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 10, count)
    x = random.integers(0, 60, (count, 28, 28))
    for picture, label in zip(x, y):
        row, column = 2 + 12 * (label // 5), 1 + 5 * (label % 5)
        picture[row : row + 9, column : column + 5] += 150
    return x.astype(np.uint8), y


def test_the_example_runs_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    gl.manual_seed(0)
    monkeypatch.setattr(data, "mnist", lambda: (pictures(600, 0), pictures(100, 1)))
    space: dict[str, Any] = {}
    exec(EXAMPLE.replace("epochs = 12", "epochs = 5"), space)
    assert space["model"].count_params() == 1_199_882
    assert space["score"][1] > 0.8
