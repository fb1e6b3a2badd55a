"""What a reader's `model.compile(...)` is given, with a change to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_ab.bench.own.change import Change
from keras_ab.bench.workloads.optimizers import OPTIMIZERS

NATIVE_ADAM = "native_adam"
"""The name under which our fused Adam takes the place of Keras', its settings kept."""

SPARSE = {
    "categorical_crossentropy": "sparse_categorical_crossentropy",
    "categorical_accuracy": "sparse_categorical_accuracy",
    "top_k_categorical_accuracy": "sparse_top_k_categorical_accuracy",
}
"""Losses and metrics of one-hot rows by name, each with that of class indices."""


@contextmanager
def changed(change: Change) -> Iterator[None]:
    """Change what models are compiled with inside, whatever class they are of."""
    import keras

    original, own = keras.Model.compile, "compile" in vars(keras.Model)
    signature = inspect.signature(original)

    def compile(self: Any, *args: Any, **given: Any) -> Any:  # noqa: A001 - takes its place
        call = signature.bind(self, *args, **given)
        return original(**{**call.arguments, **_other(call.arguments, change)})

    keras.Model.compile = compile
    try:
        yield
    finally:
        if own:
            keras.Model.compile = original
        else:
            del keras.Model.compile


def _other(given: dict[str, Any], change: Change) -> dict[str, Any]:
    """Return the arguments of `compile` that a change gives other values."""
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
        other["metrics"] = keras.tree.map_structure(sparse, given.get("metrics"))
    if change.loss == "native":
        other["loss"] = _native_cross_entropy()
    if change.optimizer or change.clip_norm or change.accumulate > 1:
        other["optimizer"] = optimizer(given.get("optimizer", "rmsprop"), change)
    return other


def optimizer(given: Any, change: Change) -> Any:
    """Return the optimizer that a model is compiled with, or the one in its place."""
    import keras

    own = keras.optimizers.get(given)
    chosen = _in_its_place(own, change.optimizer) if change.optimizer else own
    if change.clip_norm:
        chosen.global_clipnorm = change.clip_norm
    if change.accumulate > 1:
        chosen.gradient_accumulation_steps = change.accumulate
    return chosen


def _in_its_place(own: Any, name: str) -> Any:
    if name == NATIVE_ADAM:
        from keras_ab.kernels.native.adam import Adam

        return Adam.from_config(own.get_config())
    rate = own.get_config()["learning_rate"]
    plain: Callable[..., Any] = OPTIMIZERS[name]
    return plain(rate) if isinstance(rate, int | float) else plain(own._learning_rate)


def _native_cross_entropy() -> Any:
    from keras_ab.kernels.native.cross_entropy import SparseCategoricalCrossentropy

    return SparseCategoricalCrossentropy()


def sparse(given: Any) -> Any:
    """Return the loss or metric of class indices in place of one of one-hot rows."""
    if isinstance(given, str):
        return SPARSE.get(given, given)
    kind = type(given).__name__
    for module in _modules():
        if kind.removeprefix("Sparse") == kind and hasattr(module, f"Sparse{kind}"):
            config = given.get_config()
            known = inspect.signature(getattr(module, f"Sparse{kind}")).parameters
            kept = {k: v for k, v in config.items() if k in known}
            return getattr(module, f"Sparse{kind}")(**kept)
    return given


def _modules() -> tuple[Any, ...]:
    import keras

    return keras.losses, keras.metrics
