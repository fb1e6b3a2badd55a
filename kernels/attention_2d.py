"""Query-key-value attention over the positions of images.

Source: H. Zhang, I. Goodfellow, D. Metaxas, A. Odena, "Self-Attention Generative Adversarial
Networks", 2018, https://arxiv.org/abs/1805.08318, section 3.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require


def reference_attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Attend from every query position to every key position.

        s_ji = ⟨q_j, k_i⟩,   β_ji = exp(s_ji) / Σ_i exp(s_ji),   o_j = Σ_i β_ji v_i

    Args:
        query: q, ``(batch, query positions, bottleneck)``.
        key: k, ``(batch, key positions, bottleneck)``.
        value: v, ``(batch, key positions, filters)``.

    Returns:
        o, ``(batch, query positions, filters)``, float64.
    """
    q, k, v = (np.asarray(a, np.float64) for a in (query, key, value))
    out = np.zeros((*q.shape[:2], v.shape[2]))
    for b, j in np.ndindex(*q.shape[:2]):
        scores = k[b] @ q[b, j]
        weights = np.exp(scores - scores.max())
        out[b, j] = (weights / weights.sum()) @ v[b]
    return out


def attend(query: Any, key: Any, value: Any) -> Any:
    """Return what ``reference_attention`` does, the softmax in float32, in the query's dtype."""
    dtype = keras.backend.standardize_dtype(query.dtype)
    scores = ops.matmul(query, ops.swapaxes(key, 1, 2))
    scores = ops.cast(scores, accumulation_dtype(dtype))
    return ops.matmul(ops.cast(ops.softmax(scores), dtype), value)


@keras.saving.register_keras_serializable(package="keras_ab")
class Attention2D(keras.layers.Layer):
    """Attend between the positions of images through 1×1 convolutions.

    q, k and v are 1×1 convolutions of the inputs, flattened over height and width, and attention
    is ``reference_attention``. With ``residual``, the output is y = g o + x with a learnt scalar g
    that starts at 0, as in the paper.

    Args:
        filters: Channels of v and of the output.
        bottleneck: Channels of q and k. The default, filters // 8, is the paper's.
        residual: Whether the query is added to the scaled output.
        **options: Further arguments of ``keras.layers.Layer``.

    Call arguments:
        query: ``(batch, height, width, channels)``.
        key: ``(batch, height, width, channels)``; the query where it is left out.
        value: As the key, which it is where it is left out.

    Returns:
        ``(batch, query height, query width, filters)``.

    Raises:
        ValueError: When an argument is out of its range, or a residual does not fit.

    Source: Zhang et al., 2018, https://arxiv.org/abs/1805.08318, section 3. The paper has one more
        1×1 convolution after the sum; it is left to the caller, as in the tips' ``Attention2D``.
    """

    def __init__(
        self, filters: int, bottleneck: int | None = None, residual: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        bottleneck = filters // 8 if bottleneck is None else bottleneck
        require(
            filters > 0 and bottleneck > 0,
            "filters and bottleneck must be positive, and filters at least 8 without a bottleneck.",
            (filters, bottleneck),
            "Pass a bottleneck.",
        )
        self.filters = filters
        self.bottleneck = bottleneck
        self.residual = residual
        self.query_projection = self._projection(bottleneck, "query")
        self.key_projection = self._projection(bottleneck, "key")
        self.value_projection = self._projection(filters, "value")

    def _projection(self, channels: int, name: str) -> Any:
        return keras.layers.Conv2D(
            channels, 1, data_format="channels_last", dtype=self.dtype_policy, name=name
        )

    def build(
        self,
        query_shape: tuple,
        key_shape: tuple | None = None,
        value_shape: tuple | None = None,
    ) -> None:
        key_shape = query_shape if key_shape is None else key_shape
        self.query_projection.build(query_shape)
        self.key_projection.build(key_shape)
        self.value_projection.build(key_shape if value_shape is None else value_shape)
        self.gain = None
        if self.residual:
            require(
                query_shape[-1] == self.filters,
                "With residual, the query must have as many channels as there are filters.",
                (query_shape[-1], self.filters),
                "Pass residual=False, or filters equal to the query's channels.",
            )
            self.gain = self.add_weight(name="gain", shape=(), initializer="zeros")

    def call(self, query: Any, key: Any = None, value: Any = None) -> Any:
        key = query if key is None else key
        value = key if value is None else value
        q = self.query_projection(query)
        k = _positions(self.key_projection(key))
        v = _positions(self.value_projection(value))
        out = ops.reshape(attend(_positions(q), k, v), (*ops.shape(q)[:3], self.filters))
        return query + self.gain * out if self.residual else out

    def compute_output_shape(self, query_shape: tuple, *_: tuple, **__: tuple) -> tuple:
        return (*query_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        own = {"filters": self.filters, "bottleneck": self.bottleneck, "residual": self.residual}
        return {**super().get_config(), **own}


def _positions(images: Any) -> Any:
    """Flatten height and width: ``(batch, height × width, channels)``."""
    batch, height, width, channels = ops.shape(images)
    return ops.reshape(images, (batch, height * width, channels))
