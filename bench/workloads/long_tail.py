"""Real digits of which some classes are a hundred times rarer than others."""

from __future__ import annotations

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.workloads import classifier, digits
from keras_ab.bench.workloads.training import Workload

CLASSES = 10
HEAD = slice(0, 3)
"""The three most frequent classes."""
TAIL = slice(7, 10)
"""The three rarest."""


def counts(case: Params) -> np.ndarray:
    """Return how many examples of each class there are, falling exponentially from 0 to 9.

    Args:
        case: ``imbalance``: examples of the most frequent class for each of the rarest.
    """
    labels = digits.split(*digits.mnist()).train_labels
    most = np.bincount(labels, minlength=CLASSES).min()
    shares = float(case["imbalance"]) ** (-np.arange(CLASSES) / (CLASSES - 1))
    return np.rint(most * shares).astype(int)


def data(case: Params) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of the training digits of each class, as many as `counts` says."""
    images, labels = classifier.train_data(case)
    rows = [np.flatnonzero(labels == digit)[:count] for digit, count in enumerate(counts(case))]
    kept = np.sort(np.concatenate(rows))
    return images[kept], labels[kept]


def accuracies(predicted: np.ndarray, labels: np.ndarray, case: Params) -> dict[str, float]:
    """Return accuracies over all classes alike, over head and tail, and as frequent as in training.

    Args:
        predicted: classes ``(n,)``.
        labels: the true ones ``(n,)``.
        case: see `counts`.
    """
    recalls = np.array([np.mean(predicted[labels == digit] == digit) for digit in range(CLASSES)])
    return {
        "balanced_accuracy": float(recalls.mean()),
        "head_accuracy": float(recalls[HEAD].mean()),
        "tail_accuracy": float(recalls[TAIL].mean()),
        "overall_accuracy": float(np.average(recalls, weights=counts(case))),
    }


LONG_TAIL = Workload(classifier.model, data, lambda _case: CLASSES, classifier.test_data)
