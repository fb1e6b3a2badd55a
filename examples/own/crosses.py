"""Measurements of tumours, binned and crossed in pairs, in a large table of embeddings."""

import itertools

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_breast_cancer

BUCKETS = 200_000


def crossed(columns):
    edges = np.quantile(columns, np.linspace(0, 1, 17)[1:-1], axis=0)
    bins = (columns[:, None, :] > edges[None]).sum(axis=1)
    pairs = list(itertools.combinations(range(16), 2))
    codes = [((i * 31 + j) * 256 + bins[:, i] * 16 + bins[:, j]) * 2_654_435_761 for i, j in pairs]
    return (np.stack(codes, axis=1) % BUCKETS).astype("int64")


def make():
    found = load_breast_cancer()
    x, y = crossed(found.data), found.target.astype("float64")
    x, y = np.tile(x, (16, 1)), np.tile(y, 16)

    inputs = keras.Input((x.shape[1],), dtype="int64")
    embedded = layers.Flatten()(layers.Embedding(BUCKETS, 8)(inputs))
    hidden = layers.Dense(128, activation="relu")(embedded)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile("adam", "binary_crossentropy", metrics=["AUC"])
    return {"model": model, "data": (x, y), "batch_size": 256}
