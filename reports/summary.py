"""The first screen: what to do, by what helped, and what it cost."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from textwrap import shorten

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Part, Word
from keras_ab.bench.lab.judge.findings import ClaimFinding, Finding, claim_bounds
from keras_ab.bench.lab.judge.verdicts import Outcome, Verdict
from keras_ab.reports.machines import Key
from keras_ab.reports.sections import AnswerRow, ClaimView

SAYS = {
    Word.INVALID: "the arms did not do the same work, so nothing is concluded",
    Word.FAILED: "crashed, hung or returned NaN, if only in the end, so nothing is concluded",
    Word.GAIN: "better somewhere, worse nowhere",
    Word.TRADE: "better in one thing, worse in another",
    Word.LOSS: "worse somewhere, better nowhere",
    Word.NO_DIFFERENCE: "the same within the margin",
    Word.UNDECIDED: "more blocks would tell",
    Word.NOT_MEASURED: "what each would take",
}
"""What each answer means, in the order in which they are told."""

IN_FULL = {Word.GAIN: 6, Word.TRADE: 5, Word.LOSS: 5}
"""How many experiments are told with their numbers; of the others the names are."""

OF_SEVERAL = {Word.GAIN: 3, Word.TRADE: 4, Word.LOSS: 3}
"""The same where there are several machines, whose differences are told as well."""

NAMED = 40
"""How many experiments are named at most where none is told with numbers."""

REFUTED = 3
"""How many refuted claims are told in full."""

MOST = math.log(16)
"""Beyond this a ratio counts for no more."""

UNCOUNTED = 0.01
"""What a ratio to nothing, or of nothing, counts for: how large it is, nobody knows."""

NEAR = 0.05
"""A difference of step times that a quick look can rule out.

Its five blocks give intervals of ±2 to ±4 %, which seldom fit into a margin of ±2 %.
"""

LONGEST = 48
"""Characters of what an arm is called."""

_OWN_MODULE = re.compile(r"\b(?:keras_ab\.)?kernels\.\w+\.")

TITLES = {"time": "time", "memory": "memory", "quality": "quality", "energy": "energy"}


@dataclass(frozen=True)
class Line:
    """One arm in a group: where its details are, what it is called, and what was found."""

    row: AnswerRow
    title: str
    parts: list[tuple[str, str, str]]
    """What each decided dimension came to: its name, the number, the verdict."""


@dataclass(frozen=True)
class Named:
    """One experiment in a group of which no numbers are told."""

    row: AnswerRow
    title: str
    arms: int
    needs: str
    """What it would take to measure it, once for all that would take the same."""


@dataclass(frozen=True)
class Group:
    """The arms with one answer, most telling first."""

    word: Word
    says: str
    count: int
    lines: list[Line]
    named: list[Named]

    @property
    def more(self) -> int:
        """How many are not told here."""
        return self.count - len(self.lines)


def experiment_title(row: AnswerRow) -> str:
    """Return what people call an experiment: ``Data echoing``, ``train.py:make, singles``."""
    return _words(row) + (f" ({row.telling})" if row.telling else "")


def _words(row: AnswerRow) -> str:
    if row.subject:
        return f"{row.subject}, {row.experiment.rpartition('_')[2]}"
    words = row.experiment.replace("_", " ")
    return words[:1].upper() + words[1:]


def title(row: AnswerRow, longest: int = LONGEST) -> str:
    """Return what people call an arm: ``Labels: class indices, int32``."""
    says = _OWN_MODULE.sub("", row.says) or row.answer.arm
    short = shorten(says, longest, placeholder=" …")
    return f"{experiment_title(row)}: {short if short.strip(' …') else f'{says[:longest]}…'}"


def groups(rows: Iterable[AnswerRow]) -> list[Group]:
    """Return the rows by their answer, those that can be acted upon first.

    What is a yardstick and no technique is left out.
    """
    told, found = list(rows), {word: list[AnswerRow]() for word in SAYS}
    in_full = IN_FULL if len({row.machine for row in told}) < 2 else OF_SEVERAL
    for row in told:
        if row.answer.word in found and not row.yardstick:
            found[row.answer.word].append(row)
    filled = ((word, members) for word, members in found.items() if members)
    return [_group(word, members, in_full.get(word, 0)) for word, members in filled]


def _group(word: Word, members: Sequence[AnswerRow], in_full: int) -> Group:
    ordered = sorted(members, key=lambda row: weight(row.answer), reverse=True)
    first = {row.experiment: row for row in reversed(ordered)}  # of each experiment the best
    shown = [row for row in ordered if first[row.experiment] is row][:in_full]
    lines = [Line(row, title(row), _parts(row.answer)) for row in shown]
    says = "; ".join(filter(None, [SAYS[word], near([row.answer for row in members])]))
    return Group(word, says, len(members), lines, [] if lines else _named(word, members))


def near(answers: Iterable[Answer]) -> str:
    """Say of how many undecided answers the step time is near the baseline's, else ""."""
    steps = (a.part("time").finding for a in answers if a.word is Word.UNDECIDED)
    many = sum(max(-f.estimate.low, f.estimate.high) < math.log1p(NEAR) for f in steps if f)
    return (
        f"of {many} the step time lies within ±{100 * NEAR:.0f} % of the baseline’s" if many else ""
    )


def _named(word: Word, members: Sequence[AnswerRow]) -> list[Named]:
    trials: dict[tuple[str, str], list[AnswerRow]] = {}
    for row in members:
        needs = row.needs if word is Word.NOT_MEASURED else ""
        trials.setdefault((_words(row), needs), []).append(row)
    found = [Named(rows[0], name, len(rows), needs) for (name, needs), rows in trials.items()]
    return found[:NAMED]


def weight(answer: Answer) -> float:
    """Return how much an answer matters: its first decided ratio, as a logarithm.

    Parts begin with what the technique is for. In a trade what counts is what got better: that is
    what it is taken for.
    """
    wanted = Verdict.WORSE if answer.word is Word.LOSS else Verdict.BETTER
    telling = [f for f in answer.findings if f.verdict is wanted and f.metric.scale != "difference"]
    sized = [f for f in telling if bool(f.arm_value) == bool(f.baseline_value)]
    unsized = UNCOUNTED if telling else 0.0
    return min(abs(sized[0].estimate.point), MOST) if sized else unsized


def _parts(answer: Answer) -> list[tuple[str, str, str]]:
    return [(TITLES[p.dimension], _number(p.finding), p.word) for p in _decided(answer)]


def _number(finding: Finding | None) -> str:
    """Return a number that fits a line: of ranges the ratio alone."""
    assert finding is not None  # noqa: S101 - what is decided has a finding
    return text.brief(finding) if text.ranges(finding) else text.compact(finding)


def _decided(answer: Answer) -> list[Part]:
    return [part for part in answer.measured if part.word in (Verdict.BETTER, Verdict.WORSE)]


def refuted(claims: Iterable[ClaimView]) -> list[ClaimView]:
    """Return the claims that do not hold, the farthest off first, of each experiment one first."""
    found = [claim for claim in claims if claim.claim.outcome is Outcome.REFUTED]
    ordered = sorted(found, key=lambda claim: distance(claim.claim), reverse=True)
    first = {claim.experiment: claim for claim in reversed(ordered)}
    return sorted(ordered, key=lambda claim: first[claim.experiment] is not claim)


def distance(judged: ClaimFinding) -> float:
    """Return how far what was found lies beyond a claim's bounds, on the estimate's scale."""
    if judged.finding is None:
        return 0.0
    low, high = claim_bounds(judged.claim, judged.finding.metric)
    point = judged.finding.estimate.point
    return min(max(low - point, point - high, 0.0), MOST)


def titles(rows: Iterable[AnswerRow]) -> dict[tuple[Key, str], str]:
    """Return what people call each arm of each trial, on whatever machine."""
    return {(row.key, row.answer.arm): title(row) for row in rows}


@dataclass(frozen=True)
class Across:
    """One arm over the machines that measured it."""

    title: str
    unlike: bool
    """Whether the code of its trial's arms is not the same on all of them."""
    on: dict[str, AnswerRow]

    @property
    def agree(self) -> bool:
        """Whether all machines give the same answer."""
        return len({row.word for row in self.on.values()}) == 1


def matrix(rows: Iterable[AnswerRow], unlike: Container[Key] = ()) -> list[Across]:
    """Return the arms that several machines measured, those on which they disagree first.

    Args:
        rows: the table of answers.
        unlike: trials whose arms do not have the same code everywhere; they come last.
    """
    found: dict[tuple[Key, str], Across] = {}
    for row in rows:
        across = found.setdefault(
            (row.key, row.answer.arm), Across(title(row, 2 * LONGEST), row.key in unlike, {})
        )
        across.on.setdefault(row.machine, row)
    several = [across for across in found.values() if len(across.on) > 1]
    return sorted(several, key=lambda across: (across.unlike, across.agree))
