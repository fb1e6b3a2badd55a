"""The first screen: what to do, by what helped, and what it cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Part, Word
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.reports.sections import AnswerRow

SAYS = {
    Word.GAIN: "better in something, worse in nothing",
    Word.TRADE: "better in something, worse in something else",
    Word.LOSS: "worse in something, better in nothing",
    Word.NO_DIFFERENCE: "the same within the margin, in all that was measured",
    Word.UNDECIDED: "more blocks, or a quieter machine, would tell",
}
"""What each answer means, in the order in which they are told."""

IN_FULL = {Word.GAIN: 6, Word.TRADE: 5, Word.LOSS: 5}
"""How many experiments are told with their numbers; the others are in the table."""

MOST = math.log(16)
"""Beyond this a ratio counts for no more: 0 B against some bytes is no endless gain."""

TITLES = {"time": "step time", "memory": "memory", "quality": "quality", "energy": "energy"}


@dataclass(frozen=True)
class Line:
    """One arm in a group: where its details are, what it is called, and what was found."""

    row: AnswerRow
    title: str
    parts: list[tuple[str, str, str]]
    """What each decided dimension came to: its name, the number, the verdict."""


@dataclass(frozen=True)
class Group:
    """The arms with one answer, most telling first."""

    word: Word
    says: str
    count: int
    lines: list[Line]

    @property
    def more(self) -> int:
        """How many are not told here."""
        return self.count - len(self.lines)


def title(row: AnswerRow) -> str:
    """Return what people call an arm: ``Labels, sparse int32``."""
    words = f"{row.experiment}, {row.answer.arm}".replace("_", " ")
    return words[:1].upper() + words[1:] + (f" ({row.telling})" if row.telling else "")


def groups(rows: Iterable[AnswerRow]) -> list[Group]:
    """Return the rows by their answer, those that can be acted upon first.

    What is a yardstick and no technique is left out.
    """
    found: dict[Word, list[AnswerRow]] = {word: [] for word in SAYS}
    for row in rows:
        if row.answer.word in found and not row.yardstick:
            found[row.answer.word].append(row)
    return [_group(word, members) for word, members in found.items() if members]


def _group(word: Word, members: Sequence[AnswerRow]) -> Group:
    ordered = sorted(members, key=lambda row: weight(row.answer), reverse=True)
    first = {row.experiment: row for row in reversed(ordered)}  # of each experiment the best
    shown = [row for row in ordered if first[row.experiment] is row][: IN_FULL.get(word, 0)]
    lines = [Line(row, title(row), _parts(row.answer)) for row in shown]
    return Group(word, SAYS[word], len(members), lines)


def weight(answer: Answer) -> float:
    """Return how much an answer matters: its first decided ratio, as a logarithm.

    Parts begin with what the technique is for. In a trade what counts is what got better: that is
    what it is taken for.
    """
    wanted = Verdict.WORSE if answer.word is Word.LOSS else Verdict.BETTER
    found = [part.finding for part in answer.parts if part.finding]
    telling = [f for f in found if f.verdict is wanted and f.metric.scale != "difference"]
    return min(abs(telling[0].estimate.point), MOST) if telling else 0.0


def _parts(answer: Answer) -> list[tuple[str, str, str]]:
    return [(TITLES[p.dimension], _number(p.finding), p.word) for p in _decided(answer)]


def _number(finding: Finding | None) -> str:
    """Return a number that fits a line: of ranges the ratio alone."""
    assert finding is not None  # noqa: S101 - what is decided has a finding
    return text.brief(finding) if text.ranges(finding) else text.compact(finding)


def _decided(answer: Answer) -> list[Part]:
    return [part for part in answer.measured if part.word in (Verdict.BETTER, Verdict.WORSE)]


def not_measured(rows: Iterable[AnswerRow]) -> list[tuple[str, int]]:
    """Return why arms were not measured here, and how many each reason concerns."""
    absent = (row.answer.reason for row in rows if row.answer.word is Word.NOT_MEASURED)
    return Counter(absent).most_common()


@dataclass(frozen=True)
class Across:
    """One arm over the machines that measured it."""

    title: str
    on: dict[str, AnswerRow]

    @property
    def agree(self) -> bool:
        """Whether all machines give the same answer."""
        return len({row.word for row in self.on.values()}) == 1


def matrix(rows: Iterable[AnswerRow]) -> list[Across]:
    """Return the arms that several machines measured, those on which they disagree first."""
    found: dict[str, Across] = {}
    for row in rows:
        found.setdefault(title(row), Across(title(row), {})).on.setdefault(row.machine, row)
    several = [across for across in found.values() if len(across.on) > 1]
    return sorted(several, key=lambda across: across.agree)
