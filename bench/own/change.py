"""How a subject is trained other than its file says: the same recipe with one field changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """What is other than the subject's file says; as it comes, nothing.

    Args:
        jit: whether the backend's compiler compiles the step.
        eager: whether it runs operation by operation.
        dtype_policy: Keras' policy while the model is made.
        steps_per_execution: batches that one call of `fit`'s function trains on.
        labels: ``sparse``: class indices in place of one-hot rows, loss and metrics to match.
        inputs: dtype in which inputs are stored.
        pipeline: ``prefetch``; ``cache``, filled; ``one_batch``, the same batch over and over.
        optimizer: a name of `optimizers.OPTIMIZERS`, at the subject's learning rate.
        loss: ``native``: our fused kernel in place of Keras' sparse cross-entropy.
        clip_norm: largest norm of the whole gradient.
        recompute: a mode of Keras' `RematScope` while the model is made.
        accumulate: parts into which a batch is cut, their gradients accumulated.
        larger: how many times as large a batch is.
    """

    jit: bool | None = None
    eager: bool | None = None
    dtype_policy: str = ""
    steps_per_execution: int = 0
    labels: str = ""
    inputs: str = ""
    pipeline: str = ""
    optimizer: str = ""
    loss: str = ""
    clip_norm: float = 0.0
    recompute: str = ""
    accumulate: int = 1
    larger: int = 1


def together(changes: Iterable[Mapping[str, Any]]) -> Change:
    """Return several changes as one; no two of them set the same field."""
    return Change(**{name: value for change in changes for name, value in change.items()})


@dataclass(frozen=True)
class Tried:
    """What an arm of a subject's experiments does, and what a reader writes to have it."""

    change: Change = Change()
    paste: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.paste) or "as the file has it"
