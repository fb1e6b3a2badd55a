"""How a model is trained, as data: a technique is the baseline's recipe with one field replaced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.workloads.labels import LABELS
from keras_ab.bench.workloads.losses import LOSSES
from keras_ab.bench.workloads.optimizers import CLIPPINGS, OPTIMIZERS
from keras_ab.bench.workloads.schedules import SCHEDULES

NAMES: Mapping[str, Collection[str]] = {
    "labels": LABELS,
    "optimizer": OPTIMIZERS,
    "clipping": CLIPPINGS,
    "decay": ("none", "decoupled", "l2"),
    "loss": LOSSES,
    "schedule": SCHEDULES,
}
"""What the fields of a recipe that are names may be."""


@dataclass(frozen=True)
class Recipe:
    """Choices in how a model is trained.

    A technique is the baseline's recipe with one field replaced::

        BASELINE = Recipe(optimizer="sgd")
        TECHNIQUE = replace(BASELINE, dtype_policy="mixed_bfloat16")

    Args:
        labels: ``sparse_int32``, ``sparse_uint16`` or ``one_hot_float32``, as stored.
        optimizer: a name from `keras_ab.bench.workloads.optimizers.OPTIMIZERS`.
        learning_rate: of the optimizer.
        recompute: ``none``; ``each`` block or ``sqrt`` segments under `tf.recompute_grad`;
            ``chain``, our `RematerialisedChain`; or a mode of Keras' `RematScope`.
        jit: whether the backend's compiler compiles the step: XLA, or torch.compile on PyTorch;
            JAX compiles every step. ``auto`` leaves the choice to Keras.
        dtype_policy: Keras' policy for the model's layers.
        graph_rewrite: an option of `tf.config.optimizer` to switch on; empty for none.
        clipping: ``none``, ``global_norm`` or ``adaptive``.
        accumulate: parts into which a batch is cut, their gradients accumulated.
        decay: ``none``, ``decoupled`` weight decay, or ``l2`` of half as much in the loss.
        weight_decay: how much.
        steps_per_execution: batches that `fit` trains on in one call of its compiled function.
        loss: ``cross_entropy``, ``class_balanced``, ``focal`` or ``logit_adjusted``.
        schedule: ``constant``, ``triangular``, ``triangular2`` or ``cosine``; the learning rate is
            then its highest rate.
        schedule_steps: steps for which the schedule is made.
    """

    labels: str = "sparse_int32"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    recompute: str = "none"
    jit: bool | str = False
    dtype_policy: str = "float32"
    graph_rewrite: str = ""
    clipping: str = "none"
    accumulate: int = 1
    decay: str = "none"
    weight_decay: float = 0.0
    steps_per_execution: int = 1
    loss: str = "cross_entropy"
    schedule: str = "constant"
    schedule_steps: int = 0

    def __post_init__(self) -> None:
        for name, known in NAMES.items():
            if getattr(self, name) not in known:
                raise DeclarationError(
                    f"a recipe's {name} is one that there is",
                    repr(getattr(self, name)),
                    f"use one of {', '.join(known)}",
                )

    def of(self, case: Params) -> Recipe:
        """Return the recipe with what the case sets for every arm, such as its optimizer."""
        names = {field.name for field in fields(self)}
        return replace(self, **{k: v for k, v in case.items() if k in names})  # type: ignore[arg-type]
