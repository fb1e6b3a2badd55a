"""Training a model as a recipe says: one step to be timed, or many steps for what is learnt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from keras_ab.bench.lab.words.cases import Value
from keras_ab.bench.lab.words.declare import Params, Prepared
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.lab.words.metrics import LABELS, OPTIMIZER_STATE, WEIGHTS, Metric
from keras_ab.bench.lab.words.steps import StepWork
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.lab.worker.backends import Training
from keras_ab.bench.workloads import labels, losses, optimizers, schedules
from keras_ab.bench.workloads.examples import Examples, Part, no_test
from keras_ab.bench.workloads.precision import precision, switch_on
from keras_ab.bench.workloads.recipe import Recipe

TEST_ACCURACY = Metric("test_accuracy", "test accuracy", "1", "more", "difference", margin=0.01)
"""What `Workload.train_and_score` returns; a hundredth of it does not matter."""

OBSERVED_STEPS = 4
"""Steps after which the guards look at the weights."""


@dataclass(frozen=True)
class Workload:
    """A model and its data, all functions of a case; called, it makes a training step ready.

    An arm trains it as a recipe says. Its cases set ``batch``, whatever its functions read, and
    any field of the recipe that is to be the same in every arm::

        def model(case, recipe):
            import keras

            hidden = keras.layers.Dense(case["width"], activation="relu")
            return keras.Sequential([keras.Input((16,)), hidden, keras.layers.Dense(3)])


        def data(case):
            import numpy as np

            rng = np.random.default_rng(0)
            inputs = rng.normal(size=(512, 16)).astype(np.float32)
            return inputs, rng.integers(3, size=512, dtype=np.int32)


        MINE = Workload(model, data, lambda case: 3)
        ARMS = (
            arm("graph", MINE, Recipe(), "a graph"),
            arm("xla", MINE, Recipe(jit=True), "compiled by XLA"),
        )
        CASES = grid(batch=(64,), width=(32,), optimizer=("sgd",))

    Args:
        model: build the model for a case and a recipe; it returns logits ``(batch, classes)``.
        data: return inputs ``(n, ...)`` float32 and labels ``(n,)`` int32; n is a multiple of the
            batch size.
        classes: the number of classes of a case.
        test: return inputs and labels that are not among those of `data`, for `train_and_score`.
    """

    model: Callable[[Params, Recipe], Any]
    data: Callable[[Params], Examples]
    classes: Callable[[Params], int]
    test: Callable[[Params], Examples] = no_test

    def choosing(self) -> Workload:
        """Return the workload by which learning rates are chosen.

        It is tested on the last quarter of what there is to learn from, and learns from the rest:
        no example that judges a rate has had a say in it.
        """
        return replace(self, data=Part(self.data, False), test=Part(self.data, True))

    def __call__(self, recipe: Recipe, case: Params) -> Prepared:
        """Make one training step under the recipe ready to be timed.

        The step is Keras' own `train_step` as the backend runs it, on one batch that already lies
        on the device: neither the input pipeline nor `fit`'s Python is in the timing, and no other
        batch is in the memory. A recipe that accumulates takes one `train_step` for each part of
        the batch.
        """
        recipe = recipe.of(case)
        model = self.compiled(recipe, case)
        inputs, stored = self.stored(recipe, case)
        size = int(case["batch"])
        parts = cut((inputs[:size], stored[:size]), recipe.accumulate)
        training = backends.of_keras().training(model, jit=model.jit_compile)
        return Prepared(
            step=partial(step, training, parts),
            sizes={
                LABELS.name: float(stored.nbytes),
                WEIGHTS.name: nbytes(model.trainable_variables),
                OPTIMIZER_STATE.name: nbytes(model.optimizer.variables),
            },
            observe=partial(observe, model, training, parts),
            work=partial(work, training, parts),
            finite=partial(is_finite, model, training.settle),
        )

    def compiled(self, recipe: Recipe, case: Params) -> Any:
        """Build the model and compile it with the recipe's precision, optimizer and loss."""
        switch_on(recipe.graph_rewrite)
        with precision(recipe.dtype_policy):
            model = self.model(case, recipe)
        check_logits(model)
        regularise(model, recipe)
        one_hot = recipe.labels.startswith("one_hot")
        model.compile(
            optimizer=optimizer(recipe, model),
            loss=losses.loss(recipe.loss, one_hot=one_hot, counts=partial(self.counts, case)),
            jit_compile=recipe.jit,
            steps_per_execution=recipe.steps_per_execution,
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def stored(self, recipe: Recipe, case: Params) -> Examples:
        """Return the inputs, and the labels in the form in which the recipe stores them."""
        inputs, indices = self.data(case)
        return inputs, labels.store(indices, recipe.labels, self.classes(case))

    def counts(self, case: Params) -> list[int]:
        """Return how many examples of each class there are to train on."""
        return np.bincount(self.data(case)[1], minlength=self.classes(case)).tolist()

    def train(
        self, steps: int, recipe: Recipe, case: Params, seed: int, learning_rate: float
    ) -> Any:
        """Train from a seed for a number of steps and return the model.

        The seed sets the weights and the order of the batches, the same for every arm.
        """
        return deque(self.trained(steps, steps, recipe, case, seed, learning_rate), maxlen=1)[0]

    def trained(
        self, steps: int, every: int, recipe: Recipe, case: Params, seed: int, learning_rate: float
    ) -> Iterator[Any]:
        """Train as `train` does; yield the model every so many steps, to be looked at."""
        import keras

        recipe = replace(recipe.of(case), learning_rate=learning_rate)
        keras.utils.set_random_seed(seed)
        model, training = self.to_be_trained(recipe, case)
        inputs, stored = self.stored(recipe, case)
        drawn = self.drawn(recipe, case, seed)
        for number in range(1, steps + 1):
            rows = next(drawn)
            step(training, cut((inputs[rows], stored[rows]), recipe.accumulate))
            if number % every == 0:
                training.settle()
                yield model

    def drawn(self, recipe: Recipe, case: Params, seed: int) -> Iterator[np.ndarray]:
        """Yield the rows of one batch after the other.

        Uniformly drawn, no example is twice in a batch; drawn so that all classes are alike, those
        of a rare class are.
        """
        labels, size = self.data(case)[1], int(case["batch"])
        rng = np.random.default_rng(seed)
        share = None
        if recipe.sampling == "balanced":
            share = 1.0 / np.bincount(labels)[labels]
            share /= share.sum()
        while True:
            yield rng.choice(len(labels), size, replace=share is not None, p=share)

    def to_be_trained(self, recipe: Recipe, case: Params) -> tuple[Any, Training]:
        """Return an untrained model and its training step, traced before where that can be.

        Tracing takes longer than a short training. So a recipe that is trained again, from another
        seed or at another rate, has its new variables assigned to the model that was trained last.
        A schedule's rates are a part of the trace.
        """
        made = self.compiled(recipe, case)
        if recipe.schedule != "constant":
            return made, backends.of_keras().training(made, jit=made.jit_compile)
        kept = _traced(self, replace(recipe, learning_rate=0.0), tuple(case.items()))
        if not kept:
            kept.append((made, backends.of_keras().training(made, jit=made.jit_compile)))
        model, training = kept[0]
        assign(model, made)
        if not training.in_place:
            training = backends.of_keras().training(model, jit=model.jit_compile)
        return model, training

    def train_and_score(
        self, steps: int, recipe: Recipe, case: Params, seed: int, learning_rate: float
    ) -> float:
        """Train from a seed for a number of steps and return the accuracy on the test examples.

        A model whose weights are NaN knows no better than to guess, and scores like that.
        """
        model = self.train(steps, recipe, case, seed, learning_rate)
        return accuracy(model, *self.test(case))


@lru_cache(maxsize=1)
def _traced(
    _workload: Workload, _recipe: Recipe, _case: tuple[tuple[str, Value], ...]
) -> list[tuple[Any, Training]]:
    """Return where the model and step of a recipe are kept; empty before its first training."""
    return []


def assign(model: Any, other: Any) -> None:
    """Give a model and its optimizer the values of another's variables, made by the same code."""
    for variable, value in zip(_all_of(model), _all_of(other), strict=True):
        variable.assign(value)


def _all_of(model: Any) -> list[Any]:
    weights = [*model.trainable_variables, *model.non_trainable_variables]
    return [*weights, *model.optimizer.variables]


def check_logits(model: Any) -> None:
    """Refuse a model that ends in a softmax: the losses here take logits."""
    last = model.layers[-1] if model.layers else model
    does = getattr(last, "activation", None)
    if "softmax" in (getattr(does, "__name__", ""), type(last).__name__.lower()):
        raise DeclarationError(
            "a workload's model returns logits",
            f"{last.name!r}, its last layer, is a softmax",
            "leave the softmax out; the loss applies it",
        )


def optimizer(recipe: Recipe, model: Any) -> Any:
    """Return the recipe's optimizer, with its schedule, decay, clipping and accumulation."""
    decay = {"weight_decay": recipe.weight_decay} if recipe.decay == "decoupled" else {}
    return optimizers.optimizer(
        recipe.optimizer,
        schedules.learning_rate(recipe.schedule, recipe.learning_rate, recipe.schedule_steps),
        model,
        clipping=recipe.clipping,
        clip=recipe.clip,
        accumulate=recipe.accumulate,
        **decay,
    )


def regularise(model: Any, recipe: Recipe) -> None:
    """Add L2 of half the decay to the loss, for every weight, where the recipe says so."""
    import keras

    if recipe.decay == "l2":
        for variable in model.trainable_variables:
            variable.regularizer = keras.regularizers.L2(recipe.weight_decay / 2)


def cut(batch: Sequence[np.ndarray], count: int) -> list[tuple[Any, ...]]:
    """Return the batch on the device, in `count` parts of equal size."""
    import keras

    split = zip(*(np.split(array, count) for array in batch), strict=True)
    return [tuple(keras.ops.convert_to_tensor(array) for array in part) for part in split]


def step(training: Training, parts: Sequence[Any]) -> Any:
    """Train on the parts of a batch, one after the other; return the last loss."""
    for part in parts[:-1]:
        training.step(part)
    return training.step(parts[-1])


def work(training: Training, parts: Sequence[Any]) -> StepWork:
    """Return what a step has to do: as much for every part of a batch, all of one size."""
    return training.work(parts[0]) * len(parts)


def nbytes(variables: list[Any]) -> float:
    """Return the bytes that variables hold."""
    return float(sum(np.asarray(v).nbytes for v in variables))


def flat(tensors: list[Any]) -> np.ndarray:
    """Return all elements of some tensors in a row, on the host."""
    import keras

    arrays = [np.ravel(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]
    return np.concatenate(arrays) if arrays else np.zeros(0)


def is_finite(model: Any, settle: Callable[[], None]) -> bool:
    """Tell whether no trained weight of a model is NaN or infinite, once its step has settled."""
    import keras

    settle()
    return all(bool(keras.ops.all(keras.ops.isfinite(v))) for v in model.trainable_variables)


def observe(model: Any, training: Training, parts: Sequence[Any]) -> dict[str, Any]:
    """Return what guards compare.

    The untouched weights, and the first part's loss and gradients from them; after a few steps the
    loss that Keras then reports, the weights, and the state, variable by variable.
    """
    first_weights = flat(model.trainable_variables)
    loss, gradients = backends.of_keras().loss_and_gradients(model, parts[0], jit=model.jit_compile)
    for _ in range(OBSERVED_STEPS):
        later_loss = step(training, parts)
    training.settle()
    return {
        "first_weights": first_weights,
        "loss": loss,
        "gradients": flat(gradients),
        "later_loss": later_loss,
        "weights": flat(model.trainable_variables),
        **state(model),
    }


def state(model: Any) -> dict[str, np.ndarray]:
    """Return what is kept but not trained: ``statistics/n``, and ``seeds/n`` of random numbers.

    Each variable by itself: seeds are in the billions, beside which no statistic would count.
    """
    import keras

    found: dict[str, np.ndarray] = {}
    for variable in model.non_trainable_variables:
        kind = "statistics" if "float" in variable.dtype else "seeds"
        number = sum(name.startswith(kind) for name in found)
        found[f"{kind}/{number}"] = keras.ops.convert_to_numpy(variable)
    return found


def accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images whose largest logit is that of their label."""
    return float(np.mean(np.argmax(model.predict_on_batch(images), axis=-1) == labels))
