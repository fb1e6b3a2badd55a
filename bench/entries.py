"""What pytest-benchmark and JUnit's files carry of a trial: recorded durations, and verdicts."""

from __future__ import annotations

from typing import Any

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import findings
from keras_ab.bench.lab.judge.moderation import Prior
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.plan import Plan


class Replay:
    """A timer that plays recorded durations back to pytest-benchmark, two looks for each."""

    __name__ = "recorded"

    def __init__(self) -> None:
        self.durations: list[float] = []
        self._now = 0.0
        self._under_way = False

    def __call__(self) -> float:
        if self._under_way:
            self._now += self.durations.pop(0)
        self._under_way = not self._under_way
        return self._now


def durations(data: TrialData, arm: str) -> list[float]:
    """Return the step times of an arm in the order of measurement, seconds."""
    rounds = (line for block in sorted(data.rounds) for line in data.rounds[block])
    return [line.step_time_s[arm] for line in rounds if arm in line.step_time_s]


def extra_info(data: TrialData, arm: str, plan: Plan, prior: Prior) -> dict[str, Any]:
    """Return what pytest-benchmark's files carry beside the durations."""
    if arm == data.baseline:
        return {"role": "baseline"}
    info: dict[str, Any] = {}
    for finding in (f for f in findings(data, plan, prior) if f.arm == arm):
        estimate = finding.estimate
        info[finding.metric.name] = {
            "value": finding.arm_value,
            finding.metric.scale: finding.shown(estimate.point),
            "interval": [finding.shown(estimate.low), finding.shown(estimate.high)],
            "verdict": str(finding.verdict),
        }
    return info


def verdicts(data: TrialData, plan: Plan, prior: Prior) -> dict[str, str]:
    """Return every finding of a trial in words, by the id that `keras-ab cite` takes."""
    return {
        f"{data.declared.trial}/{finding.arm}/{finding.metric.name}": (
            f"{text.compact(finding)} {finding.verdict}"
        )
        for finding in findings(data, plan, prior)
    }
