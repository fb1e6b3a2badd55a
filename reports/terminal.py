"""The verdict table as plain text, for the end of a benchmark run."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Word
from keras_ab.bench.lab.judge.findings import ClaimFinding, Finding
from keras_ab.bench.lab.judge.verdicts import Outcome, Verdict
from keras_ab.bench.lab.words.declare import CONTROL
from keras_ab.bench.lab.words.metrics import DIMENSIONS
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.reports import cautions
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import legible, short_names
from keras_ab.reports.summary import near

WIDTH = text.WIDTH
HEADINGS = ("trial and arm", "answer", "step time", "", "memory", "quality", "energy")
GREEN, RED, YELLOW = 32, 31, 33
COLOURS: dict[str, int] = {
    **dict.fromkeys((Word.GAIN, Outcome.CONFIRMED), GREEN),
    **dict.fromkeys((Word.LOSS, Word.FAILED, Word.INVALID, Outcome.REFUTED), RED),
    Word.TRADE: YELLOW,
}
_ANSWER = re.compile(rf"^(  (?:\S.*?  +)?)({'|'.join(COLOURS)})(?=  |:|$)", re.MULTILINE)


def verdict_table(run: JudgedRun) -> str:
    """Return verdicts, claims, and what was not measured, in at most 80 columns."""
    judged = run.trials
    names = short_names([trial.data.declared for trial in judged])
    legend = _legend(judged, run.header.plan) if judged else []
    parts = (legend, _verdicts(judged, names), _claims(judged), _troubles(judged, names))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def coloured(table: str) -> str:
    """Return the table with its answers and outcomes in colour, for a terminal that has it."""
    return _ANSWER.sub(lambda m: f"{m[1]}\x1b[{COLOURS[m[2]]}m{m[2]}\x1b[0m", table)


def warnings(run: JudgedRun) -> str:
    """Return what a reader should know before trusting any number of a run."""
    said = (f"{c.says}; to do: {c.do}" if c.do else c.says for c in cautions.of_all(run))
    lines = [line for caution in said for line in wrapped(caution)]
    return "\n".join(["warnings", *lines]) if lines else ""


def _legend(trials: list[JudgedTrial], plan: Plan) -> list[str]:
    """Say what the numbers are."""
    says = (
        f"Ratios to the trial's baseline, with their {text.level(plan.confidence)} intervals: less "
        "is better. A number without a verdict is inconclusive; the line below says what is open."
    )
    return textwrap.wrap(legible(" ".join([says, *_of_quality(trials)])), WIDTH)


def _of_quality(trials: list[JudgedTrial]) -> Iterator[str]:
    """Yield what quality is, where it is something else than a ratio of which less is better."""
    parts = (answer.part("quality").finding for trial in trials for answer in trial.answers)
    titles: dict[str, set[str]] = {}
    for metric in (finding.metric for finding in parts if finding):
        is_a = f"is a {metric.scale}: {metric.better} is better."
        titles.setdefault(is_a, set()).add(metric.title)
    usual = titles.pop("is a ratio: less is better.", None)
    alone = usual is None and len(titles) == 1
    for is_a, measured in titles.items():
        yield f"Quality {is_a}" if alone else f"Quality as {' or '.join(sorted(measured))} {is_a}"


def _verdicts(trials: list[JudgedTrial], names: list[str]) -> list[str]:
    """Return one line for each treatment, under a line for its trial."""
    rows: list[tuple[str, ...]] = [HEADINGS]
    for trial, name in zip(trials, names, strict=True):
        timed = trial.data.declared.timed
        rows.append((legible(f"{name}{_against(trial)}" if timed else name),))
        rows += [row for answer in trial.answers for row in _rows(answer)]
    return [*_aligned(rows), *_undecided(trials)] if trials else []


def _undecided(trials: list[JudgedTrial]) -> list[str]:
    """Say how many arms are undecided, and of how many it is known that they are nearly alike."""
    found = [a for trial in trials for a in trial.answers if a.word is Word.UNDECIDED]
    if not (nearly := near(found)):
        return []
    return ["", *textwrap.wrap(f"{text.count(len(found), 'arm')} undecided; {nearly}", WIDTH)]


def _against(trial: JudgedTrial) -> str:
    """Return the baseline's name, and how long a step of it takes where that is known."""
    found = (answer.part("time").finding for answer in trial.answers)
    step_s = next((finding.baseline_value for finding in found if finding), None)
    many = trial.data.declared.case.get("batches") if trial.data.declared.subject else None
    of = f" of {text.count(many, 'batch')}" if isinstance(many, int) else ""
    at = f" at {text.seconds(step_s)} a step{of}" if step_s else ""
    return f", against {trial.data.baseline}{at}"


def _rows(answer: Answer) -> list[tuple[str, ...]]:
    """Return the line of an arm, and one for each dimension that is open."""
    if not answer.measured:
        return [(f"  {legible(answer.arm)}: {answer.word}",)]
    step = answer.part("time").finding
    row = (
        f"  {legible(answer.arm)}",
        str(answer.word),
        text.compared(step) if step else "–",
        text.settled(step) if step else "–",
        *(_brief(answer.part(dimension).finding) for dimension in DIMENSIONS[1:]),
    )
    return [row, *((_open(finding),) for finding in answer.open)]


def _brief(finding: Finding | None) -> str:
    return f"{text.brief(finding)} {text.settled(finding)}".rstrip() if finding else "–"


def _open(finding: Finding) -> str:
    return legible(f"    {finding.metric.title} {finding.verdict}: {text.left_open(finding)}")


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows in columns; a row of one cell runs across them.

    Columns for which there is no room stand below their row.
    """
    full = [row for row in rows if len(row) > 1]
    used = [i for i in range(len(HEADINGS)) if i < 2 or any(row[i] != "–" for row in full[1:])]
    widths = {i: max(len(row[i]) for row in full) for i in used}
    below: list[int] = []
    while used[4:] and _room(used, widths) < min(widths[0], 16):
        below.insert(0, used.pop())
    widths[0] = min(widths[0], max(12, _room(used, widths)))
    lines = []
    for row in rows:
        if len(row) == 1:
            lines += textwrap.wrap(_cut(row[0], 3 * WIDTH), WIDTH, subsequent_indent=" " * 6)
            continue
        cells = (_cut(row[i], widths[i]).ljust(widths[i]) for i in used)
        lines.append("  ".join(cells)[:WIDTH].rstrip())
        beside = [f"{HEADINGS[i]} {row[i]}" for i in below if row[i] not in ("–", HEADINGS[i])]
        lines += wrapped("; ".join(beside), 4)
    return lines


def _room(used: list[int], widths: Mapping[int, int]) -> int:
    """Return how wide the first column can be."""
    return WIDTH - sum(widths[i] + 2 for i in used[1:])


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else f"{cell[: width - 1]}…"


def _claims(trials: list[JudgedTrial]) -> list[str]:
    lines = []
    for trial in trials:
        for judged in trial.claims:
            claim, wanted = judged.claim, text.wanted(judged.claim, trial.data)
            why = textwrap.shorten(legible(judged.reason), 160, placeholder=" …")
            found = _found(judged, judged.finding) if judged.finding else why
            about = f"{claim.arm}: {wanted}" if claim.arm else wanted
            lines += wrapped(f"{judged.outcome}: “{claim.statement}”")
            lines += wrapped(f"{claim.id} ({about}): {found}", 6)
    return lines and ["claims", *lines]


def _found(judged: ClaimFinding, finding: Finding) -> str:
    """Return what was found, and how a claim can be settled where the verdict is open."""
    found = text.compact(finding)
    settled = judged.outcome in (Outcome.CONFIRMED, Outcome.REFUTED)
    if settled and finding.verdict is Verdict.INCONCLUSIVE:
        return f"{found}: clear of this bound, though not of no difference"
    return found


def _troubles(trials: list[JudgedTrial], names: list[str]) -> list[str]:
    lines = []
    for trial, name in zip(trials, names, strict=True):
        for answer in trial.answers:
            if answer.reason:
                lines += wrapped(f"{answer.word}: {name}, {answer.arm}: {answer.reason}")
        late = trial.data.failed(trial.data.baseline, CONTROL)
        if late and not any(answer.reason for answer in trial.answers):
            lines += wrapped(f"failed: {name}, {trial.data.baseline}, the baseline: {late}")
        for tried in trial.data.attempts:
            if tried.what in ("killed", "timed out"):
                lines += wrapped(f"{tried.what}: {name}, tried “{tried.says}”: {tried.said}")
    return lines


def wrapped(line: str, indent: int = 2) -> list[str]:
    """Return a line of whatever text as lines that fit the terminal."""
    return text.wrapped(legible(line)[:2000], indent)
