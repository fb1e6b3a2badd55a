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
    around a layer does neither. Losses that layers add and masks are results of it like any other.

    Backends: TensorFlow (eager, ``tf.function``, jit), JAX (``jax.checkpoint``) and PyTorch
    (``torch.utils.checkpoint``). Gradients of gradients are not supported on TensorFlow.

    Args:
        layers: The chain; each layer takes one tensor and returns one.
        segments: k; ⌈√n⌉ where it is None.
        **options: Further arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: When the chain is empty, or k is not between 1 and n.

    Source: Chen et al., 2016, https://arxiv.org/abs/1604.06174, section 4.3.
    """

    def __init__(self, layers: Sequence[Any], segments: int | None = None, **options: Any) -> None:
        super().__init__(autocast=False, **options)  # layers cast what they need, each by its own
        self.supports_masking = True
        layers = list(layers)
        require(len(layers) > 0, "The chain must have a layer.", layers, "Pass at least one.")
        require(
            segments is None or (isinstance(segments, int) and 1 <= segments <= len(layers)),
            f"segments must be a whole number from 1 to the {len(layers)} layers.",
            segments,
            "Leave it out for √n.",
        )
        self.segments = segments
        parts = enumerate(segmented(layers, segments))
        self.parts = [_Segment(part, name=f"segment_{i}") for i, part in parts]

    @property
    def chain(self) -> list[Any]:
        """The layers in order."""
        return [layer for part in self.parts for layer in part.layers]

    def build(self, input_shape: tuple) -> None:
        x = keras.KerasTensor(input_shape, self.chain[0].compute_dtype)
        for part in self.parts:
            x = part(x)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        for part in self.parts:
            inputs = self._run(part, inputs) if training else part(inputs, training=training)
        return inputs

    def compute_mask(self, *_: Any) -> None:
        """Leave the mask to the last layer."""

    def _run(self, part: Any, inputs: Any) -> Any:
        """Run one segment so that it is recomputed, and update its state once."""
        state = part.non_trainable_variables
        before = [ops.copy(_read(v)) for v in state]
        weights = [_read(v) for v in part.trainable_variables]
        pure = _Pure(part, before, keras.src.backend.get_keras_mask(inputs))
        outputs, *others = _recomputed(pure)(inputs, *weights)
        for variable in reversed(state):
            variable.assign(ops.stop_gradient(others.pop()))
        for _ in range(pure.losses):
            self.add_loss(others.pop(0))
        for mask in others:
            keras.src.backend.set_keras_mask(outputs, mask)
        return outputs

    def get_config(self) -> dict[str, Any]:
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.chain]
        return {**super().get_config(), "layers": layers, "segments": self.segments}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


class _Segment(keras.layers.Layer):
    """Some layers in a row, each called as it would be without this one around it."""

    def __init__(self, layers: Sequence[Any], name: str) -> None:
        super().__init__(name=name, autocast=False)
        self.supports_masking = True
        self.layers = list(layers)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # noqa: ARG002 - it is theirs
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs

    def compute_mask(self, *_: Any) -> None:
        """Leave the mask to the last layer."""


class _Pure:
    """A segment as a function of its input and weights, without side effects.

    It gives the outputs, the losses that layers add, their mask if they have one, and the state.
    """

    def __init__(self, part: Any, before: list[Any], mask: Any) -> None:
        self.part, self.before, self.mask = part, before, mask
        self.losses = 0  # known after a run

    def __call__(self, x: Any, *weights: Any) -> list[Any]:
        state = self.part.non_trainable_variables
        variables = [*self.part.trainable_variables, *state]
        if self.mask is not None:
            keras.src.backend.set_keras_mask(x, self.mask)
        scope = keras.StatelessScope(collect_losses=True)
        for update in zip(variables, [*weights, *self.before], strict=True):
            scope.add_update(update)  # as a mapping, they would be cast to what a layer computes in
        with scope:
            outputs = self.part(x, training=True)
        self.losses = len(scope.losses)
        mask = keras.src.backend.get_keras_mask(outputs)
        after = [scope.get_current_value(v) for v in state]
        return [outputs, *scope.losses, *([] if mask is None else [mask]), *after]


def _read(variable: Any) -> Any:
    """Return a variable's value in its own dtype, whatever dtype the layer computes in."""
    with keras.src.backend.AutocastScope(None):
        return plain_tensor(variable)


def _recomputed(pure: _Pure) -> Callable[..., list[Any]]:
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


def _recomputed_on_tensorflow(pure: _Pure) -> Callable[..., list[Any]]:
    import tensorflow as tf

    @tf.custom_gradient
    def recomputed(x: Any, *weights: Any) -> Any:
        def backward(*upstream: Any) -> list[Any]:
            delayed = x + tf.cast(zero_after(upstream[0]), x.dtype)
            differentiable = 1 + pure.losses
            with tf.GradientTape() as tape:
                tape.watch([t for t in (delayed, *weights) if t.dtype.is_floating])
                results = pure(delayed, *weights)[:differentiable]
            return tape.gradient(results, [delayed, *weights], [*upstream[:differentiable]])

        return pure(x, *weights), backward

    return recomputed
