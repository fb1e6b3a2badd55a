"""Has anything become worse since a baseline run? For CI: an exit status and a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Word
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.reports.changed_code import changed_code
from keras_ab.reports.compare import Change, Comparison, Side, changes_between, surviving
from keras_ab.reports.machines import Key
from keras_ab.reports.markdown import code, table

LESS = {Word.NOT_TIMED: 1, Word.NOT_MEASURED: 2, Word.INVALID: 3, Word.FAILED: 3}
"""How far a word is from a verdict, which has 0: what falls back since is not passed over."""
SETTLED = {Word.GAIN, Word.TRADE, Word.LOSS, Word.NO_DIFFERENCE}


@dataclass(frozen=True)
class Gate:
    """What a gate looked at.

    Args:
        changes: every change of a finding since the baseline run that has blocks enough.
        few: those that have too few blocks to be judged.
        kept: of `changes`, those that survive Holm's correction for their number.
        invalid: answers of what was measured in the baseline run and cannot be judged now.
        gone: other numbers that the baseline run has and this one has not, a line each.
        turned: arms whose answer is another word now: trial, arm, word before, word after.
        refused: trials that were not compared, with why.
        environment: what differs in machine, software and settings, a line each.
        code: files that the arms imported and that differ, a line each.
        left_out: files that could not be read, a line each.
        unsealed: runs without a seal, of which later edits cannot be ruled out.
    """

    changes: list[Change]
    few: list[Change]
    kept: list[Change]
    invalid: list[tuple[Key, Answer]]
    gone: list[str]
    turned: list[tuple[str, str, Word, Word]]
    refused: list[str]
    environment: list[str]
    code: list[str]
    left_out: list[str]
    unsealed: list[str]

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
    judged = [change for change in found if change.has_enough_blocks]
    pairs = [pair for k in after.trials for pair in _answers(k, before, after)]
    return Gate(
        changes=judged,
        few=[change for change in found if not change.has_enough_blocks],
        kept=surviving(judged, after),
        invalid=[(k, new) for k, old, new in pairs if _less(new) > _less(old)],
        gone=[line for k in before.trials for line in _gone(k, before, after)],
        turned=[
            (k.says, new.arm, old.word, new.word)
            for k, old, new in pairs
            if {old.word, new.word} <= SETTLED and old.word != new.word
        ],
        refused=compared.refused,
        environment=compared.environments[after.name],
        code=changed_code(before, after),
        left_out=compared.left_out,
        unsealed=[r.header.run for side in (before, after) for r in side.runs if not r.run.sealed],
    )


def _less(answer: Answer) -> int:
    return LESS.get(answer.word, 0)


def _answers(k: Key, before: Side, after: Side) -> Iterator[tuple[Key, Answer, Answer]]:
    """Yield the answers for each arm of a trial, before and after."""
    old, new = (side.trials[k].trial for side in (before, after))
    for answer in new.answers:
        if answer.arm in old.answered:
            yield k, old.answer(answer.arm), _timed(answer, old.answer(answer.arm))


def _timed(answer: Answer, before: Answer) -> Answer:
    """Return an answer, which is none where the arm was timed before and is not any more."""
    part = answer.part("time")
    if part.finding or _less(answer) or not before.part("time").finding:
        return answer
    return replace(answer, word=Word.NOT_TIMED, reason=part.reason)


def _gone(k: Key, before: Side, after: Side) -> Iterator[str]:
    """Yield what was found on the arms of a trial before and is not there any more."""
    old, new = (side.trials[k].trial for side in (before, after))
    for answer in old.answers:
        if answer.arm not in new.answered:
            yield f"{k.says}: {answer.arm}: it is no arm of the trial any more"
        elif not _less(_timed(new.answer(answer.arm), answer)):
            titles = (f.metric for f in old.of(answer.arm))
            lost = [m.title for m in titles if not new.find(answer.arm, m.name)]
            yield from (f"{k.says}: {answer.arm}: {title}" for title in lost)


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
    parts.append(_counted(result))
    for heading, lines in (
        ("Numbers of the baseline run that are not there any more", result.gone),
        ("Machine, software and settings that are not the baseline run’s", result.environment),
        ("Code that is not the baseline run’s", result.code),
        ("Not compared", result.refused),
        ("Files that were left out", result.left_out),
        ("Without a seal, so that later edits cannot be ruled out", result.unsealed),
    ):
        if lines:
            parts.append(f"{heading}:\n\n{_listed(lines)}")
    return "\n\n".join(parts) + "\n"


def _counted(result: Gate) -> str:
    better = len(result.improvements)
    open_ = sum(c.verdict is Verdict.INCONCLUSIVE for c in result.changes)
    few = f" Too few blocks to tell: {len(result.few)}." if result.few else ""
    told = f"Better: {better}. Too wide to tell: {open_}.{few}"
    return f"{told} Ratios are A/B ratios of each run."


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
