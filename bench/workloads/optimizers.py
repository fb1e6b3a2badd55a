"""Optimizers by name, and what a recipe puts around them: decay, clipping, accumulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from keras_ab.bench.workloads.schedules import learning_rate

if TYPE_CHECKING:
    from keras_ab.bench.workloads.recipe import Recipe

GLOBAL_NORM = 1.0
"""Largest norm of the whole gradient under ``clipping="global_norm"``."""

HEAD = "head"
"""Name of the last layer of every workload: the paper leaves it out of adaptive clipping."""


def _keras(name: str, rate: float, **options: Any) -> Any:
    import keras

    return getattr(keras.optimizers, name)(rate, **options)


def _adafactor_factored(rate: float, **options: Any) -> Any:
    from keras_ab.kernels.adafactor import Adafactor

    return Adafactor(rate, **options)


def _sm3(rate: float, **options: Any) -> Any:
    from keras_ab.kernels.sm3 import SM3

    return SM3(rate, **options)


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adam": partial(_keras, "Adam"),
    "sgd": partial(_keras, "SGD"),
    "sgd_momentum": partial(_keras, "SGD", momentum=0.9),
    "lion": partial(_keras, "Lion"),
    "adafactor": partial(_keras, "Adafactor"),
    "adafactor_factored": _adafactor_factored,
    "sm3": _sm3,
    "sm3_momentum": partial(_sm3, momentum=0.9),
}


def optimizer(recipe: Recipe, model: Any) -> Any:
    """Return the recipe's optimizer for a model, with its decay, clipping and accumulation."""
    make = partial(OPTIMIZERS[recipe.optimizer], learning_rate(recipe))
    options: dict[str, Any] = {}
    if recipe.decay == "decoupled":
        options["weight_decay"] = recipe.weight_decay
    if recipe.clipping == "global_norm":
        options["global_clipnorm"] = GLOBAL_NORM
    accumulate: dict[str, Any] = (
        {"gradient_accumulation_steps": recipe.accumulate} if recipe.accumulate > 1 else {}
    )
    if recipe.clipping == "adaptive":
        from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping, unit_axes

        axes = unit_axes(model)
        return AdaptiveGradientClipping(make(**options), (HEAD,), axes=axes, **accumulate)
    return make(**options, **accumulate)


def regularise(model: Any, recipe: Recipe) -> None:
    """Add L2 of half the decay to the loss, for every weight, where the recipe says so."""
    import keras

    if recipe.decay == "l2":
        for variable in model.trainable_variables:
            variable.regularizer = keras.regularizers.L2(recipe.weight_decay / 2)
