"""Data that makes its batches itself, by the adapter that `fit` makes for it.

With it come the workers of a `PyDataset`, what it does between epochs, and what is made ahead.
"""

from __future__ import annotations

import random
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from keras_ab.bench.lab.words.errors import DeclarationError


def _adapters() -> Any:
    """Return the module of Keras' adapters; None where it is elsewhere, for it is private."""
    try:
        from keras.src.trainers import data_adapters
    except ImportError:
        return None
    return data_adapters


def has_adapter(data: Any) -> bool:
    """Tell whether data is a `PyDataset`, a `DataLoader` of PyTorch's or a generator."""
    import keras

    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(data).__mro__}
    known = isinstance(data, types.GeneratorType | keras.utils.PyDataset)
    return (known or ("torch", "DataLoader") in kinds) and _adapters() is not None


def adapter(data: Any, seed: int | None = None) -> Any:
    """Return Keras' adapter of data that has one.

    Args:
        data: something that makes its batches itself.
        seed: of the order of a `PyDataset`'s batches, which `fit` shuffles in each epoch; None for
            that in which they come. Keras shuffles by the generator that all of Python shares: from
            one epoch to the next it is the same for all arms if they draw alike from it.

    Raises:
        DeclarationError: `fit` does not take it.
    """
    shuffled = seed is not None and getattr(data, "num_batches", None) is not None
    if shuffled:
        random.seed(f"{seed}/order")
    return _taken(lambda: _adapters().get_data_adapter(data, shuffle=shuffled))


def dataset(adapter: Any, *, once: bool) -> Any:
    """Return the batches of an adapter as `fit` takes them on TensorFlow, epoch after epoch.

    None of the next epoch is made before all of one are taken: TensorFlow would inject a prefetch.

    Args:
        adapter: Keras' own.
        once: whether its data cannot be gone through again.
    """
    import tensorflow as tf

    batches = _taken(adapter.get_tf_dataset)
    adapter.on_epoch_begin()
    if once:
        return batches
    turned = partial(_turned, adapter)
    between = tf.data.Dataset.from_generator(turned, output_signature=batches.element_spec)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False
    return batches.concatenate(between).repeat().with_options(options)


def _turned(adapter: Any) -> Iterator[Any]:
    """Go on to the next epoch; yield nothing."""
    adapter.on_epoch_end()
    adapter.on_epoch_begin()
    return iter(())


def passes(adapter: Any, *, once: bool) -> Iterator[Any]:
    """Yield the batches of an adapter as `fit` takes them on JAX and PyTorch, epoch after epoch.

    Args:
        adapter: Keras' own.
        once: whether its data cannot be gone through again.

    Raises:
        DeclarationError: it cannot, and ended.
    """
    import keras

    on_jax = keras.backend.backend() == "jax"
    epoch = adapter.get_jax_iterator if on_jax else adapter.get_torch_dataloader
    while True:
        adapter.on_epoch_begin()
        some = False
        for batch in epoch():
            some = True
            yield batch
        adapter.on_epoch_end()
        if once or not some:
            raise ended("data")


def _taken(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise DeclarationError(
            "data is what `fit` takes",
            f"data of which Keras says: {error}"[:2000],
            "call model.fit on the data yourself, and mend what it says",
        ) from error


def ended(what: str) -> DeclarationError:
    """Return the error that data ended while it was trained on."""
    return DeclarationError(
        "data goes on for as long as it is trained on, or can be gone through again",
        f"{what}, which ended",
        "return a keras.utils.PyDataset or a tf.data.Dataset, or loop inside the generator",
    )
