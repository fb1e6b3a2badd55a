"""Has anything become worse since a baseline run? For CI: an exit status and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Word
from keras_ab.bench.lab.judge.verdicts import Verdict, holm
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import Change, Comparison, Side, changes_between
from keras_ab.reports.machines import Key
from keras_ab.reports.markdown import code, table

FAULTS = {Word.INVALID, Word.FAILED}
SETTLED = {Word.GAIN, Word.TRADE, Word.LOSS, Word.NO_DIFFERENCE}


@dataclass(frozen=True)
class Gate:
    """What a gate looked at.

    Args:
        changes: every change of a finding since the baseline run.
        regressions: those that are worse beyond the noise floors, and after Holm's correction.
        invalid: what was measured in the baseline run and cannot be judged now, with why.
        turned: arms whose answer is another word now: trial, arm, word before, word after.
        refused: trials that were not compared, with why.
        code: files that the arms imported and that differ, a line each.
    """

    changes: list[Change]
    regressions: list[Change]
    invalid: list[str]
    turned: list[tuple[str, str, Word, Word]]
    refused: list[str]
    code: list[str]

    @property
    def passes(self) -> bool:
        """Whether nothing became worse, or invalid."""
        return not self.regressions and not self.invalid


def gate(compared: Comparison) -> Gate:
    """Judge the second side of a comparison against the first."""
    before, after = compared.sides
    found = changes_between(before, after)
    level = 1 - min((r.header.plan.confidence for r in after.runs), default=0.95)
    kept = holm([change.p_value for change in found], level)
    worse = [c for c, keep in zip(found, kept, strict=True) if keep and c.verdict is Verdict.WORSE]
    pairs = [pair for k in after.trials for pair in _answers(k, before, after)]
    invalid = [
        f"{k.says}: {new.arm}: {new.word}: {new.reason}"
        for k, old, new in pairs
        if new.word in FAULTS and old.word not in FAULTS
    ]
    turned = [
        (k.says, new.arm, old.word, new.word)
        for k, old, new in pairs
        if {old.word, new.word} <= SETTLED and old.word != new.word
    ]
    code_apart = changed_code(before, after)
    return Gate(found, worse, invalid, turned, compared.refused, code_apart)


def _answers(k: Key, before: Side, after: Side) -> Iterator[tuple[Key, Answer, Answer]]:
    """Yield the answers for each arm of a trial, before and after."""
    old, new = (side.trials[k].trial for side in (before, after))
    for answer in new.answers:
        if answer.arm in old.answered:
            yield k, old.answer(answer.arm), answer


def summary(result: Gate, names: Sequence[str]) -> str:
    """Return what a gate found, as Markdown."""
    words = "passed" if result.passes else "failed"
    counted = text.count(len(result.changes), "number")
    parts = [
        f"## keras-ab gate {words}",
        f"{counted} of {code(names[1])} held against {code(names[0])}: "
        f"{text.count(len(result.regressions), 'regression')} beyond the noise floors of both runs "
        "that survive Holm’s correction for their number.",
    ]
    if result.regressions:
        rows = [_row(change) for change in result.regressions]
        parts.append(table(("trial", "arm", "metric", "before", "after", "change"), rows))
    if result.invalid:
        parts.append("Measured before, and not now:\n\n" + _listed(result.invalid))
    if result.turned:
        rows = [(trial, code(arm), old, new) for trial, arm, old, new in result.turned]
        turned = table(("trial", "arm", "before", "after"), rows)
        parts.append(f"Answers that are another word now, chance included:\n\n{turned}")
    better = sum(c.verdict is Verdict.BETTER for c in result.changes)
    open_ = sum(c.verdict is Verdict.INCONCLUSIVE for c in result.changes)
    parts.append(f"Better: {better}. Too wide to tell: {open_}. Ratios are A/B ratios of each run.")
    if result.code:
        parts.append("Code that is not the baseline run’s:\n\n" + _listed(result.code))
    if result.refused:
        parts.append("Not compared:\n\n" + _listed(result.refused))
    return "\n\n".join(parts) + "\n"


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {code(line)}" for line in lines)


def _row(change: Change) -> tuple[str, ...]:
    return (
        change.key.says,
        code(change.arm),
        change.after.metric.title,
        text.compact(change.before),
        text.compact(change.after),
        text.compact(change.shown),
    )
