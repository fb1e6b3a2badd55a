"""Sets of real images by name: digits that need no network, and those of `keras.datasets`."""

from __future__ import annotations

import importlib
import os
from functools import cache
from pathlib import Path

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.workloads import digits
from keras_ab.bench.workloads.digits import Split

DOWNLOADED = {
    "cifar10": "cifar-10-batches-py-target",
    "cifar100": "cifar-100-python-target",
    "fashion_mnist": "fashion-mnist",
    "mnist": "mnist.npz",
}
"""What `keras.datasets` leaves under its `datasets` folder, by the name of the set."""


def of(case: Params) -> Split:
    """Return the set that a case names as ``data``; the digits where it names none.

    Images are ``(n, height, width, channels)`` float32 in [-1, 1], labels ``(n,)`` int32.

    Raises:
        DeclarationError: when there is no set of that name.
        NotMeasuredHere: when the set has not been downloaded to this machine.
    """
    return _named(str(case.get("data", "digits")))


@cache
def _named(name: str) -> Split:
    if name == "digits":
        part = digits.split(*digits.mnist())
        return part._replace(
            train_images=part.train_images[..., None], test_images=part.test_images[..., None]
        )
    return _downloaded(name)


def _downloaded(name: str) -> Split:
    """Return a set of `keras.datasets` that already lies on this machine."""
    if name not in DOWNLOADED:
        raise DeclarationError(
            "a case's data is a set of images that keras-ab knows",
            repr(name),
            f"use one of digits, {', '.join(DOWNLOADED)}",
        )
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    kept = home / "datasets" / DOWNLOADED[name]
    if not kept.exists():
        raise NotMeasuredHere(
            f"the images of {name} lie on this machine: nothing is downloaded during a run",
            f"no {kept}",
            f"run `python -c 'import keras; keras.datasets.{name}.load_data()'` where there is a "
            "network, copy the folder here if that is another machine, or take data=digits",
        )
    (images, labels), (test_images, test_labels) = importlib.import_module(
        f"keras.datasets.{name}"
    ).load_data()
    return Split(_pixels(images), _indices(labels), _pixels(test_images), _indices(test_labels))


def _pixels(images: np.ndarray) -> np.ndarray:
    scaled = (images / 127.5 - 1.0).astype(np.float32)
    return scaled if scaled.ndim == 4 else scaled[..., None]


def _indices(labels: np.ndarray) -> np.ndarray:
    return labels.reshape(-1).astype(np.int32)


def train_data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels to learn from."""
    part = of(case)
    return part.train_images, part.train_labels


def test_data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels to test on."""
    part = of(case)
    return part.test_images, part.test_labels


def classes(case: Params) -> int:
    """Return the number of classes."""
    return int(of(case).train_labels.max()) + 1


def image_shape(case: Params) -> tuple[int, ...]:
    """Return ``(height, width, channels)``."""
    return of(case).train_images.shape[1:]
