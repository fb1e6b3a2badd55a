"""Real digits of which some classes are a hundred times rarer than others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads.classifier import DIGITS
from keras_ab.bench.workloads.examples import Examples
from keras_ab.bench.workloads.training import Workload

CLASSES = 10
HEAD = slice(0, 3)
"""The three most frequent classes."""
TAIL = slice(7, 10)
"""The three rarest."""


@dataclass(frozen=True)
class LongTailed:
    """The first of some digits of each class: exponentially fewer of each from 0 to 9."""

    digits: Callable[[Params], Examples]

    def counts(self, case: Params) -> np.ndarray:
        """Return how many examples of each class there are.

        Args:
            case: ``imbalance``: examples of the most frequent class for each of the rarest.
        """
        most = np.bincount(self.digits(case)[1], minlength=CLASSES).min()
        shares = float(case["imbalance"]) ** (-np.arange(CLASSES) / (CLASSES - 1))
        return np.rint(most * shares).astype(int)

    def __call__(self, case: Params) -> Examples:
        """Return them."""
        images, labels = self.digits(case)
        wanted = enumerate(self.counts(case))
        rows = [np.flatnonzero(labels == digit)[:count] for digit, count in wanted]
        kept = np.sort(np.concatenate(rows))
        return images[kept], labels[kept]


def of(workload: Workload) -> Workload:
    """Return a workload on digits whose examples to learn from are long-tailed."""
    return replace(workload, data=LongTailed(workload.data))


LONG_TAIL = of(DIGITS)
CHOOSING = of(DIGITS.choosing())
"""By which learning rates are chosen: tested on digits of all classes alike, as the other."""


def accuracies(predicted: np.ndarray, labels: np.ndarray, case: Params) -> dict[str, float]:
    """Return accuracies over all classes alike, over head and tail, and as frequent as in training.

    Args:
        predicted: classes ``(n,)``.
        labels: the true ones ``(n,)``.
        case: see `LongTailed.counts`.
    """
    shares = LongTailed(DIGITS.data).counts(case)
    recalls = np.array([np.mean(predicted[labels == digit] == digit) for digit in range(CLASSES)])
    return {
        "balanced_accuracy": float(recalls.mean()),
        "head_accuracy": float(recalls[HEAD].mean()),
        "tail_accuracy": float(recalls[TAIL].mean()),
        "overall_accuracy": float(np.average(recalls, weights=shares)),
    }
