"""Examples to learn from and to test on: inputs ``(n, ...)`` and labels ``(n,)`` of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_ab.bench.lab.words.declare import Params
from keras_ab.bench.lab.words.errors import DeclarationError

Examples = tuple[np.ndarray, np.ndarray]


def no_test(_case: Params) -> Examples:
    """Refuse: there is nothing to test on."""
    raise DeclarationError(
        "a workload whose accuracy is asked for has examples to test on",
        "none",
        "give Workload(..., test=a function of the case)",
    )


@dataclass(frozen=True)
class Part:
    """The first three quarters of some examples, or the last quarter; they are in no order."""

    examples: Callable[[Params], Examples]
    is_last: bool

    def __call__(self, case: Params) -> Examples:
        """Return them."""
        inputs, labels = self.examples(case)
        cut = len(labels) * 3 // 4
        rows = slice(cut, None) if self.is_last else slice(cut)
        return inputs[rows], labels[rows]
