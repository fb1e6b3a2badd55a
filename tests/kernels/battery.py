"""Everything that `kernels/` offers to a training, and the situations that Keras can put it in.

Each offer trains in each situation as its plain form does, or is refused with a reason, which
`refusals.py` has. `test_battery.py` goes through all of it. Data echoing is no part of a training
step, and is not in it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ab import kernels
from keras_ab.kernels import adafactor, long_tail_losses, sm3
from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping, unit_axes
from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D
from keras_ab.kernels.attention_2d import Attention2D
from keras_ab.kernels.chunked_cross_entropy import ChunkedCrossEntropyHead
from keras_ab.kernels.cyclical_learning_rate import CyclicalLearningRate
from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization
from keras_ab.kernels.native import adafactor as native_adafactor
from keras_ab.kernels.native import adam as native_adam
from keras_ab.kernels.native import adaptive_clip as native_clip
from keras_ab.kernels.native import cross_entropy as native_cross_entropy
from keras_ab.kernels.native import sm3 as native_sm3
from keras_ab.kernels.rematerialisation import RematerialisedChain
from keras_ab.kernels.weight_standardization import WSConv2D
from tests.kernels.battery_parts import Averaged, Batches, Normalised, Standardised

CLASSES = 300  # more than bfloat16 counts up to
ON_JAX = keras.backend.backend() == "jax"
USUAL = {"jit_compile": ON_JAX}
PLAIN = USUAL if ON_JAX else {"run_eagerly": True}
"""How the plain form runs; on JAX each operation of an eager step is compiled by itself."""


@dataclass(frozen=True)
class Situation:
    """How Keras runs the training; the default is a plain one."""

    fit: dict[str, Any] = field(default_factory=lambda: USUAL)
    optimizer: dict[str, Any] = field(default_factory=dict)
    model: str = "images"
    policy: str = "float32"
    labels: str = "int32"
    weighted: bool = False
    reloaded: bool = False
    exported: bool = False
    replicas: int = 1


SITUATIONS = {
    "plain": Situation(),
    "eager": Situation(fit={"run_eagerly": True}),
    "jit": Situation(fit={"jit_compile": True}),
    "steps_per_execution": Situation(fit={**USUAL, "steps_per_execution": 2}),
    "mixed_float16, scaled loss": Situation(policy="mixed_float16"),
    "mixed_bfloat16": Situation(policy="mixed_bfloat16"),
    "weights in bfloat16": Situation(policy="bfloat16"),
    "saved and loaded": Situation(reloaded=True),
    "exported": Situation(exported=True),
    "mirrored replicas": Situation(replicas=2),
}
FOR_LOSSES = {
    "masks": Situation(model="masked"),
    "sample weights": Situation(weighted=True),
    "labels in float32": Situation(labels="float32"),
    "labels in float32 under mixed_bfloat16": Situation(labels="float32", policy="mixed_bfloat16"),
    "labels in float16": Situation(labels="float16"),
    "labels in int64": Situation(labels="int64"),
    "labels in uint16": Situation(labels="uint16"),
}
FOR_OPTIMIZERS = {
    "sparse gradients": Situation(model="tokens"),
    "use_ema": Situation(optimizer={"use_ema": True, "ema_momentum": 0.5}),
    "gradient_accumulation_steps": Situation(optimizer={"gradient_accumulation_steps": 2}),
    "clipnorm": Situation(optimizer={"clipnorm": 0.1}),
    "global_clipnorm": Situation(optimizer={"global_clipnorm": 0.1}),
    "clipvalue": Situation(optimizer={"clipvalue": 0.01}),
    "weight_decay": Situation(optimizer={"weight_decay": 0.1}),
}
FOR_CLIPPED_ROWS = {
    f"sparse gradients, {name}": replace(FOR_OPTIMIZERS[name], model="tokens")
    for name in ("clipnorm", "global_clipnorm", "clipvalue")
}
EVERY = SITUATIONS | FOR_LOSSES | FOR_OPTIMIZERS | FOR_CLIPPED_ROWS


def _clipped(clip: Any, model: Any, **options: Any) -> Any:
    return clip(keras.optimizers.SGD(0.1), ("head",), axes=unit_axes(model), **options)


def _sgd(_: Any, **options: Any) -> Any:
    return keras.optimizers.SGD(0.1, **options)


def _sgd_in_cycles(_: Any, **options: Any) -> Any:
    return keras.optimizers.SGD(CyclicalLearningRate(0.05, 0.2, 3), **options)


def _cross_entropy() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclass(frozen=True)
class Offer:
    """What is offered; the rest of the training is Keras'.

    Args:
        optimizer: for a model.
        loss: of logits.
        layer: on images.
        head: which takes labels too, and gives losses.
        by_batch: whether what it does depends on the batch as a whole, of which a replica sees a
            part.
        plain: what it is held against where that is another model.
        sums_rows: whether it sums rows that came twice before it clips, as Keras' own do not.
    """

    optimizer: Callable[..., Any] = _sgd
    loss: Callable[[], Any] = _cross_entropy
    layer: Callable[[], Any] | None = None
    head: Callable[[Any], Any] | None = None
    by_batch: bool = False
    plain: "Offer | None" = None
    sums_rows: bool = False

    def situations(self) -> list[str]:
        """Return those that concern it."""
        if self.layer:
            return [*SITUATIONS]
        clipped = FOR_CLIPPED_ROWS if self.sums_rows else {}
        more = FOR_LOSSES if self.optimizer is _sgd else FOR_OPTIMIZERS | clipped
        return [*SITUATIONS, *more]


def _convolutions() -> list[Any]:
    return [keras.layers.Conv2D(4, 3), keras.layers.ReLU()]


_counts = [1] * CLASSES
OFFERS = {
    "native.Adam": Offer(lambda _, **o: native_adam.Adam(0.01, **o), sums_rows=True),
    "native.SM3": Offer(lambda _, **o: native_sm3.SM3(0.1, 0.9, **o), sums_rows=True),
    "native.Adafactor": Offer(lambda _, **o: native_adafactor.Adafactor(0.1, **o), sums_rows=True),
    "native.AdaptiveClip": Offer(partial(_clipped, native_clip.AdaptiveClip)),
    "SM3": Offer(lambda _, **o: sm3.SM3(0.1, variant="I", **o), sums_rows=True),
    "Adafactor": Offer(lambda _, **o: adafactor.Adafactor(0.1, 0.9, **o), sums_rows=True),
    "AdaptiveGradientClipping": Offer(partial(_clipped, AdaptiveGradientClipping)),
    "CyclicalLearningRate": Offer(_sgd_in_cycles),
    "native.SparseCategoricalCrossentropy": Offer(
        loss=native_cross_entropy.SparseCategoricalCrossentropy
    ),
    "FocalLoss": Offer(loss=partial(long_tail_losses.FocalLoss, 0.0)),
    "ClassBalancedLoss": Offer(loss=partial(long_tail_losses.ClassBalancedLoss, _counts)),
    "LogitAdjustedLoss": Offer(loss=partial(long_tail_losses.LogitAdjustedLoss, _counts)),
    "LDAMLoss": Offer(loss=partial(long_tail_losses.LDAMLoss, _counts, 0.0, 1.0)),
    "ChunkedCrossEntropyHead": Offer(
        loss=Averaged,
        head=lambda dtype: ChunkedCrossEntropyHead(CLASSES, chunk=128, name="head", dtype=dtype),
        plain=Offer(),
    ),
    "native.standardize": Offer(layer=Standardised),
    "native.batch_statistics": Offer(layer=Normalised, by_batch=True),
    "WSConv2D": Offer(layer=lambda: WSConv2D(4, 3)),
    "ExtendedBatchNormalization": Offer(layer=ExtendedBatchNormalization, by_batch=True),
    "AsymmetricConvolution2D": Offer(layer=lambda: AsymmetricConvolution2D(4), by_batch=True),
    "Attention2D": Offer(layer=lambda: Attention2D(8)),
    "RematerialisedChain": Offer(
        layer=lambda: RematerialisedChain(_convolutions()),
        plain=Offer(layer=lambda: keras.Sequential(_convolutions())),
    ),
}
"""Losses stand at the settings where they are cross-entropy, which Keras has."""


def pairs() -> list[tuple[str, str]]:
    """Return each offer's name with each of its situations."""
    return [(name, where) for name, offer in OFFERS.items() for where in offer.situations()]


def model_of(offer: Offer, situation: Situation) -> Any:
    """Return the model, built from a seed."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    if situation.model == "images":
        inputs = keras.Input((6, 6, 2), name="inputs")
        x = layers.Conv2D(4, 3, padding="same")(inputs)
        x = layers.Flatten()(offer.layer()(x) if offer.layer else x)
    else:
        masked = situation.model == "masked"
        inputs = keras.Input((5,), dtype="int32", name="inputs")
        x = _embedded(inputs, situation.model)
        x = layers.SimpleRNN(4, return_sequences=masked)(x)
    dtype = situation.policy if situation.policy == "bfloat16" else "float32"
    if offer.head is None:
        return keras.Model(inputs, layers.Dense(CLASSES, name="head", dtype=dtype)(x))
    labels = keras.Input(x.shape[1:-1], dtype=situation.labels, name="labels")
    return keras.Model({"inputs": inputs, "labels": labels}, offer.head(dtype)(x, labels))


def _embedded(tokens: Any, model: str) -> Any:
    if model != "one-hot":
        return keras.layers.Embedding(7, 4, mask_zero=model == "masked")(tokens)
    start = keras.initializers.get("uniform")  # an embedding's own
    dense = keras.layers.Dense(4, use_bias=False, kernel_initializer=start)
    return dense(keras.ops.one_hot(tokens, 7))


def data(offer: Offer, situation: Situation) -> Batches:
    """Return two batches and a smaller one, labels beyond bfloat16 among them."""
    rng = np.random.default_rng(0)
    if situation.model == "images":
        x, positions = rng.normal(size=(20, 6, 6, 2)).astype("float32"), (20,)
    else:
        x = rng.integers(0, 3, (20, 5), dtype=np.int32)  # few words, so that each comes again
        x[:, 0] = 1
        positions = x.shape if situation.model == "masked" else (20,)
    y = rng.integers(CLASSES - 10, CLASSES, positions).astype(situation.labels)
    weights = [rng.uniform(0.1, 2.0, 20).astype("float32")] if situation.weighted else []
    return Batches([{"inputs": x, "labels": y} if offer.head else x, y, *weights], 8)


def trained(offer: Offer, situation: Situation, mode: Any, path: Path) -> dict[str, Any]:
    """Train; return the losses, the weights and, of logits, what the model then predicts."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(situation.policy)
    try:
        with kernels.use(mode), _scope(situation.replicas):
            model = model_of(offer, situation)
            optimizer = offer.optimizer(model, **situation.optimizer)
            model.compile(optimizer, offer.loss(), **situation.fit)
            return _fit(model, data(offer, situation), situation, path)
    finally:
        keras.config.set_dtype_policy(before)


def _scope(replicas: int) -> Any:
    return nullcontext() if replicas == 1 else _mirrored(replicas).scope()


@cache
def _mirrored(replicas: int) -> Any:
    """Return one strategy for all: a second one's collectives are taken for the first one's."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])


def _fit(model: Any, batches: Batches, situation: Situation, path: Path) -> dict[str, Any]:
    options: dict[str, Any] = {"epochs": 2, "shuffle": False, "verbose": 0}
    losses = model.fit(batches, **options).history["loss"]
    if situation.reloaded:
        model.save(path / "model.keras")
        model = keras.models.load_model(path / "model.keras")
    losses += model.fit(batches, **options).history["loss"]
    predict = _exported(model, path / "saved") if situation.exported else model
    outputs = predict(keras.tree.map_structure(keras.ops.convert_to_tensor, batches.arrays[0]))
    return {
        "losses": np.array(losses),
        "weights": [_array(v) for v in model.trainable_variables],
        "outputs": [_array(outputs)] * (outputs.shape[-1] == CLASSES),
    }


def _array(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def _exported(model: Any, path: Path) -> Callable[[Any], Any]:
    """Export the model and return what a process that loads it would call."""
    import tensorflow as tf

    model.export(path, verbose=False)
    loaded = tf.saved_model.load(path)  # it must outlive the call, for it alone holds its variables
    return lambda x: loaded.serve(x)


EXPECTED: dict[tuple[Any, ...], dict[str, Any]] = {}


def expected(offer: Offer, situation: Situation) -> dict[str, Any]:
    """Return what the offer is held against: its plain form, under Keras' loss.

    An embedding, whose gradient comes as rows, is held against the product with one-hot words.
    """
    plain = replace(offer.plain or offer, loss=_cross_entropy)
    if not (offer.by_batch and situation.replicas > 1):
        situation = replace(situation, fit=PLAIN, replicas=1)
    situation = replace(situation, labels="int32", reloaded=False, exported=False)
    if situation.model == "tokens":
        situation = replace(situation, model="one-hot")
    key = (plain.optimizer, plain.layer, repr(situation))
    if key not in EXPECTED:
        EXPECTED[key] = trained(plain, situation, "reference", Path())
    return EXPECTED[key]


ROUNDING = {"mixed_float16": 0.02, "mixed_bfloat16": 0.05, "bfloat16": 0.05}
"""How far two ways of computing may lie apart: bfloat16 rounds by 2^-8, in each of 12 steps."""


def check_trains(name: str, where: str, path: Path, mode: Any = "native") -> None:
    """Assert that an offer trains in a situation as its plain form does."""
    offer, situation = OFFERS[name], EVERY[where]
    got, plain = trained(offer, situation, mode, path), expected(offer, situation)
    rtol = atol = ROUNDING.get(situation.policy, 1e-4)
    np.testing.assert_allclose(got["losses"], plain["losses"], rtol=rtol)
    for one, other in zip(got["weights"], plain["weights"], strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)
    for one, other in zip(got["outputs"], plain["outputs"], strict=False):
        spread = max(1.0, float(np.std(other)))  # a sum that cancels has the error of its terms
        np.testing.assert_allclose(one, other, rtol=rtol, atol=10 * atol * spread)
    assert got["losses"][-1] < got["losses"][0]
