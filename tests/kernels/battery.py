"""Everything that `kernels/` offers to a training, and the situations that Keras can put it in.

Each offer trains in each situation as its plain form does, or is refused with a reason.
`python -m tests.kernels.battery` prints the table of what is refused, which README.md shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_ab import kernels
from keras_ab.kernels import adafactor, long_tail_losses, sm3
from keras_ab.kernels.adaptive_gradient_clipping import AdaptiveGradientClipping, unit_axes
from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D
from keras_ab.kernels.attention_2d import Attention2D
from keras_ab.kernels.extended_batch_norm import ExtendedBatchNormalization
from keras_ab.kernels.native import adafactor as native_adafactor
from keras_ab.kernels.native import adam as native_adam
from keras_ab.kernels.native import adaptive_clip as native_clip
from keras_ab.kernels.native import cross_entropy as native_cross_entropy
from keras_ab.kernels.native import sm3 as native_sm3
from keras_ab.kernels.rematerialisation import RematerialisedChain
from keras_ab.kernels.weight_standardization import WSConv2D

CLASSES = 300  # more than bfloat16 counts up to


@dataclass(frozen=True)
class Situation:
    """How Keras runs the training; the default is a plain one."""

    fit: dict[str, Any] = field(default_factory=lambda: {"jit_compile": False})
    optimizer: dict[str, Any] = field(default_factory=dict)
    model: str = "images"
    policy: str = "float32"
    labels: str = "int32"
    weighted: bool = False
    reloaded: bool = False


SITUATIONS = {
    "plain": Situation(),
    "eager": Situation(fit={"run_eagerly": True}),
    "jit": Situation(fit={"jit_compile": True}),
    "steps_per_execution": Situation(fit={"jit_compile": False, "steps_per_execution": 2}),
    "mixed_float16, scaled loss": Situation(policy="mixed_float16"),
    "mixed_bfloat16": Situation(policy="mixed_bfloat16"),
    "weights in bfloat16": Situation(policy="bfloat16"),
    "saved and loaded": Situation(reloaded=True),
}
FOR_LOSSES = {
    "masks": Situation(model="masked"),
    "sample weights": Situation(weighted=True),
    "labels in float32": Situation(labels="float32"),
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
EVERY = SITUATIONS | FOR_LOSSES | FOR_OPTIMIZERS


def _clipped(clip: Any, model: Any, **options: Any) -> Any:
    return clip(keras.optimizers.SGD(0.1), ("head",), axes=unit_axes(model), **options)


def _sgd(_: Any, **options: Any) -> Any:
    return keras.optimizers.SGD(0.1, **options)


def _cross_entropy() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclass(frozen=True)
class Offer:
    """What is offered: an optimizer for a model, a loss, or a layer in it; the rest is Keras'."""

    optimizer: Callable[..., Any] = _sgd
    loss: Callable[[], Any] = _cross_entropy
    layer: Callable[[], Any] | None = None

    def situations(self) -> list[str]:
        """Return those that concern it."""
        if self.layer:
            return [*SITUATIONS]
        return [*SITUATIONS, *(FOR_LOSSES if self.optimizer is _sgd else FOR_OPTIMIZERS)]


_counts = [1] * CLASSES
OFFERS = {
    "native.Adam": Offer(lambda _, **o: native_adam.Adam(0.01, **o)),
    "native.SM3": Offer(lambda _, **o: native_sm3.SM3(0.1, 0.9, **o)),
    "native.Adafactor": Offer(lambda _, **o: native_adafactor.Adafactor(0.1, **o)),
    "native.AdaptiveClip": Offer(partial(_clipped, native_clip.AdaptiveClip)),
    "SM3": Offer(lambda _, **o: sm3.SM3(0.1, variant="I", **o)),
    "Adafactor": Offer(lambda _, **o: adafactor.Adafactor(0.1, 0.9, **o)),
    "AdaptiveGradientClipping": Offer(partial(_clipped, AdaptiveGradientClipping)),
    "native.SparseCategoricalCrossentropy": Offer(
        loss=native_cross_entropy.SparseCategoricalCrossentropy
    ),
    "FocalLoss": Offer(loss=partial(long_tail_losses.FocalLoss, 0.0)),
    "ClassBalancedLoss": Offer(loss=partial(long_tail_losses.ClassBalancedLoss, _counts)),
    "LogitAdjustedLoss": Offer(loss=partial(long_tail_losses.LogitAdjustedLoss, _counts)),
    "LDAMLoss": Offer(loss=partial(long_tail_losses.LDAMLoss, _counts, 0.0, 1.0)),
    "WSConv2D": Offer(layer=lambda: WSConv2D(4, 3)),
    "ExtendedBatchNormalization": Offer(layer=ExtendedBatchNormalization),
    "AsymmetricConvolution2D": Offer(layer=lambda: AsymmetricConvolution2D(4)),
    "Attention2D": Offer(layer=lambda: Attention2D(8)),
    "RematerialisedChain": Offer(
        layer=lambda: RematerialisedChain([keras.layers.Conv2D(4, 3), keras.layers.ReLU()])
    ),
}
"""Losses stand at the settings where they are cross-entropy, which Keras has."""

INNER = "It belongs to the step, which the optimizer inside takes: give it to that."
REFUSED = {
    (offer, situation): INNER
    for offer in ("native.AdaptiveClip", "AdaptiveGradientClipping")
    for situation in ("use_ema", "clipnorm", "global_clipnorm", "clipvalue", "weight_decay")
}


def model_of(offer: Offer, situation: Situation) -> Any:
    """Return the model, built from a seed."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    if situation.model == "images":
        inputs = keras.Input((6, 6, 2))
        x = layers.Conv2D(4, 3, padding="same")(inputs)
        x = layers.Flatten()(offer.layer()(x) if offer.layer else x)
    else:
        masked = situation.model == "masked"
        inputs = keras.Input((5,), dtype="int32")
        x = _embedded(inputs, situation.model)
        x = layers.SimpleRNN(4, return_sequences=masked)(x)
    head = layers.Dense(CLASSES, name="head", dtype=_head(situation.policy))(x)
    return keras.Model(inputs, head)


def _embedded(tokens: Any, model: str) -> Any:
    if model != "one-hot":
        return keras.layers.Embedding(7, 4, mask_zero=model == "masked")(tokens)
    start = keras.initializers.get("uniform")  # an embedding's own
    dense = keras.layers.Dense(4, use_bias=False, kernel_initializer=start)
    return dense(keras.ops.one_hot(tokens, 7))


def _head(policy: str) -> str:
    return policy if policy == "bfloat16" else "float32"


def data(situation: Situation) -> dict[str, Any]:
    """Return what `fit` takes: two batches and a smaller one, labels beyond bfloat16 among them."""
    rng = np.random.default_rng(0)
    if situation.model == "images":
        x, positions = rng.normal(size=(20, 6, 6, 2)).astype("float32"), (20,)
    else:
        x = rng.integers(0, 3, (20, 5), dtype=np.int32)  # few words, so that each comes again
        x[:, 0] = 1
        positions = x.shape if situation.model == "masked" else (20,)
    y = rng.integers(CLASSES - 10, CLASSES, positions).astype(situation.labels)
    weights = rng.uniform(0.1, 2.0, 20) if situation.weighted else None
    return {"x": x, "y": y, "sample_weight": weights}


def trained(offer: Offer, situation: Situation, mode: Any, path: Any) -> dict[str, Any]:
    """Train and return the losses and the weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(situation.policy)
    try:
        with kernels.use(mode):
            model = model_of(offer, situation)
            optimizer = offer.optimizer(model, **situation.optimizer)
            model.compile(optimizer, offer.loss(), **situation.fit)
            return _fit(model, situation, path)
    finally:
        keras.config.set_dtype_policy(before)


def _fit(model: Any, situation: Situation, path: Any) -> dict[str, Any]:
    options = data(situation) | {"batch_size": 8, "shuffle": False, "verbose": 0}
    losses = model.fit(**options, epochs=2).history["loss"]
    if situation.reloaded:
        model.save(path)
        model = keras.models.load_model(path)
    losses += model.fit(**options, epochs=2).history["loss"]
    weights = [np.asarray(keras.ops.cast(v, "float32")) for v in model.trainable_variables]
    return {"losses": np.array(losses), "weights": weights}


EXPECTED: dict[tuple[Any, ...], dict[str, Any]] = {}


def expected(offer: Offer, situation: Situation) -> dict[str, Any]:
    """Return what the offer is held against: its plain form, step by step, under Keras' loss.

    An embedding, whose gradient comes as rows, is held against the product with one-hot words.
    """
    situation = replace(situation, fit={"run_eagerly": True}, labels="int32", reloaded=False)
    if situation.model == "tokens":
        situation = replace(situation, model="one-hot")
    key = (offer.optimizer, offer.layer, repr(situation))
    if key not in EXPECTED:
        EXPECTED[key] = trained(replace(offer, loss=_cross_entropy), situation, "reference", None)
    return EXPECTED[key]


def table() -> str:
    """Return what is refused, in Markdown."""
    rows: dict[tuple[str, str], list[str]] = {}
    for (offer, situation), reason in REFUSED.items():
        rows.setdefault((situation, reason), []).append(f"`{offer}`")
    lines = [f"| {', '.join(who)} | {what} | {why} |" for (what, why), who in rows.items()]
    return "\n".join(["| what | refuses | because |", "|---|---|---|", *lines])


if __name__ == "__main__":
    print(table())
