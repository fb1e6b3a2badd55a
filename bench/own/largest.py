"""The largest batch that fits: found by trying, in processes that may die of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.arms import Attempt, arm
from keras_ab.bench.lab.words.cases import Case
from keras_ab.bench.lab.words.declare import Experiment
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.own import batches
from keras_ab.bench.own.change import Tried, together
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.own.techniques import technique
from keras_ab.bench.own.training import Trained
from keras_ab.bench.sources import KERAS_TRAINING

STEPS = 2
"""Trained on a batch before it counts as one that fits: the second has the optimizer's state."""

FINEST = 1 / 8
"""How near the largest that fits and the smallest that does not are in the end, as a share."""

MOST = 2**20
"""Times the file's own batch: what is more than that has no limit here."""

SIGNS = r"out of memory|\boom\b|resource[_ ]exhausted|memoryerror|alloc"
"""What is in the message of an error that a smaller batch would not have raised."""


def fits(subject: Subject, names: tuple[str, ...], times: int) -> None:
    """Train on a batch so many times as large as the file's own.

    Rows are taken again where the data has too few.

    Raises:
        NotMeasuredHere: batches come with their size.
    """
    import keras

    change = together(technique(name).change for name in names)
    made = subject.make(change)
    if not batches.of_arrays(made.data):
        raise NotMeasuredHere(
            "batches are cut from arrays", batches.kind(made.data), "return arrays to have it tried"
        )
    wanted = np.arange(made.batch_size * times) % batches.rows(made.data)
    held = batches.arrays(made, change)
    batch = keras.tree.map_structure(lambda array: array[wanted], held)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    size = len(wanted) // change.accumulate
    told: dict[str, Any] = {"batch_size": size, "epochs": STEPS, "verbose": 0}
    made.model.fit(x, y, sample_weight=weights, **told)


def batch_that_fits(subject: Subject, names: tuple[str, ...], times: int) -> Experiment:
    """Return the experiment whose one attempt tries a batch of some size."""
    tries = partial(fits, subject, names, times)
    tried = Tried(), Tried()
    return Experiment(
        name=f"{subject.name}_batch",
        question=f"Does a batch {times} times as large fit?",
        method="A few steps in a process of their own.",
        sources=(KERAS_TRAINING,),
        arms=tuple(arm(n, Trained(subject), t, n) for n, t in zip("ab", tried, strict=True)),
        cases=(Case({}),),
        attempts=(Attempt("fits", f"a batch {times} times as large", tries, time_limit_s=600.0),),
        timed=False,
        backends=("tensorflow", "jax", "torch"),
    )


def largest(fits: Callable[[int], bool]) -> tuple[int, int | None]:
    """Return the largest multiple that fits, and one that does not, at most an eighth larger.

    0 where not even one fits; None where none was too large.

    Args:
        fits: whether so many times the batch fits; if some do not, no larger one does.
    """
    low, high = 0, 1
    while high <= MOST and fits(high):
        low, high = high, 2 * high
    if high > MOST:
        return low, None
    while high - low > max(1, int(low * FINEST)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high


def is_of_memory(message: str) -> bool:
    """Tell whether an error says that memory ran out."""
    return re.search(SIGNS, message, re.IGNORECASE) is not None
