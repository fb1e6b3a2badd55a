"""Real digits as encoded files on disk, and an input pipeline that reads and decodes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.workloads import digits

EDGE = digits.EDGE
"""Pixels along an edge of the images that the model is given."""

FARTHEST_SHIFT = 2
"""Pixels by which augmentation moves a digit, at most."""


def written(case: Params) -> list[str]:
    """Return the paths of a case's encoded images, one a digit; they are written once.

    Args:
        case: ``files``: how many; ``encoding``: ``png`` or ``jpeg``; ``edge``: pixels along an edge
            of a stored image. The larger, the more work it is to decode.

    Raises:
        NotMeasuredHere: when there is no folder to keep them in.
    """
    edge, encoding = int(case["edge"]), str(case["encoding"])
    folder = digits.cache_folder() / f"digits-{encoding}-{edge}"
    paths = [folder / f"{number:05d}.{encoding}" for number in range(int(case["files"]))]
    _write({n: path for n, path in enumerate(paths) if not path.is_file()}, edge, encoding)
    return [str(path) for path in paths]


def labels(case: Params) -> np.ndarray:
    """Return the class of each of a case's images, ``(files,)`` int32."""
    return digits.split(*digits.mnist()).train_labels[: int(case["files"])]


def _write(missing: dict[int, Path], edge: int, encoding: str) -> None:
    """Enlarge, encode and write training digits, by their numbers."""
    import tensorflow as tf

    encode = {"png": tf.io.encode_png, "jpeg": tf.io.encode_jpeg}[encoding]
    images = digits.split(*digits.mnist()).train_images[..., None]
    for number, path in missing.items():
        enlarged = tf.image.resize(images[number], (edge, edge))
        content = encode(tf.cast(tf.round((enlarged + 1.0) * 127.5), tf.uint8)).numpy()
        draft = path.with_suffix(f".{os.getpid()}")  # other processes may write the same
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            draft.replace(path)
        except OSError as error:
            raise NotMeasuredHere(
                "encoded images can be kept on this machine",
                f"{path}: {error.strerror}",
                "set XDG_CACHE_HOME to a folder that can be written to",
            ) from error


def read(edge: int, encoding: str, path: Any, label: Any) -> tuple[Any, Any]:
    """Read and decode one file to an image ``(28, 28, 1)`` float32 in [-1, 1]."""
    import tensorflow as tf

    decode = {"png": tf.io.decode_png, "jpeg": tf.io.decode_jpeg}[encoding]
    image = tf.reshape(decode(tf.io.read_file(path), channels=1), (edge, edge, 1))
    if edge != EDGE:
        image = tf.image.resize(image, (EDGE, EDGE), method="area")
    return tf.cast(image, tf.float32) / 127.5 - 1.0, label


def augment(image: Any, label: Any) -> tuple[Any, Any]:
    """Move an image at random by up to 2 pixels and change its contrast by up to a fifth."""
    import tensorflow as tf

    wide = EDGE + 2 * FARTHEST_SHIFT
    padded = tf.image.resize_with_crop_or_pad(image + 1.0, wide, wide) - 1.0  # pads with black
    moved = tf.image.random_crop(padded, (EDGE, EDGE, 1))
    return tf.image.random_contrast(moved, 0.8, 1.2), label


def elements(case: Params, payload: np.ndarray | None = None) -> Any:
    """Return a `tf.data.Dataset` that reads and decodes each file once, in order.

    Everything happens when an element is asked for and nothing ahead of it, so that what loading
    takes is in the step that asked.

    Args:
        case: see `written`.
        payload: what goes with the images in place of their labels, ``(files,)``.
    """
    import tensorflow as tf

    beside = labels(case) if payload is None else payload
    edge, encoding = int(case["edge"]), str(case["encoding"])
    paths = tf.data.Dataset.from_tensor_slices((written(case), beside))
    images = paths.map(lambda path, label: read(edge, encoding, path, label))
    return images.with_options(nothing_ahead())


def nothing_ahead() -> Any:
    """Return the options of a pipeline that makes an element when it is asked for, never before.

    By itself tf.data runs the maps and batches of a pipeline in parallel, which fills buffers, and
    puts another buffer at the end.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return options
