"""Data echoing: use each loaded element several times.

Source: D. Choi, A. Passos, C. J. Shallue, G. E. Dahl, "Faster Neural Network Training with Data
Echoing", 2019, https://arxiv.org/abs/1907.05550, section 3.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from keras_ab.kernels.require import require

Element = TypeVar("Element")

PLACES = ("before_augmentation", "after_augmentation", "after_batching")


def reference_echo(elements: Iterable[Element], factor: int) -> Iterator[Element]:
    """Yield each element e times in a row.

    Args:
        elements: What the stage upstream yields.
        factor: e, the echoing factor.
    """
    for element in elements:
        for _ in range(factor):
            yield element


def echo(dataset: Any, factor: int) -> Any:
    """Repeat each element of a ``tf.data.Dataset`` e times in a row, as ``reference_echo`` does.

    What comes before in the pipeline runs once for each element, what comes after e times.

    Args:
        dataset: A ``tf.data.Dataset`` of any structure.
        factor: e ≥ 1; 1 returns the data set itself.

    Returns:
        A ``tf.data.Dataset`` of the same structure, e times as long where the length is known.

    Raises:
        ValueError: When the factor is no positive whole number.

    Source: Choi et al., 2019, https://arxiv.org/abs/1907.05550, section 3.
    """
    import tensorflow as tf

    require(
        isinstance(factor, int) and factor >= 1,
        "factor must be a whole number of at least 1.",
        factor,
        "Pass how often each element is to be used.",
    )
    if factor == 1:
        return dataset

    def repeated(*element: Any) -> Any:
        one = element if len(element) > 1 else element[0]
        return tf.data.Dataset.from_tensors(one).repeat(factor)

    echoed = dataset.flat_map(repeated)
    length = dataset.cardinality().numpy()
    known = length >= 0  # TensorFlow says −1 for infinite and −2 for unknown
    return (
        echoed.apply(tf.data.experimental.assert_cardinality(length * factor)) if known else echoed
    )


def echoed_batches(
    dataset: Any,
    factor: int,
    batch_size: int,
    augment: Callable[..., Any] | None = None,
    place: str = "before_augmentation",
    shuffle_buffer: int = 0,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> Any:
    """Build the rest of an input pipeline, with the echo at one of the paper's three places.

        before_augmentation   read → echo → shuffle → augment → batch
        after_augmentation    read → augment → echo → shuffle → batch
        after_batching        read → augment → batch → echo → shuffle

    The earlier the echo, the fresher the data (each repeat is augmented anew) and the less of the
    pipeline it saves. The shuffle after it keeps repeats of one element apart.

    Args:
        dataset: Single elements, as read.
        factor: e ≥ 1.
        batch_size: Elements in a batch.
        augment: Function of one element, as ``tf.data.Dataset.map`` takes it; None for none.
        place: One of ``PLACES``.
        shuffle_buffer: Elements (batches, after batching) in the buffer that repeats are drawn
            from; 0 for no shuffle.
        seed: Seed of the shuffle.
        drop_remainder: Whether a last batch that is not full is left out.

    Returns:
        A ``tf.data.Dataset`` of batches.

    Raises:
        ValueError: When ``place`` is none of the three or a number is out of its range.

    Source: Choi et al., 2019, https://arxiv.org/abs/1907.05550, section 3 and figure 2.
    """
    require(
        place in PLACES,
        f"place must be one of {PLACES}.",
        place,
        "Pass 'before_augmentation' for the freshest data.",
    )

    def echo_here(d: Any) -> Any:
        d = echo(d, factor)
        return d.shuffle(shuffle_buffer, seed=seed) if shuffle_buffer else d

    def augmented(d: Any) -> Any:
        return d if augment is None else d.map(augment)

    def batched(d: Any) -> Any:
        return d.batch(batch_size, drop_remainder=drop_remainder)

    stages = [augmented, batched]
    stages.insert(PLACES.index(place), echo_here)
    for stage in stages:
        dataset = stage(dataset)
    return dataset
