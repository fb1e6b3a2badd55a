"""A subject's data as batches without end, in the form and the pipeline of a change."""

from __future__ import annotations

import itertools
import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import psutil

from keras_ab.bench.lab import clock
from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.own import loading
from keras_ab.bench.own.change import Change
from keras_ab.bench.own.subject import Made, is_array

PREFETCHED = 2
"""Batches that ``pipeline="prefetch"`` makes ahead: enough that one is ready while one is made.
Few, so that the first of a sample, made before it, weigh little."""

CACHED_S = 20.0
"""How long the cache of a pipeline may take to fill, before each start."""
CACHED_SHARE = 0.1
"""Of the free memory that it may take in each of several processes."""


def on_host(array: Any) -> np.ndarray:
    """Return an array of whatever framework as one of NumPy's, free of device and graph."""
    import keras

    return array if isinstance(array, np.ndarray) else keras.ops.convert_to_numpy(array)


def of_arrays(data: Any) -> bool:
    """Tell whether data is a tuple of arrays, or of nested arrays, an example in each row.

    A list is of batches.
    """
    import keras

    if not isinstance(data, tuple) or not 1 <= len(data) <= 3:
        return False
    leaves = [leaf for leaf in keras.tree.flatten(data) if leaf is not None]
    return bool(leaves) and all(map(is_array, leaves))


def of_tensorflow(data: Any) -> bool:
    """Tell whether data is a `tf.data.Dataset`."""
    return any(kind.__name__ == "DatasetV2" for kind in type(data).__mro__)


def kind(data: Any) -> str:
    """Return what data is, for people."""
    if of_arrays(data):
        return "arrays"
    return "tf.data" if of_tensorflow(data) else type(data).__name__


def as_fit(data: Any) -> bool:
    """Tell whether data is taken as `fit` takes it; else batches are handed over one at a time."""
    return of_arrays(data) or of_tensorflow(data) or loading.has_adapter(data)


def arrays(made: Made, change: Change) -> tuple[Any, ...]:
    """Return arrays in the form of a change as `fit` slices them: floats are cast to floatx."""
    import keras

    floatx = keras.config.floatx()

    def cast(x: np.ndarray) -> np.ndarray:
        is_float = x.dtype.kind in "fV" and keras.backend.is_float_dtype(x.dtype.name)
        return x.astype(floatx, copy=False) if is_float else x

    return keras.tree.map_structure(cast, stored(made, change))


def stored(made: Made, change: Change) -> tuple[Any, ...]:
    """Return arrays as they are stored under a change; weights without labels have no effect."""
    import keras

    x, y, weights = keras.utils.unpack_x_y_sample_weight(made.data)
    given = [part for part in (x, y, weights)[: 1 if y is None else 3] if part is not None]
    inputs, *rest = (keras.tree.map_structure(on_host, part) for part in given)
    if change.inputs:
        inputs = keras.tree.map_structure(lambda x: x.astype(change.inputs), inputs)
    if change.labels == "sparse":
        rest[0] = rest[0].argmax(axis=-1).astype("int32")
    return (inputs, *rest)


def rows(data: Any) -> int:
    """Return how many examples arrays hold.

    Raises:
        DeclarationError: they do not all hold as many.
    """
    import keras

    counts = {len(leaf) for leaf in keras.tree.flatten(data) if leaf is not None}
    if len(counts) != 1:
        raise DeclarationError(
            "inputs, labels and weights have a row for each example",
            f"{' and '.join(map(str, sorted(counts)))} rows",
            "return arrays of equal length",
        )
    return counts.pop()


def size(made: Made, change: Change) -> int:
    """Return how many examples a batch of arrays has under a change."""
    return made.batch_size * change.larger // change.accumulate


def check_enough(batches: int, of: str) -> None:
    """Refuse data that is one batch or none: there is no loading to look at, and no next step."""
    if batches < 2:
        raise DeclarationError(
            "a subject's data is two batches or more",
            f"{batches} of {of}",
            "return more examples, or a smaller batch_size",
        )


def endless(made: Made, change: Change, seed: int | None = None) -> Iterator[Any]:
    """Return the batches of a subject, over and over.

    Args:
        made: what the subject's function returned.
        change: pipeline and form of the data.
        seed: of the order of arrays' rows and of a `PyDataset`'s batches; None for that in which
            they come.
    """
    import keras

    on_tensorflow = keras.backend.backend() == "tensorflow"
    if of_arrays(made.data):
        count = rows(made.data)
        many = size(made, change)
        check_enough(count // many, f"{many}, as there are {count} examples")
        rows_in = np.arange if seed is None else np.random.default_rng(seed).permutation
        order = rows_in(count)
        found = arrays(made, change)
        if on_tensorflow:
            return iter(_shaped(_gathered(found, order, many), change))
        return _held(_sliced(found, order, many), change)
    if of_tensorflow(made.data):
        check_enough(_cardinality(made.data), "its dataset")
        dataset = _shaped(made.data, change, endless=on_tensorflow)
        return iter(dataset) if on_tensorflow else _again(dataset)
    if loading.has_adapter(made.data):
        adapter = loading.adapter(made.data, seed)
        once = isinstance(made.data, types.GeneratorType)
        if adapter.num_batches is not None:
            check_enough(adapter.num_batches, f"its {kind(made.data)}")
        if on_tensorflow:
            return iter(_shaped(loading.dataset(adapter, once=once), change))
        return _held(loading.passes(adapter, once=once), change)
    return _held(_again(made.data), change)


def _held(stream: Iterator[Any], change: Change) -> Iterator[Any]:
    """Return a stream, or its first batch over and over."""
    return itertools.repeat(next(stream)) if change.pipeline == "one_batch" else stream


def _cardinality(dataset: Any) -> int:
    """Return how many batches a dataset has; two where it does not know, or they never end."""
    count = int(dataset.cardinality())
    return count if count >= 0 else 2


def _gathered(data: tuple[Any, ...], order: np.ndarray, many: int) -> Any:
    """Return batches of rows as `fit` gathers and prefetches them, without end."""
    import keras
    import tensorflow as tf

    held = keras.tree.map_structure(tf.convert_to_tensor, keras.tree.lists_to_tuples(data))
    places = tf.constant(order[: len(order) // many * many].reshape(-1, many))

    def batch(number: Any) -> Any:
        wanted = places[number]
        parts = keras.tree.map_structure(lambda array: tf.gather(array, wanted), held)
        return keras.utils.pack_x_y_sample_weight(*parts)

    numbers = tf.data.Dataset.range(len(places)).repeat()
    made = numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE)
    return made.prefetch(PREFETCHED)


def _shaped(dataset: Any, change: Change, *, endless: bool = False) -> Any:
    """Return a dataset in the pipeline of a change."""
    import tensorflow as tf

    if change.pipeline == "one_batch":
        return tf.data.Dataset.from_tensors(next(iter(dataset))).repeat()
    if change.pipeline == "cache":
        dataset = _filled(dataset.cache())
    dataset = dataset.repeat() if endless else dataset
    return dataset.prefetch(PREFETCHED) if change.pipeline == "prefetch" else dataset


def _filled(dataset: Any) -> Any:
    """Go through a cached dataset once: what is timed is any epoch but the first.

    Raises:
        NotMeasuredHere: it takes too long, or too much of the memory.
    """
    import keras

    began, held, most = clock.now(), 0, psutil.virtual_memory().available * CACHED_SHARE
    for batch in dataset:
        held += sum(leaf.numpy().nbytes for leaf in keras.tree.flatten(batch))
        lasted = clock.now() - began
        if lasted > CACHED_S or held > most:
            raise NotMeasuredHere(
                f"an epoch fits into a cache within {CACHED_S:g} s and {most / 2**30:.2g} GiB",
                f"{held / 2**30:.2g} GiB in {lasted:.2g} s, and more to come",
                "try it on a part of the data: dataset.take(batches)",
            )
    return dataset


def _sliced(data: tuple[Any, ...], order: np.ndarray, many: int) -> Iterator[Any]:
    import keras

    for start in itertools.cycle(range(0, len(order) - many + 1, many)):
        wanted = order[start : start + many]
        parts = keras.tree.map_structure(lambda array, rows=wanted: array[rows], data)
        yield keras.utils.pack_x_y_sample_weight(*parts)


def _again(data: Any) -> Iterator[Any]:
    """Go through data again and again.

    Raises:
        DeclarationError: it cannot be gone through, or not again.
    """
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise DeclarationError(
            "data is arrays, a tf.data.Dataset, or something that yields batches",
            type(data).__name__,
            "return what you would hand to fit",
        )
    import keras

    while True:
        count = 0
        for batch in data:
            count += 1
            yield keras.tree.map_structure(on_host, batch, none_is_leaf=False)
        if not count:
            raise loading.ended(type(data).__name__)
