"""Losses for classes of very different sizes.

Sources, each named again at its loss: Lin et al. 2017 (focal), Cui et al. 2019 (class-balanced),
Cao et al. 2019 (LDAM), Menon et al. 2020 (logit adjustment); surveyed by Y. Zhang et al., "Deep
Long-Tailed Learning: A Survey", 2021, https://arxiv.org/abs/2110.04596.

All take integer labels ``(batch, ...)`` and logits ``(batch, ..., classes)``, compute in float32
(float64 for a float64 loss), and give NaN for a label that is no class, in every compiler.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ab.kernels.class_labels import ClassLabelLoss, class_labels, one_a_position
from keras_ab.kernels.precision import accumulation_dtype
from keras_ab.kernels.require import require, require_between


def reference_cross_entropy(label: int, logits: np.ndarray) -> float:
    """Return -log softmax(z)_y of one example, float64."""
    z = np.asarray(logits, np.float64)
    return float(z.max() + np.log(np.sum(np.exp(z - z.max()))) - z[label])


def reference_focal(label: int, logits: np.ndarray, gamma: float) -> float:
    """Return -(1 - p)^γ log p of one example, with p = softmax(z)_y (Lin et al., equation 4)."""
    loss = reference_cross_entropy(label, logits)
    return float((-np.expm1(-loss)) ** gamma * loss)


def reference_class_weights(class_counts: Sequence[int], beta: float) -> np.ndarray:
    """Return (1 - β) / (1 - β^{n_c}), scaled to add up to the number of classes (Cui et al.)."""
    weights = np.array([(1.0 - beta) / (1.0 - beta**n) for n in class_counts])
    return weights * len(weights) / weights.sum()


def reference_logit_adjustment(
    label: int, logits: np.ndarray, class_counts: Sequence[int], tau: float
) -> float:
    """Return -log softmax(z + τ log π)_y, π the classes' shares (Menon et al., equation 10)."""
    priors = np.asarray(class_counts, np.float64) / np.sum(class_counts)
    return reference_cross_entropy(label, np.asarray(logits, np.float64) + tau * np.log(priors))


def reference_margins(class_counts: Sequence[int], max_margin: float) -> np.ndarray:
    """Return Δ_c = C / n_c^¼ with C such that the rarest class has ``max_margin`` (Cao et al.)."""
    roots = np.asarray(class_counts, np.float64) ** -0.25
    return max_margin * roots / roots.max()


def reference_ldam(
    label: int, logits: np.ndarray, class_counts: Sequence[int], max_margin: float, scale: float
) -> float:
    """Return -log softmax(s (z - Δ_y 1_y))_y (Cao et al., equation 13)."""
    z = np.array(logits, np.float64)
    z[label] -= reference_margins(class_counts, max_margin)[label]
    return reference_cross_entropy(label, scale * z)


class _LongTailLoss(ClassLabelLoss):
    """What the losses share: how the label's class is picked, and how a bad label shows."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each example.

        Args:
            y_true: Labels ``(batch, ...)``, or with a last axis of 1.
            y_pred: Logits ``(batch, ..., classes)``.
        """
        classes = y_pred.shape[-1]
        self._require_classes(classes)
        labels = class_labels(one_a_position(y_true, y_pred), classes)
        mask = ops.equal(ops.expand_dims(labels, -1), ops.arange(classes, dtype="int32"))
        loss = self._loss(mask, ops.cast(y_pred, accumulation_dtype(self.dtype)))
        return ops.where(labels >= 0, loss, float("nan"))

    def _require_classes(self, classes: int) -> None:
        require(
            classes is not None and classes >= 2,
            "There must be a known number of at least 2 classes.",
            classes,
            "Pass logits whose last axis is the classes.",
        )

    def _loss(self, mask: Any, logits: Any) -> Any:
        raise NotImplementedError


class _CountedLoss(_LongTailLoss):
    """A loss that knows how many training examples each class has."""

    def __init__(self, class_counts: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        counts = [int(n) for n in class_counts]
        require(
            len(counts) >= 2 and min(counts, default=0) >= 1,
            "class_counts must have at least 2 classes, each with an example.",
            counts,
            "Pass how many training examples each class has, and leave empty classes out.",
        )
        self.class_counts = counts

    def _require_classes(self, classes: int) -> None:
        require(
            classes == len(self.class_counts),
            "The logits must have as many classes as class_counts.",
            (classes, len(self.class_counts)),
            "Pass one count for each logit.",
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_counts": self.class_counts}


@keras.saving.register_keras_serializable(package="keras_ab")
class FocalLoss(_LongTailLoss):
    """Weigh hard examples: ``reference_focal``.

    Args:
        gamma: γ ≥ 0; 0 is cross-entropy, the paper takes 2.
        **options: Further arguments of ``keras.losses.Loss``.

    Source: T.-Y. Lin et al., "Focal Loss for Dense Object Detection", 2017,
        https://arxiv.org/abs/1708.02002, equation 4, with softmax in place of the sigmoid.
    """

    def __init__(self, gamma: float = 2.0, name: str = "focal_loss", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.gamma = require_between("gamma", gamma, 0.0)

    def _loss(self, mask: Any, logits: Any) -> Any:
        return _focal(mask, logits, self.gamma)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="keras_ab")
class ClassBalancedLoss(_CountedLoss):
    """Weigh by the effective number of examples: ``reference_class_weights`` times the loss.

    Args:
        class_counts: n_c, the training examples of each class.
        beta: β in [0, 1); 0 weighs all classes alike, the paper takes 0.9 to 0.9999.
        gamma: γ of the focal loss that is weighed; 0 is cross-entropy.
        **options: Further arguments of ``keras.losses.Loss``.

    Source: Y. Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019,
        https://arxiv.org/abs/1901.05555, section 4.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        beta: float = 0.999,
        gamma: float = 0.0,
        name: str = "class_balanced_loss",
        **options: Any,
    ) -> None:
        super().__init__(class_counts, name=name, **options)
        self.beta = require_between("beta", beta, 0.0, 1.0, high_included=False)
        self.gamma = require_between("gamma", gamma, 0.0)
        self._weights = reference_class_weights(self.class_counts, self.beta)

    def _loss(self, mask: Any, logits: Any) -> Any:
        weights = ops.convert_to_tensor(self._weights, logits.dtype)
        return _picked(mask, weights) * _focal(mask, logits, self.gamma)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta": self.beta, "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="keras_ab")
class LogitAdjustedLoss(_CountedLoss):
    """Add the log prior to the logits in training: ``reference_logit_adjustment``.

    Args:
        class_counts: The training examples of each class.
        tau: τ ≥ 0; 0 is cross-entropy, 1 is consistent for the balanced error.
        **options: Further arguments of ``keras.losses.Loss``.

    Source: A. K. Menon et al., "Long-Tail Learning via Logit Adjustment", 2020,
        https://arxiv.org/abs/2007.07314, equation 10.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        tau: float = 1.0,
        name: str = "logit_adjusted_loss",
        **options: Any,
    ) -> None:
        super().__init__(class_counts, name=name, **options)
        self.tau = require_between("tau", tau, 0.0)
        self._adjustment = self.tau * np.log(self.class_counts / np.sum(self.class_counts))

    def _loss(self, mask: Any, logits: Any) -> Any:
        return _cross_entropy(mask, logits + ops.convert_to_tensor(self._adjustment, logits.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable(package="keras_ab")
class LDAMLoss(_CountedLoss):
    """Ask rare classes for a larger margin: ``reference_ldam``.

    The margin means something only for logits of bounded size: the paper normalises the last
    features and the head's weights, so that logits are cosines.

    Args:
        class_counts: n_c, the training examples of each class.
        max_margin: Margin of the rarest class; the authors take 0.5.
        scale: s; the authors take 30 for cosine logits.
        **options: Further arguments of ``keras.losses.Loss``.

    Source: K. Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        2019, https://arxiv.org/abs/1906.07413, equation 13; s is in the authors' experiments.
    """

    def __init__(
        self,
        class_counts: Sequence[int],
        max_margin: float = 0.5,
        scale: float = 30.0,
        name: str = "ldam_loss",
        **options: Any,
    ) -> None:
        super().__init__(class_counts, name=name, **options)
        self.max_margin = require_between("max_margin", max_margin, 0.0)
        self.scale = require_between("scale", scale, 0.0, low_included=False)
        self._margins = reference_margins(self.class_counts, self.max_margin)

    def _loss(self, mask: Any, logits: Any) -> Any:
        margins = ops.convert_to_tensor(self._margins, logits.dtype)
        return _cross_entropy(mask, self.scale * ops.where(mask, logits - margins, logits))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_margin": self.max_margin, "scale": self.scale}


def _picked(mask: Any, values: Any) -> Any:
    """Return the label's value of each example; the mask is one-hot, so nothing else adds."""
    return ops.sum(ops.where(mask, values, ops.zeros_like(values)), axis=-1)


def _log_odds_against(mask: Any, logits: Any) -> Any:
    """Return log((1 - p) / p): the log-sum-exp of how far the other logits lie above the label's.

    Of an easy example it keeps what rounds away in 1 - p, and in a difference of log-sum-exps.
    """
    above = logits - ops.expand_dims(_picked(mask, logits), -1)
    return ops.logsumexp(ops.where(mask, float("-inf"), above), axis=-1)


def _cross_entropy(mask: Any, logits: Any) -> Any:
    """Return -log p = log(1 + (1 - p) / p)."""
    return ops.softplus(_log_odds_against(mask, logits))


def _focal(mask: Any, logits: Any, gamma: float) -> Any:
    """Return (1 - p)^γ times cross-entropy, with log(1 - p) = -log(1 + p / (1 - p))."""
    if gamma == 0.0:
        return _cross_entropy(mask, logits)
    odds = _log_odds_against(mask, logits)
    return ops.exp(-gamma * ops.softplus(-odds)) * ops.softplus(odds)
