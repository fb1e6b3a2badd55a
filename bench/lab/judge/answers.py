"""One answer for each arm of a trial: a word for every dimension, and one for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from keras_ab.bench.lab.judge import peaks
from keras_ab.bench.lab.judge.contrasts import incomparable
from keras_ab.bench.lab.judge.findings import Finding, why_nothing
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words import metrics
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import DIMENSIONS, Dimension


class Word(StrEnum):
    """What became of an arm as a whole."""

    GAIN = "gain"
    """Better in some dimension, worse in none."""
    TRADE = "trade"
    """Better in some, worse in some."""
    LOSS = "loss"
    """Worse in some, better in none."""
    NO_DIFFERENCE = "no difference"
    """Equivalent in all that was measured."""
    UNDECIDED = "undecided"
    INVALID = "invalid"
    FAILED = "failed"
    NOT_MEASURED = "not measured here"
    NOT_TIMED = "not timed"


@dataclass(frozen=True)
class Part:
    """What a trial says about one dimension of an arm: a finding, or why there is none."""

    dimension: Dimension
    finding: Finding | None
    reason: str = ""

    @property
    def word(self) -> str:
        """The verdict, or ``not measured``."""
        return self.finding.verdict.value if self.finding else "not measured"


@dataclass(frozen=True)
class Answer:
    """What a trial says about an arm.

    Args:
        arm: name of the arm.
        word: for the whole. What failed, at whatever stage, is failed, whatever its parts are.
        reason: why there is no verdict, or what was tried, where nothing was timed.
        parts: one for each dimension, what the technique is for first.
    """

    arm: str
    word: Word
    reason: str
    parts: tuple[Part, ...]

    def part(self, dimension: Dimension) -> Part:
        """Return what is said about one dimension."""
        return next(part for part in self.parts if part.dimension == dimension)

    @property
    def measured(self) -> list[Part]:
        """The parts with a finding, what the technique is for first."""
        return [part for part in self.parts if part.finding]

    @property
    def findings(self) -> list[Finding]:
        """What was found, of what the technique is for first."""
        return [part.finding for part in self.parts if part.finding]

    @property
    def open(self) -> list[Finding]:
        """The findings that are inconclusive."""
        return [f for f in self.findings if f.verdict is Verdict.INCONCLUSIVE]


def whole(verdicts: Iterable[Verdict]) -> Word:
    """Return the sum of the verdicts on the dimensions that were measured."""
    found = set(verdicts)
    if {Verdict.BETTER, Verdict.WORSE} <= found:
        return Word.TRADE
    if Verdict.BETTER in found:
        return Word.GAIN
    if Verdict.WORSE in found:
        return Word.LOSS
    return Word.NO_DIFFERENCE if found == {Verdict.EQUIVALENT} else Word.UNDECIDED


def answers(data: TrialData, findings: Sequence[Finding]) -> list[Answer]:
    """Return the answer for each arm: all but the baseline, or all where nothing is timed.

    Args:
        data: the trial.
        findings: what the judge found in it.
    """
    declared = data.declared
    arms = data.treatments if declared.timed else [arm.name for arm in declared.arms]
    return [_answer(data, arm, [f for f in findings if f.arm == arm]) for arm in arms]


def _answer(data: TrialData, arm: str, findings: Sequence[Finding]) -> Answer:
    purpose = data.declared.purpose
    ordered = sorted(DIMENSIONS, key=lambda dimension: dimension != purpose)
    parts = tuple(_part(data, arm, dimension, findings) for dimension in ordered)
    found = [part.finding.verdict for part in parts if part.finding]
    if not found:
        word, reason = _why_none(data, arm)
    elif failed := data.failed(arm):
        word, reason = Word.FAILED, failed
    else:
        word, reason = whole(found), ""
    return Answer(arm, word, reason, parts)


def _part(data: TrialData, arm: str, dimension: Dimension, findings: Sequence[Finding]) -> Part:
    by_name = {finding.metric.name: finding for finding in findings}
    finding = next((by_name[name] for name in _metrics(data, dimension) if name in by_name), None)
    if dimension == "memory" and peaks.too_small(data, arm):
        return Part(dimension, None, peaks.TOO_SMALL)
    return Part(dimension, finding, "" if finding else _nothing(data, arm, dimension))


def _metrics(data: TrialData, dimension: Dimension) -> list[str]:
    """Return the metrics that a dimension is judged by, the one that counts first.

    Memory is the device's, or the host's where nobody counts the device's.
    """
    return {
        "time": [metrics.STEP_TIME.name],
        "memory": [metrics.PEAK_DEVICE_MEMORY.name, metrics.PEAK_HOST_MEMORY.name],
        "quality": [data.declared.quality] if data.declared.quality else [],
        "energy": [metrics.STEP_ENERGY.name],
    }[dimension]


def _nothing(data: TrialData, arm: str, dimension: Dimension) -> str:
    if dimension == "quality" and data.declared.quality and not data.learned:
        return "it was not trained yet"
    judged = [m for m in data.declared.metrics if m.name in _metrics(data, dimension)]
    if whys := [why for metric in judged if (why := incomparable(data, metric, arm))]:
        return whys[0]
    if dimension == "quality" and not data.declared.quality:
        return "nothing is trained to its end in this case"
    if dimension == "energy":
        return "this machine has no counter of energy that can be read"
    return f"this machine does not tell {dimension}" if data.blocks else "no block was finished"


def _why_none(data: TrialData, arm: str) -> tuple[Word, str]:
    """Return the word and the reason for an arm on which there is no finding."""
    if data.invalid:
        return Word.INVALID, data.invalid
    reason = data.why_not(arm)
    if not (data.declared.timed or reason):
        made = [attempt for attempt in data.attempts if attempt.arm == arm]
        works = sum(attempt.what == "works" for attempt in made)
        return Word.NOT_TIMED, f"{works} of {len(made)} attempts work"
    absent = any(absence.arm in (arm, None) for absence in data.absences)
    concerned = (arm, data.baseline, CONTROL, None)
    failed = any(failure.arm in concerned for failure in data.failures)
    word = Word.FAILED if failed and not absent else Word.NOT_MEASURED
    return word, reason or why_nothing(data, metrics.STEP_TIME, arm)
