"""A transformer that learns to write Python's documentation, character by character."""

from pydoc_data.topics import topics

import keras
import numpy as np
import tensorflow as tf
from keras import layers

LENGTH = 48


class Positions(layers.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal")

    def call(self, x):
        return x + self.table


def make():
    text = " ".join(topics[name] for name in sorted(topics))[:400_000]
    letters = sorted(set(text))
    codes = np.array([letters.index(letter) for letter in text], dtype="int32")
    rows = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].reshape(-1, LENGTH + 1)

    def split(row):
        return row[:-1], row[1:]

    data = tf.data.Dataset.from_tensor_slices(rows).shuffle(len(rows), seed=0).map(split)

    inputs = keras.Input((LENGTH,), dtype="int32")
    x = Positions()(layers.Embedding(len(letters), 64)(inputs))
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 16)(y, y, use_causal_mask=True)
        y = layers.Dense(128, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(64)(y)
    model = keras.Model(inputs, layers.Dense(len(letters))(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(3e-4), loss)
    return model, data.batch(16, drop_remainder=True)
