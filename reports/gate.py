"""Has anything become worse since a baseline run? For CI: an exit status and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Word
from keras_ab.bench.lab.judge.verdicts import Verdict, holm
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import Change, Comparison, Side, changes_between
from keras_ab.reports.judged import JudgedRun
from keras_ab.reports.legible import legible
from keras_ab.reports.machines import Key
from keras_ab.reports.markdown import code, table

FAULTS = {Word.INVALID, Word.FAILED}
SETTLED = {Word.GAIN, Word.TRADE, Word.LOSS, Word.NO_DIFFERENCE}


@dataclass(frozen=True)
class Gate:
    """What a gate looked at.

    Args:
        changes: every change of a finding since the baseline run.
        kept: those that survive Holm's correction for their number.
        invalid: answers of what was measured in the baseline run and cannot be judged now.
        turned: arms whose answer is another word now: trial, arm, word before, word after.
        refused: trials that were not compared, with why.
        code: files that the arms imported and that differ, a line each.
    """

    changes: list[Change]
    kept: list[Change]
    invalid: list[tuple[Key, Answer]]
    turned: list[tuple[str, str, Word, Word]]
    refused: list[str]
    code: list[str]

    @property
    def regressions(self) -> list[Change]:
        """What became worse beyond the noise floors, and after Holm's correction."""
        return [change for change in self.kept if change.verdict is Verdict.WORSE]

    @property
    def improvements(self) -> list[Change]:
        """What became better beyond the noise floors, and after Holm's correction."""
        return [change for change in self.kept if change.verdict is Verdict.BETTER]

    @property
    def passes(self) -> bool:
        """Whether nothing became worse, or invalid."""
        return not self.regressions and not self.invalid


def gate(compared: Comparison) -> Gate:
    """Judge the second side of a comparison against the first."""
    before, after = compared.sides
    found = changes_between(before, after)
    level = 1 - min((r.header.plan.confidence for r in after.runs), default=0.95)
    survive = holm([change.p_value for change in found], level)
    kept = [change for change, keep in zip(found, survive, strict=True) if keep]
    pairs = [pair for k in after.trials for pair in _answers(k, before, after)]
    invalid = [(k, new) for k, old, new in pairs if new.word in FAULTS and old.word not in FAULTS]
    turned = [
        (k.says, new.arm, old.word, new.word)
        for k, old, new in pairs
        if {old.word, new.word} <= SETTLED and old.word != new.word
    ]
    return Gate(found, kept, invalid, turned, compared.refused, changed_code(before, after))


def _answers(k: Key, before: Side, after: Side) -> Iterator[tuple[Key, Answer, Answer]]:
    """Yield the answers for each arm of a trial, before and after."""
    old, new = (side.trials[k].trial for side in (before, after))
    for answer in new.answers:
        if answer.arm in old.answered:
            yield k, old.answer(answer.arm), answer


def run_of_id(asked: str, runs: Sequence[JudgedRun]) -> JudgedRun:
    """Return the run with an id.

    Raises:
        RecordError: where none has it.
    """
    if found := [run for run in runs if run.header.run == asked]:
        return found[0]
    known = "; ".join(run.header.run for run in runs[-20:])
    raise RecordError(
        "a run is named by its file, or by its id where its file is among those given",
        f"{legible(asked, 200)!r}, which none of {text.count(len(runs), 'run')} is called",
        f"give the folder that holds it, or name one of: {legible(known, 1000)}",
    )


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
        lines = [f"{k.says}: {new.arm}: {new.word}: {new.reason}" for k, new in result.invalid]
        parts.append("Measured before, and not now:\n\n" + _listed(lines))
    if result.turned:
        rows = [(trial, code(arm), old, new) for trial, arm, old, new in result.turned]
        turned = table(("trial", "arm", "before", "after"), rows)
        parts.append(f"Answers that are another word now, chance included:\n\n{turned}")
    better = len(result.improvements)
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
