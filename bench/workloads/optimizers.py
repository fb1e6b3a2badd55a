"""Optimizers by name, and what goes around them: clipping, accumulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

CLIPPINGS = ("none", "global_norm", "adaptive")

GLOBAL_NORM = 1.0
"""Largest norm of the whole gradient under ``clipping="global_norm"``."""

HEAD = "head/"
"""In the paths of the last layer of every workload, which the paper does not clip adaptively."""


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


def optimizer(
    name: str,
    rate: Any,
    model: Any,
    *,
    clipping: str = "none",
    clip: float = 0.01,
    accumulate: int = 1,
    **options: Any,
) -> Any:
    """Return an optimizer that clips gradients and accumulates those of several steps.

    Args:
        name: one of `OPTIMIZERS`.
        rate: the learning rate, or a schedule.
        model: whose layers say which axes adaptive clipping takes the norms over.
        clipping: one of `CLIPPINGS`.
        clip: λ of adaptive clipping.
        accumulate: steps whose gradients make one update.
        options: of Keras' optimizers, such as ``weight_decay``.
    """
    if clipping == "global_norm":
        options["global_clipnorm"] = GLOBAL_NORM
    make = partial(OPTIMIZERS[name], rate, **options)
    more: dict[str, Any] = {"gradient_accumulation_steps": accumulate} if accumulate > 1 else {}
    if clipping == "adaptive":
        from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping, unit_axes

        axes = unit_axes(model)
        return AdaptiveGradientClipping(make(), (HEAD,), clipping=clip, axes=axes, **more)
    return make(**more)
