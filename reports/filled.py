"""Tables, numbers and sentences in a document, filled from runs: no digit is typed by hand."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median
from textwrap import wrap

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.verdicts import Outcome
from keras_ab.bench.lab.record.records import Resumed
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.reports.advice import advice
from keras_ab.reports.citing import Quotable, cite
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.loading import load
from keras_ab.reports.machines import machine_name, versions
from keras_ab.reports.markdown import code, escape
from keras_ab.reports.profiles import of_runs, signed_percent
from keras_ab.reports.tables import case_text
from keras_ab.reports.views import also_learnt, other_sizes

_BODY = r"((?:(?!<!-- ).)*?)"
"""What stands between two comments: no other comment."""
BLOCK = re.compile(rf"(<!-- run: (\S+) -->\n){_BODY}(<!-- end of run -->)", re.DOTALL)
ADVICE = re.compile(rf"(<!-- advice: (\S+) -->\n){_BODY}(<!-- end of advice -->)", re.DOTALL)
HEADINGS = ("technique", "arm", "case", "answer", "step time", "memory", "besides")
_ROW = re.compile(r"\| (.+?) \| `([a-z0-9_]+)/([a-z0-9_]+)`(?: [^|]*)?\|.*")


QUOTED = re.compile(
    rf"(<!-- (number|sentence|profile): (\S+) (\S+) -->){_BODY}(<!-- end -->)", re.DOTALL
)
"""What stands for a number in a line, and for sentences in lines of their own."""
OF_RUN = re.compile(rf"(<!-- (id|minutes|half-width): (\S+) -->){_BODY}(<!-- end -->)", re.DOTALL)
"""What stands for something of a whole run in a line."""
_FORMS = (BLOCK, ADVICE, QUOTED, OF_RUN)
_BEGUN = re.compile(r"<!-- (?:run|advice|number|sentence|profile|id|minutes|half-width): .*")
WIDTH = 100
"""Characters in a line of a sentence."""
MOST_SAID = 2000
"""Characters of a piece of advice that are shown."""


def filled(document: str, folder: Path) -> str:
    """Return a document with all that runs give in it made anew.

    Between ``<!-- run: FILE -->`` and ``<!-- end of run -->`` stands a table: each row keeps its
    first two cells, a technique in words and ``experiment/arm``, which gets the baseline beside it;
    below it stands what became of the run's claims. Between ``<!-- number: FILE ID -->`` and
    ``<!-- end -->`` stands a number, after ``<!-- sentence: FILE ID -->`` the sentence that quotes
    it, after ``<!-- profile: FILE ID -->`` what the profiler told of its arm; `ID` is what
    `keras-ab cite` takes. In the place of a number, ``id: FILE`` is the run's,
    ``minutes: FILE`` how long it took, and ``half-width: FILE`` that of its intervals of step time,
    at the median. Between ``<!-- advice: FILE -->`` and
    ``<!-- end of advice -->`` stands what the run says to do with a reader's own model.

    Args:
        document: the text, as Markdown.
        folder: from which the run files are seen.

    Raises:
        RecordError: for a run that cannot be read, or lacks an arm.
    """
    _check_whole(document)
    runs = cache(lambda file: load(folder / file).runs)
    run = cache(lambda file: _only(file, runs(file)))
    with_tables = BLOCK.sub(lambda b: f"{b[1]}{_table(b, run(b[2]))}{b[4]}", document)
    advised = ADVICE.sub(lambda a: f"{a[1]}{_advice(run(a[2]))}{a[4]}", with_tables)
    told = OF_RUN.sub(lambda r: f"{r[1]}{_of_run(r[2], run(r[3]))}{r[5]}", advised)
    return QUOTED.sub(lambda q: f"{q[1]}{_quoted(q[2], cite(runs(q[3]), q[4]))}{q[6]}", told)


def _check_whole(document: str) -> None:
    """Refuse a comment without its end: what follows it would be taken for what it stands for."""
    whole = {found.start() for form in _FORMS for found in form.finditer(document)}
    for begun in _BEGUN.finditer(document):
        if begun.start() not in whole:
            raise RecordError(
                "each comment that begins a place to fill names what goes there and has its end",
                begun[0][:200],
                "write <!-- end --> after it (<!-- end of run -->, <!-- end of advice -->)",
            )


def _only(place: str, runs: Sequence[JudgedRun]) -> JudgedRun:
    if len(runs) != 1:
        raise RecordError(
            "a table, advice, or something of a whole run is of one run",
            f"{place}: {len(runs)} runs",
            "name a run file",
        )
    return runs[0]


def _of_run(form: str, run: JudgedRun) -> str:
    """Return something of a whole run, as a line has it."""
    return {"id": _id, "minutes": _minutes, "half-width": _half_width}[form](run)


def _id(run: JudgedRun) -> str:
    return f"`{run.header.run}`"


def _half_width(run: JudgedRun) -> str:
    found = [f.estimate for t in run.trials for f in t.findings if f.metric.name == STEP_TIME.name]
    middle = median([estimate.half_width for estimate in found] or [math.inf])
    if not math.isfinite(middle):
        raise RecordError(
            "a run has intervals of step time",
            f"{run.run.path}, most of whose arms have none",
            "name a run with two blocks a trial or more",
        )
    return f"±{text.percent(math.expm1(middle))}"


def _minutes(run: JudgedRun) -> str:
    told = run.header.started, run.run.ended
    paused = any(isinstance(record, Resumed) for record in run.run.records)
    try:
        began, ended = map(datetime.fromisoformat, told)
        took = (ended - began).total_seconds()
    except (ValueError, TypeError):
        took = math.nan
    if paused or not took >= 0:
        how = f"ended {told[1] or 'never'}{', with a pause' * paused}"
        raise RecordError(
            "a run whose time is told was made in one go, to its end",
            f"{run.run.path}, begun {told[0]}, {how}",
            "name another run, or leave its time out",
        )
    return text.count(round(took / 60), "minute")


def _quoted(form: str, quotable: Quotable) -> str:
    """Return a number as a line has it, or sentences as a block."""
    if form == "sentence":
        return _block(f"{quotable.sentence('markdown')}")
    if quotable.finding is None:
        raise RecordError(
            "a number in a document, or what was traced, is of one metric of one arm",
            quotable.id,
            "name it as run/trial/arm/metric, or any end of that",
        )
    if form == "profile":
        return _block(_traced(quotable, quotable.finding.arm))
    return text.compact(quotable.finding)


def _block(words: str) -> str:
    """Return words as a block that quotes them."""
    lines = wrap(words, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "\n" + "".join(f"> {line}\n" for line in lines)


def _traced(quotable: Quotable, arm: str) -> str:
    """Return whether the traces of an arm explain its step time, and what differs most."""
    trial = quotable.trial.data.declared.trial
    for told in of_runs([quotable.run]):
        for difference in told.differences:
            if told.of[1] == trial and difference.arm == arm:
                most = difference.rows[0]
                now, was = text.number(most.arm_calls), text.number(most.baseline_calls)
                share = signed_percent(most.share)
                return (
                    f"{code(arm)} against {code(told.baseline)}: {escape(difference.says)} "
                    f"Most of it is {code(most.operation)}: {share}, {now} calls a step for {was}."
                )
    raise RecordError(
        "what a profiler told is of an arm that was traced, and its baseline too",
        f"{quotable.id}, without such traces",
        "name another arm, or measure with --ab-profile",
    )


def fill(path: Path) -> Path:
    """Fill the tables of a Markdown file where it is; return its path.

    Raises:
        RecordError: for a file that cannot be read, has no such table, or names what a run lacks.
    """
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            "a document to fill is a Markdown file that can be read", str(error), "check the path"
        ) from error
    if not any(form.search(document) for form in (*_FORMS, _BEGUN)):
        raise RecordError(
            "a document to fill has something between two comments",
            f"nothing in {path}",
            "write <!-- run: FILE.jsonl --> above a table and <!-- end of run --> below, or "
            "<!-- number: FILE.jsonl ID --> before a number and <!-- end --> after it; the others "
            "are in docs/citing.md",
        )
    made = filled(document, path.parent)  # all of it, before anything is written
    path.write_text(made, encoding="utf-8")
    return path


def _advice(run: JudgedRun) -> str:
    """Return the advice of a run as a list, and what to write for what is better somewhere."""
    lines = [f"Run `{run.header.run}`: {escape(machine_name(run))}; {escape(versions(run))}.", ""]
    for sentence in (s for own in advice(run.trials) for s in own.sentences):
        words = f"- **{escape(sentence.verb)}**: {escape(sentence.says, MOST_SAID)}"
        lines += wrap(words, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        if sentence.paste:
            pasted = ["```text", *sentence.paste.splitlines(), "```"]
            lines += ["", *(f"  {line}" for line in pasted), ""]
    return "\n".join([*lines, ""])


def _table(block: re.Match[str], run: JudgedRun) -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS)]
    for line in block[3].splitlines():
        if row := _ROW.fullmatch(line):
            rows.append(_row(run, *row.groups()))
        elif line.startswith("|") and line.split("|")[1].strip(" -:") not in ("", HEADINGS[0]):
            raise RecordError(
                "a row begins with a technique in words and `experiment/arm`",
                line[:200],
                "write | a technique | `experiment/arm` |",
            )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{_claims(run.trials)}\n"


def _row(run: JudgedRun, says: str, experiment: str, arm: str) -> tuple[str, ...]:
    for trial in run.trials:
        if trial.data.declared.experiment == experiment and arm in trial.answered:
            answer = trial.answer(arm)
            named = f"`{experiment}/{arm}` against `{trial.data.baseline}`"
            about = says, named, case_text(trial), str(answer.word)
            parts = (_part(answer.part(dimension).finding) for dimension in ("time", "memory"))
            return *about, *parts, _besides(trial, answer)
    raise RecordError(
        "a row names an experiment and an arm of the run",
        f"{experiment}/{arm}, which run {run.header.run} lacks",
        "correct the row, or name another run",
    )


def _part(finding: Finding | None) -> str:
    return f"{text.compact(finding)} {text.settled(finding)}".rstrip() if finding else "–"


def _besides(trial: JudgedTrial, answer: Answer) -> str:
    quality = answer.part("quality").finding
    learnt = [*([quality] if quality else []), *also_learnt(trial, answer.arm)]
    return "; ".join(map(_named, [*other_sizes(trial, answer.arm), *learnt]))


def _named(finding: Finding) -> str:
    return f"{finding.metric.title} {text.compact(finding)}"


def _claims(trials: Iterable[JudgedTrial]) -> str:
    """Return what became of the claims, ``Of 9 claims 5 were confirmed, …``."""
    found = Counter(claim.outcome for trial in trials for claim in trial.claims)
    said = ", ".join(f"{found[outcome]} {word}" for outcome, word in _SAID)
    return f"Of {sum(found.values())} claims {said}."


_SAID: Sequence[tuple[Outcome, str]] = (
    (Outcome.CONFIRMED, "were confirmed"),
    (Outcome.REFUTED, "refuted"),
    (Outcome.UNDECIDED, "stayed undecided"),
    (Outcome.NOT_MEASURED, "were not measured there"),
)
