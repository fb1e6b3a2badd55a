"""Digits read from files, each used several times: whole, its two parts, and what is learnt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any

from keras_ab.bench.lab.words.declare import Params, Prepared
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.workloads import image_files
from keras_ab.bench.workloads.classifier import DIGITS
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload, accuracy

SHUFFLED = 256
"""Elements among which repeats are drawn."""

BUDGET = 64
"""Steps of the baseline, each on fresh data: both the budget of steps and that of fresh data."""

TARGET = 0.8
"""Accuracy to be reached; the paper, too, counts the examples loaded until a fixed one is."""

LOOK = 4
"""Steps between two looks at the accuracy."""

LEARNT_FROM: Params = {"edge": 28, "encoding": "png", "files": 3500}
"""Files for what is learnt: all, and small ones, since their size does not change it."""

LONGEST = 4
"""Budgets of steps that every arm takes: uses of an image by the longest echo that is trained."""


@dataclass(frozen=True)
class Echo:
    """How often each loaded element is used, where it is repeated, and what of it all is done.

    ``upstream`` reads and decodes alone; ``downstream`` augments, batches and trains on images that
    lie in memory.
    """

    factor: int = 1
    place: str = "before_augmentation"
    part: str = "whole"


def flat(image: Any, payload: Any) -> tuple[Any, Any]:
    """Augment one image and return its pixels as the classifier takes them."""
    import tensorflow as tf

    image, payload = image_files.augment(image, payload)
    return tf.reshape(image, (-1,)), payload


def batches(echo: Echo, case: Params, elements: Any, seed: int = 0) -> Any:
    """Return the pipeline from single elements to batches, with the echo in its place."""
    from keras_ab.kernels.data_echoing import echoed_batches

    return echoed_batches(
        elements,
        echo.factor,
        int(case["batch"]),
        augment=flat,
        place=echo.place,
        shuffle_buffer=SHUFFLED,
        seed=seed,
    )


def prepare(echo: Echo, case: Params) -> Prepared:
    """Make one training step ready, with all that it takes to load its batch."""
    if echo.part == "upstream":
        return upstream(case)
    model = DIGITS.compiled(Recipe(), case)
    training = backends.of_keras().training(model, jit=False)
    loaded = iter(batches(echo, case, source(echo, case).repeat()))
    return Prepared(
        step=lambda: training.step(next(loaded)),
        observe=partial(observe, echo, case, model),
    )


def source(echo: Echo, case: Params) -> Any:
    """Return single decoded images: from files, or two batches of them that lie in memory."""
    import tensorflow as tf

    if echo.part == "whole":
        return image_files.elements(case)
    batch = next(image_files.elements(case).batch(2 * int(case["batch"])).as_numpy_iterator())
    return tf.data.Dataset.from_tensor_slices(batch)


def upstream(case: Params) -> Prepared:
    """Make ready what comes before the echo: reading and decoding the images of a batch."""
    loaded = iter(image_files.elements(case).repeat().batch(int(case["batch"])))
    return Prepared(step=lambda: next(loaded)[0], observe=lambda: {"decoded": decoded(case)})


def decoded(case: Params) -> Any:
    """Return the first batch of images as decoded."""
    return next(image_files.elements(case).batch(int(case["batch"])).as_numpy_iterator())[0]


def observe(echo: Echo, case: Params, model: Any) -> dict[str, Any]:
    """Return how often each file is used in one pass, over e, and a loss from the first weights."""
    import numpy as np

    count, size = int(case["files"]), int(case["batch"])
    once = batches(echo, case, image_files.elements(case, payload=np.arange(count)))
    used = np.concatenate([numbers for _, numbers in once.as_numpy_iterator()])
    images, labels = DIGITS.data(case)
    batch = (images[:size], labels[:size])
    loss, _ = backends.of_keras().loss_and_gradients(model, batch, jit=False)
    uses = np.bincount(used, minlength=count) / echo.factor
    return {"uses": uses, "loss": loss, "decoded": decoded(case)}


@cache
def learnt_from() -> tuple[Any, Any]:
    """Return the images that are trained on, decoded once for all trainings: none is timed."""
    size = int(LEARNT_FROM["files"])
    return next(image_files.elements(LEARNT_FROM).batch(size).as_numpy_iterator())


def passes(case: Params, seed: int, images: int | None = None, of: Workload = DIGITS) -> Any:
    """Return single images, pass after pass over all or over the first so many: enough of them."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(of.data(case)[1]))[:images]
    wanted = BUDGET * LONGEST * int(case["batch"]) + SHUFFLED
    more = [rng.permutation(drawn) for _ in range(wanted // len(drawn))]
    order = np.concatenate([drawn, *more])
    pixels, labels = learnt_from()
    return tf.data.Dataset.from_tensor_slices((pixels[order], labels[order]))


@dataclass(frozen=True)
class Lesson:
    """A training from a seed at a rate."""

    echo: Echo
    case: Params
    seed: int
    learning_rate: float
    digits: Workload = DIGITS

    def curve(self, elements: Any, target: float, marks: Collection[int]) -> dict[int, float]:
        """Train, and return how accurate that is by steps.

        Args:
            elements: single images.
            target: accuracy up to which it is looked at, every few steps.
            marks: steps at which it is looked at in any case; the last of them is the end.
        """
        import keras

        keras.utils.set_random_seed(self.seed)
        recipe = Recipe(learning_rate=self.learning_rate)
        model, training = self.digits.to_be_trained(recipe, self.case)
        loaded = iter(batches(self.echo, self.case, elements, self.seed))
        found: dict[int, float] = {}
        for steps in range(LOOK, max(marks) + 1, LOOK):
            for batch in islice(loaded, LOOK):
                training.step(batch)
            if steps in marks or max(found.values(), default=-1.0) < target:
                training.settle()
                found[steps] = accuracy(model, *self.digits.test(self.case))
        return found


def choose(echo: Echo, case: Params, seed: int, learning_rate: float) -> float:
    """Train on fresh data; return the accuracy after the budget by which a rate is chosen."""
    digits = DIGITS.choosing()
    lesson = Lesson(echo, case, seed, learning_rate, digits)
    return lesson.curve(passes(case, seed, of=digits), -1.0, {BUDGET})[BUDGET]


def train(echo: Echo, case: Params, seed: int, learning_rate: float) -> dict[str, float]:
    """Train on fresh data, and on the baseline's budget of it as often as the longest echo does.

    A target that is not reached counts as reached after twice the longest training, on fresh data
    (the penalty of PAR2): what an arm has not shown is no gain.
    """
    size, end = int(case["batch"]), BUDGET * LONGEST
    lesson = Lesson(echo, case, seed, learning_rate)
    curve = lesson.curve(passes(case, seed), TARGET, {BUDGET, BUDGET * echo.factor, end})
    reached = next((steps for steps, found in curve.items() if found >= TARGET), None)
    steps, fresh = (2 * end, 2 * end) if reached is None else (reached, reached / echo.factor)
    again = curve
    if echo.factor < LONGEST:  # the longest echo has seen no other data, but for its buffer's
        again = lesson.curve(passes(case, seed, BUDGET * size), -1.0, {end})
    return {
        "accuracy_at_same_steps": curve[BUDGET],
        "accuracy_at_same_data": curve[BUDGET * echo.factor],
        "accuracy_at_same_uses": again[end],
        "steps_to_target": float(steps),
        "target_reached": float(reached is not None),
        "loaded_to_target": float(fresh * size),
    }
