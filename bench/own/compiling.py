"""What a reader's `model.compile(...)` is given, with a change to it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.own.change import Change
from keras_ab.bench.workloads.optimizers import OPTIMIZERS

NATIVE_ADAM = "native_adam"
"""The name under which our fused Adam takes the place of Keras', its settings kept."""

ANY = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)
"""Settings of every optimizer, which the one in its place takes over."""

OF_WEIGHTS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
"""What `exclude_from_weight_decay` sets; it has no public name."""

OF_ADAM = ("beta_1", "beta_2", "epsilon", "amsgrad")


@contextmanager
def changed(change: Change) -> Iterator[None]:
    """Change what models are compiled with inside, whatever class they are of.

    The class that has `compile` is changed: a loaded model of one that has another is not compiled.
    """
    import keras

    of = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    original: Any = of.compile
    signature = inspect.signature(original)
    known: list[Any] = []  # a model may be compiled once more, with the optimizer that it has

    def compile(self: Any, *args: Any, **given: Any) -> Any:  # noqa: A001 - takes its place
        call = signature.bind(self, *args, **given).arguments
        other = _other(call, change)
        if change.optimizer or change.clip_norm or change.accumulate > 1:
            if "optimizer" not in call:
                check_default(self, compile)
            own = call.get("optimizer", "rmsprop")
            if not any(unscaled(own) is chosen for chosen in known):
                other["optimizer"] = optimizer(own, change)
                known.append(unscaled(other["optimizer"]))
        return original(**{**call, **other})

    of.compile = compile
    try:
        yield
    finally:
        of.compile = original


def check_default(model: Any, plain: Any) -> None:
    """Refuse to change the optimizer of a model whose own `compile` keeps it to itself."""
    if type(model).compile is not plain:
        raise NotMeasuredHere(
            "a `compile` of the model's own names its optimizer to super().compile, where it is "
            "changed",
            f"{type(model).__name__}.compile, which names none",
            "nothing: what leaves the optimizer alone is tried all the same",
        )


def _other(given: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return the arguments of `compile` that a change gives other values, but for the optimizer."""
    import keras

    other: dict[str, Any] = {}
    if change.jit is not None:
        other["jit_compile"] = change.jit
    if change.eager is not None:
        other["run_eagerly"] = change.eager
    if change.steps_per_execution:
        other["steps_per_execution"] = change.steps_per_execution
    if change.labels == "sparse":
        other["loss"] = sparse(given.get("loss"))
        for name in ("metrics", "weighted_metrics"):
            other[name] = keras.tree.map_structure(sparse, given.get(name))
    if change.loss == "native" and is_sparse_cross_entropy(given.get("loss")):
        other["loss"] = _native_cross_entropy()
    return other


def is_sparse_cross_entropy(loss: Any) -> bool:
    """Tell whether a loss, as `compile` takes one, is Keras' of class indices."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return name.replace("_", "").lower() == "sparsecategoricalcrossentropy"


def optimizer(given: Any, change: Change) -> Any:
    """Return the optimizer that a model is compiled with, or the one in its place.

    One that scales the loss stays, around it.
    """
    import keras

    own = keras.optimizers.get(given)
    if own is None:  # a model that is compiled to be evaluated alone
        return None
    if isinstance(own, keras.optimizers.LossScaleOptimizer):
        own.inner_optimizer = optimizer(own.inner_optimizer, change)
        return own
    chosen = _in_its_place(own, change.optimizer) if change.optimizer else own
    if change.clip_norm:
        chosen.global_clipnorm = change.clip_norm
    if change.accumulate > 1:
        already = chosen.gradient_accumulation_steps or 1
        chosen.gradient_accumulation_steps = already * change.accumulate
    return chosen


def unscaled(given: Any) -> Any:
    """Return an optimizer without the loss scaling that `compile` put around it for float16."""
    return getattr(given, "inner_optimizer", given)


def _in_its_place(own: Any, name: str) -> Any:
    """Return another optimizer with the rate and the settings that any has."""
    import keras

    rate = own._learning_rate  # a schedule as it is: not each can be made anew from its settings
    if isinstance(rate, keras.Variable):
        rate = float(keras.ops.convert_to_numpy(rate))
    kept = {setting: getattr(own, setting) for setting in ANY}
    if name == NATIVE_ADAM:
        from keras_ab.kernels.native.adam import Adam

        kept |= {setting: getattr(own, setting) for setting in OF_ADAM}
        chosen = Adam(rate, **kept)
    else:
        chosen = OPTIMIZERS[name](rate, **kept)
    for setting in set(OF_WEIGHTS) & set(vars(own)):
        setattr(chosen, setting, getattr(own, setting))
    return chosen


def _native_cross_entropy() -> Any:
    from keras_ab.kernels.native.cross_entropy import SparseCategoricalCrossentropy

    return SparseCategoricalCrossentropy()


def sparse(given: Any) -> Any:
    """Return the loss or metric of class indices in place of one of one-hot rows.

    It is a name, a function or an object, as what it takes the place of.
    """
    named = isinstance(given, str)
    if not named and not getattr(given, "__module__", "").startswith("keras."):
        return given
    name = given if named else getattr(given, "__name__", type(given).__name__)
    for module in _modules():
        for other in (f"sparse_{name}", f"Sparse{name}"):
            if hasattr(module, other):
                return other if named else _like(given, getattr(module, other))
    return given


def _like(given: Any, kind: Any) -> Any:
    """Return a function as it is, or an object of a class with the settings of another."""
    if not inspect.isclass(kind):
        return kind
    known = inspect.signature(kind).parameters
    return kind(**{k: v for k, v in given.get_config().items() if k in known})


def _modules() -> tuple[Any, ...]:
    import keras

    return keras.losses, keras.metrics
