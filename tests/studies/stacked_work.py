"""Is a planted truth found for real? Effects of known work, each with its interval and the truth.

``python -m tests.studies.stacked_work RUN.jsonl`` reads what was measured by
``pytest --benchmark --ab-backend plain tests/studies/bench_stacked_work.py``.
"""

from __future__ import annotations

import math
import sys
from itertools import combinations

from keras_ab import reports
from keras_ab.bench.lab.judge.stacks import Together, effects, stack_of, thresholds_of
from tests.studies.bench_stacked_work import ALONE, TOGETHER, share


def truth(term: tuple[str, ...]) -> float:
    """Return the log effect of one technique or two, on the average over the others."""
    others = [technique for technique in ALONE if technique not in term]
    rest = [c for n in range(len(others) + 1) for c in combinations(others, n)]
    subsets = [(c, (-1) ** (len(term) - len(c))) for n in range(3) for c in combinations(term, n)]
    found = [sum(sign * math.log(share((*r, *c))) for c, sign in subsets) for r in rest]
    return sum(found) / len(found)


def main(path: str) -> None:
    """Print each effect, the truth, whether the interval holds it, and the word."""
    (run,) = reports.load(path).runs
    (trial,) = run.trials
    stack = stack_of(trial.data)
    assert stack is not None
    for effect in effects(stack, trial.plan, thresholds_of(trial.data, trial.plan)):
        e, true = effect.estimate, truth(effect.techniques)
        holds = "holds" if e.low <= true <= e.high else "misses"
        right = Together.COMPETE if effect.techniques in TOGETHER else Together.MULTIPLY
        word = f"{effect.word} ({right} is true)" if effect.word else ""
        low, point, high, wanted = (math.exp(x) for x in (e.low, e.point, e.high, true))
        names = " × ".join(effect.techniques)
        print(f"{names}: {point:.3f} [{low:.3f}, {high:.3f}] {holds} {wanted:.3f} {word}")


if __name__ == "__main__":
    main(sys.argv[1])
