"""A vision transformer for small images: patches, attention, MLP, LayerNorm.

Source: A. Dosovitskiy and others, "An Image is Worth 16x16 Words: Transformers for Image
Recognition at Scale", 2020, https://arxiv.org/abs/2010.11929, section 3.1.
"""

from __future__ import annotations

from typing import Any

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import image_sets
from keras_ab.bench.workloads.recipe import Recipe
from keras_ab.bench.workloads.training import Workload


def model(case: Params, recipe: Recipe) -> Any:
    """Return a stack of pre-norm encoder blocks; logits ``(batch, classes)``, float32.

    The patches' mean goes to the head, in place of the paper's class token.

    Args:
        case: ``depth`` blocks of ``width`` features and ``heads`` heads on patches of ``patch`` ×
            ``patch`` pixels; ``dropout`` (0 where it is missing); ``data``.
        recipe: not consulted; precision comes from Keras' dtype policy.
    """
    import keras

    inputs = keras.Input(image_sets.image_shape(case))
    x = _with_positions(_patches(inputs, case))
    for _ in range(int(case["depth"])):
        x = _encoder_block(x, int(case["heads"]), float(case.get("dropout", 0.0)))
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(image_sets.classes(case), dtype="float32", name="head")(x)
    return keras.Model(inputs, outputs)


def _patches(images: Any, case: Params) -> Any:
    """Return linear projections of patches, ``(batch, patches, width)``."""
    import keras

    width, patch = int(case["width"]), int(case["patch"])
    x = keras.layers.Conv2D(width, patch, strides=patch)(images)
    return keras.layers.Reshape((-1, width))(x)


def _with_positions(x: Any) -> Any:
    """Add a learnt vector to each position of ``(batch, patches, width)``."""
    import keras

    class Positions(keras.layers.Layer):
        def build(self, shape: tuple) -> None:
            self.table = self.add_weight(
                shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.02)
            )

        def call(self, inputs: Any) -> Any:
            return inputs + self.table

    return Positions()(x)


def _encoder_block(x: Any, heads: int, dropout: float) -> Any:
    """Return y + MLP(LN(y)) with y = x + attention(LN(x)); the MLP is four times as wide."""
    import keras
    from keras import layers

    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout)(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization(epsilon=1e-6)(x)
    y = layers.Dense(4 * width, activation="gelu")(y)
    y = layers.Dense(width)(y)
    if dropout:
        y = layers.Dropout(dropout)(y)
    return keras.layers.Add()([x, y])


VISION_TRANSFORMER = Workload(model, image_sets.train_data, image_sets.classes)
