"""Batch normalisation with one standard deviation for all channels.

Source: C. Luo, J. Zhan, L. Wang, W. Gao, "Extended Batch Normalization", 2020,
https://arxiv.org/abs/2003.05569.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between

DEVIATIONS = ("tensor_mean", "channel_means")


class Moments(NamedTuple):
    """The statistics that one batch is normalised with."""

    mean: Any  # (channels,)
    variance: Any  # ()


def reference_moments(x: np.ndarray, deviations: str = "tensor_mean") -> Moments:
    """Compute the mean of each channel and the variance of the whole batch.

        μ_c = mean over (N, H, W) of x
        σ²  = mean over (N, C, H, W) of (x - μ)²     μ = mean of μ_c   (tensor_mean)
        σ²  = mean over (N, C, H, W) of (x - μ_c)²                     (channel_means)

    Args:
        x: ``(..., channels)``.
        deviations: What the deviations are taken from, one of ``DEVIATIONS``.
    """
    x = np.asarray(x, np.float64)
    mean = x.reshape(-1, x.shape[-1]).mean(axis=0)
    centre = mean if deviations == "channel_means" else x.mean()
    return Moments(mean, np.mean((x - centre) ** 2))


@keras.saving.register_keras_serializable(package="keras_ab")
class ExtendedBatchNormalization(keras.layers.Layer):
    """Normalise each channel by its own mean and by one standard deviation for all channels.

        y = γ_c (x - μ_c) / √(σ² + ε) + β_c        μ_c, σ² as in ``reference_moments``

    In inference μ_c and σ² are moving averages, m ← momentum · m + (1 - momentum) · batch.
    Statistics and normalisation are computed in float32 (float64 for float64 inputs).

    **These are two layers, and which one is the paper's is not established**: its body was not at
    hand, and its abstract says no more than that the standard deviation is computed "along the
    (N, C, H, W) dimensions". ``tensor_mean``, the default, takes that at its word: the variance of
    all elements about their common mean. ``channel_means`` is the mean of the channels' variances,
    as in the blog post that recommends the layer and in ``native.batch_statistics``. The first
    exceeds the second by the variance of the channel means; where these are equal the two are one.

    Args:
        axis: The channel axis.
        momentum: Weight of the old moving statistics.
        epsilon: ε.
        center: Whether there is a β.
        scale: Whether there is a γ.
        deviations: ``"tensor_mean"`` or ``"channel_means"``.
        synchronized: Whether the statistics are those of all replicas' batches together, under
            ``tf.distribute``. Otherwise each replica normalises by its own batch, as
            ``BatchNormalization`` does, and the moving statistics are the replicas' mean.
        **options: Further arguments of ``keras.layers.Layer``.

    Raises:
        ValueError: When an argument is out of its range, or ``synchronized`` is asked of a backend
            other than TensorFlow.

    Source: Luo et al., 2020, https://arxiv.org/abs/2003.05569.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        deviations: str = "tensor_mean",
        synchronized: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axis
        self.momentum = require_between("momentum", momentum, 0.0, 1.0)
        self.epsilon = require_between("epsilon", epsilon, 0.0, low_included=False)
        self.center = center
        self.scale = scale
        require(
            deviations in DEVIATIONS,
            f"deviations must be one of {DEVIATIONS}.",
            deviations,
            "Pass 'tensor_mean' for the paper's abstract at its word.",
        )
        self.deviations = deviations
        require(
            not synchronized or keras.backend.backend() == "tensorflow",
            "synchronized must be False on this backend.",
            (synchronized, keras.backend.backend()),
            "Pass synchronized=False, or train on the TensorFlow backend.",
        )
        self.synchronized = synchronized

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[self.axis]
        require(
            channels is not None,
            "The channel axis must have a known size.",
            input_shape,
            "Pass an input with that size, or another axis.",
        )
        trained = {"shape": (channels,), "autocast": False}
        moving = {"trainable": False, "autocast": False, "aggregation": "mean"}
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **trained)
        if self.center:
            self.beta = self.add_weight(name="beta", initializer="zeros", **trained)
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=(channels,), initializer="zeros", **moving
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=(), initializer="ones", **moving
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        dtype = accumulation_dtype(keras.backend.standardize_dtype(inputs.dtype))
        x = ops.cast(inputs, dtype)
        if training and self.trainable:
            moments = self._batch_moments(x)
            self._update(self.moving_mean, moments.mean)
            self._update(self.moving_variance, moments.variance)
        else:
            moving = self.moving_mean, self.moving_variance
            moments = Moments(*[ops.cast(m, dtype) for m in moving])
        outputs = x - self._along_channels(moments.mean, x)
        outputs = outputs * ops.rsqrt(moments.variance + self.epsilon)
        if self.scale:
            outputs = outputs * self._along_channels(ops.cast(self.gamma, dtype), x)
        if self.center:
            outputs = outputs + self._along_channels(ops.cast(self.beta, dtype), x)
        return ops.cast(outputs, self.compute_dtype)

    def _batch_moments(self, x: Any) -> Moments:
        """Pool the channels' variances by the law of total variance, exact for equal counts."""
        channel = self.axis % len(x.shape)
        others = [axis for axis in range(len(x.shape)) if axis != channel]
        mean, variances = ops.moments(x, axes=others, synchronized=self.synchronized)
        variance = ops.mean(variances)
        if self.deviations == "tensor_mean":
            variance = variance + ops.var(mean)
        return Moments(mean, variance)

    def _update(self, moving: Any, batch: Any) -> None:
        old = ops.cast(moving, batch.dtype)
        moving.assign(self.momentum * old + (1.0 - self.momentum) * batch)

    def _along_channels(self, values: Any, x: Any) -> Any:
        shape = [1] * len(x.shape)
        shape[self.axis] = -1
        return ops.reshape(values, shape)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = {
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "deviations": self.deviations,
            "synchronized": self.synchronized,
        }
        return {**super().get_config(), **own}
