"""A small vision transformer that reads handwritten digits."""

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits


class Positions(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal")

    def call(self, x):
        return x + self.table


def block(x, width=64, heads=4):
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(heads, width // heads, dropout=0.1)(y, y)
    y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(width)(y)


def make():
    digits = load_digits()
    x = digits.images[..., None] / 16.0
    y = keras.utils.to_categorical(digits.target, 10)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]

    inputs = keras.Input((8, 8, 1))
    patches = layers.Reshape((16, 64))(layers.Conv2D(64, 2, strides=2)(inputs))
    tokens = Positions()(patches)
    for _ in range(2):
        tokens = block(tokens)
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model, (x[:1440], y[:1440]), (x[1440:], y[1440:])
