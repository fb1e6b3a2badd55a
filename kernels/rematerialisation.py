"""Recompute activations in the backward pass, segment by segment.

Source: T. Chen, B. Xu, C. Zhang, C. Guestrin, "Training Deep Nets with Sublinear Memory Cost",
2016, https://arxiv.org/abs/1604.06174, section 4.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import keras
from keras import ops

from keras_ab.kernels.ordering import zero_after
from keras_ab.kernels.plain_tensor import plain_tensor
from keras_ab.kernels.require import require

Layer = TypeVar("Layer")


def segmented(layers: Sequence[Layer], segments: int | None = None) -> list[list[Layer]]:
    """Split a chain of n layers into k consecutive segments whose lengths differ by at most 1.

    Kept are k boundaries and one segment's inside, k + n/k activations for layers of equal size,
    which k = √n makes smallest: 2 √n.

    Args:
        layers: The chain.
        segments: k, at most n; ⌈√n⌉ where it is None.
    """
    n = len(layers)
    k = math.isqrt(n - 1) + 1 if segments is None else segments
    ends = [n * i // k for i in range(k + 1)]
    return [list(layers[a:b]) for a, b in pairwise(ends)]


@keras.saving.register_keras_serializable(package="keras_ab")
class RematerialisedChain(keras.layers.Layer):
    """Run a chain of layers, and keep in training only what goes between its segments.

    Each segment runs as a pure function of its input, its weights and its state (moving statistics,
    seeds). The backward pass runs it again from the same three. So Dropout draws the same mask, and
    moving statistics, assigned outside that function, are updated once. ``tf.recompute_grad``
    around a layer does neither.

    Backends: TensorFlow (eager, ``tf.function``, jit), JAX (``jax.checkpoint``) and PyTorch
    (``torch.utils.checkpoint``). Gradients of gradients are not supported on TensorFlow.

    Args:
        layers: The chain; each layer takes one tensor and returns one.
        segments: k; ⌈√n⌉ where it is None.
        **options: Further arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: When the chain is empty, k is not between 1 and n, or a layer adds a loss for
            its activations, which a pure function cannot.

    Source: Chen et al., 2016, https://arxiv.org/abs/1604.06174, section 4.3.
    """

    def __init__(self, layers: Sequence[Any], segments: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        layers = list(layers)
        require(len(layers) > 0, "The chain must have a layer.", layers, "Pass at least one.")
        require(
            segments is None or (isinstance(segments, int) and 1 <= segments <= len(layers)),
            f"segments must be a whole number from 1 to the {len(layers)} layers.",
            segments,
            "Leave it out for √n.",
        )
        for layer in layers:
            require(
                getattr(layer, "activity_regularizer", None) is None,
                "A layer that is recomputed must add no loss for its activations.",
                layer,
                "Remove its activity_regularizer.",
            )
        self.segments = segments
        self.parts = [
            keras.Sequential(part, name=f"segment_{i}")
            for i, part in enumerate(segmented(layers, segments))
        ]

    @property
    def chain(self) -> list[Any]:
        """The layers in order."""
        return [layer for part in self.parts for layer in part.layers]

    def build(self, input_shape: tuple) -> None:
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        for part in self.parts:
            inputs = self._run(part, inputs) if training else part(inputs, training=training)
        return inputs

    def _run(self, part: Any, inputs: Any) -> Any:
        """Run one segment so that it is recomputed, and update its state once."""
        state = part.non_trainable_variables
        before = [ops.copy(_read(v)) for v in state]
        weights = [_read(v) for v in part.trainable_variables]

        def pure(x: Any, *weights: Any) -> list[Any]:
            outputs, after = part.stateless_call(list(weights), before, x, training=True)
            return [outputs, *after]

        outputs, *after = _recomputed(pure)(inputs, *weights)
        for variable, value in zip(state, after, strict=True):
            variable.assign(ops.stop_gradient(value))
        return outputs

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        for part in self.parts:
            input_shape = part.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.chain]
        return {**super().get_config(), "layers": layers, "segments": self.segments}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def _read(variable: Any) -> Any:
    """Return a variable's value in its own dtype, whatever dtype the layer computes in."""
    with keras.src.backend.AutocastScope(None):
        return plain_tensor(variable)


def _recomputed(pure: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Return a function that gives the same results and keeps only its arguments.

    Args:
        pure: Function of tensors to tensors, without side effects.

    Raises:
        NotImplementedError: On a backend that has no way to recompute.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return _recomputed_on_tensorflow(pure)
    if backend == "jax":
        import jax

        return jax.checkpoint(pure)
    if backend == "torch":
        from torch.utils.checkpoint import checkpoint

        return lambda *tensors: checkpoint(pure, *tensors, use_reentrant=False)
    raise NotImplementedError(
        "Recomputing needs a backend with gradients. "
        f"Received: {backend!r}. Train on TensorFlow, JAX or PyTorch."
    )


def _recomputed_on_tensorflow(pure: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    import tensorflow as tf

    @tf.custom_gradient
    def recomputed(x: Any, *weights: Any) -> Any:
        def backward(upstream: Any, *_: Any) -> list[Any]:
            delayed = x + tf.cast(zero_after(upstream), x.dtype)
            with tf.GradientTape() as tape:
                tape.watch([t for t in (delayed, *weights) if t.dtype.is_floating])
                outputs = pure(delayed, *weights)[0]
            return tape.gradient(outputs, [delayed, *weights], upstream)

        return pure(x, *weights), backward

    return recomputed
