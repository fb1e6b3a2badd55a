"""A stable id for every number, and the sentence that quotes it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import quote

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer
from keras_ab.bench.lab.judge.findings import ClaimFinding, Finding
from keras_ab.bench.lab.judge.peaks import Ranges
from keras_ab.bench.lab.record.declared import Trial
from keras_ab.bench.lab.words.errors import RecordError
from keras_ab.reports.judged import JudgedRun, JudgedTrial
from keras_ab.reports.legible import legible
from keras_ab.reports.loading import Runs, load_some
from keras_ab.reports.machines import is_simulated, machine_name, versions
from keras_ab.reports.markdown import SPECIAL
from keras_ab.reports.together import Told, crosses, listed

MARK = "keras-ab:"
"""What an id in a document begins with."""
WHOLE = "answer"
"""What stands in the place of a metric where the answer for an arm is cited."""
LONGEST = 80
"""Characters of one part of an id; a longer name is cut and told apart by its digest."""
FORMATS = ("markdown", "latex", "plain")

_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "#$%&_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "×": r"$\times$",
        "−": "$-$",
        "µ": r"$\mu$",
        "∞": r"$\infty$",
        "…": r"\ldots{}",
        "–": "--",
        "’": "'",
    }
)


@lru_cache(maxsize=4096)
def id_part(name: str) -> str:
    """Return one part of an id: safe in a URL, an attribute, LaTeX and Markdown code."""
    written = name
    if len(name) > LONGEST:
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        written = f"{name[:60]}...{digest[:12]}"
    return quote(written, safe="[]:=,", errors="surrogatepass").replace("~", "%7E")


def number_id(run: str, trial: str, arm: str, metric: str) -> str:
    """Return the id of what a run found about one metric of one arm."""
    return "/".join(map(id_part, (run, trial, arm, metric)))


def claim_id(run: str, trial: str, claim: str) -> str:
    """Return the id of what a run found about one claim."""
    return "/".join(map(id_part, (run, trial, "claim", claim)))


@dataclass(frozen=True)
class Style:
    """How one format writes words, and code."""

    plain: Callable[[str], str]
    code: Callable[[str], str]


STYLES = {
    "plain": Style(str, str),
    "markdown": Style(
        lambda words: words.translate(SPECIAL),
        lambda code: "`{}`".format(code.replace("`", "'")),
    ),
    "latex": Style(
        lambda words: words.translate(_LATEX), lambda code: rf"\texttt{{{code.translate(_LATEX)}}}"
    ),
}


@dataclass(frozen=True)
class Quotable:
    """One number of one run, or the answer for one arm, with all that a citation says about it."""

    run: JudgedRun
    trial: JudgedTrial
    id: str
    finding: Finding | None
    claim: ClaimFinding | None = None
    answer: Answer | None = None
    told: Told | None = None

    @property
    def says(self) -> str:
        """What the number is about, in a few words."""
        if self.told:
            return f"{self.told.kind} of {_short(listed(self.told.techniques))}"
        if self.answer:
            return f"answer for {_short(self.answer.arm)}"
        if self.claim:
            return f"claim {_short(self.claim.claim.id)}"
        assert self.finding is not None  # noqa: S101 - a number without a claim has a finding
        return f"{_short(self.finding.metric.title)} of {_short(self.finding.arm)}"

    def sentence(self, form: str = "plain") -> str:
        """Return the sentence that cites the number, in ``markdown``, ``latex`` or ``plain``."""
        mark = [(self.source, False), (f"{MARK}{self.id}", True), (").", False)]
        return _styled([*self._parts, *mark], form)

    @property
    def opening(self) -> str:
        """The sentence, plain, up to its source, which all numbers of a run share."""
        return _styled(self._parts, "plain")

    @cached_property
    def source(self) -> str:
        """What a sentence says of the run, up to the number's id."""
        return (
            f" {machine_name(self.run)}; {_short(versions(self.run), 200)}; "
            f"keras-ab run {_short(self.run.header.run)}, SHA-256 {self.run.run.sha256[:16]} ("
        )

    @cached_property
    def _parts(self) -> list[tuple[str, bool]]:
        """The opening in pieces, each with whether it is code."""
        case = self.trial.data.declared.case
        about = ", ".join(f"{_short(k)}={_short(str(v))}" for k, v in case.items())
        simulated = "Simulated, not measured: " if is_simulated(self.run) else ""
        experiment = _short(self.trial.data.declared.experiment)
        return [
            (f"{simulated}{experiment}{f' ({about})' if about else ''}: ", False),
            *self._own_parts(),
        ]

    def _own_parts(self) -> list[tuple[str, bool]]:
        if self.told:
            level = text.level(self.trial.plan.confidence)
            return [(f"{_short(self.told.says, 300)} ({level} interval).", False)]
        if self.answer:
            return self._whole(self.answer)
        return self._claim() if self.claim else self._estimate()

    def _whole(self, answer: Answer) -> list[tuple[str, bool]]:
        found = answer.findings
        parts = (f"{_short(f.metric.title)} {text.compact(f)}, {f.verdict}" for f in found)
        told = "; ".join(filter(None, [_short(answer.reason, 300), *parts]))
        return [
            (_short(answer.arm), True),
            (" against ", False),
            (_short(self.trial.data.baseline), True),
            (f", in one word: {answer.word} ({told}).", False),
        ]

    def _estimate(self) -> list[tuple[str, bool]]:
        finding = self.finding
        if finding is None:
            return [("nothing was found.", False)]
        verdict = f", {finding.verdict}."
        return [(f"{_short(finding.metric.title)} of ", False), *self._found(finding, verdict)]

    def _found(self, finding: Finding, end: str) -> list[tuple[str, bool]]:
        unit, confidence = finding.metric.unit, self.trial.plan.confidence
        values = (text.quantity(x, unit) for x in (finding.arm_value, finding.baseline_value))
        against = (self.claim and self.claim.claim.against) or self.trial.data.baseline
        has_interval = not (text.is_exact(finding) or isinstance(finding.estimate, Ranges))
        evidence = f"{text.level(confidence)} interval, " if has_interval else ""
        evidence += text.count(finding.estimate.blocks, finding.counts)
        return [
            (_short(finding.arm), True),
            (" against ", False),
            (_short(against), True),
            (f": {text.compact(finding)} ({evidence}; {' against '.join(values)}){end}", False),
        ]

    def _claim(self) -> list[tuple[str, bool]]:
        judged = self.claim
        assert judged is not None  # noqa: S101 - chosen by the caller
        claim, wanted = judged.claim, text.wanted(judged.claim, self.trial.data)
        said = f"the claim “{_short(claim.statement, 300)}” ({_short(claim.source, 300)}) is "
        head = f"{said}{judged.outcome}: {_short(wanted, 300)} was claimed; "
        if judged.finding is None:
            return [(f"{head}{_short(judged.reason, 300)}.", False)]
        return [(f"{head}found of ", False), *self._found(judged.finding, ".")]


def _styled(parts: Iterable[tuple[str, bool]], form: str) -> str:
    style = STYLES[form]
    return "".join((style.code if is_code else style.plain)(part) for part, is_code in parts)


def _short(name: str, longest: int = LONGEST) -> str:
    """Return a name that fits into a sentence, on one line."""
    return " ".join(legible(name, longest).split())


def quotables(runs: Iterable[JudgedRun]) -> Iterator[Quotable]:
    """Yield all of runs that can be cited: findings, answers and claims, trial by trial."""
    for run in runs:
        for trial in run.trials:
            yield from of_trial(run, trial)


def of_trial(run: JudgedRun, trial: JudgedTrial) -> Iterator[Quotable]:
    """Yield all of one trial that can be cited."""
    name = trial.data.declared.trial
    for finding in trial.findings:
        number = number_id(run.header.run, name, finding.arm, finding.metric.name)
        yield Quotable(run, trial, number, finding)
    for answer in trial.answers:
        if answer.measured:
            number = number_id(run.header.run, name, answer.arm, WHOLE)
            yield Quotable(run, trial, number, None, answer=answer)
    for told in trial.told:
        yield Quotable(run, trial, number_id(run.header.run, name, *told.cited), None, told=told)
    for claim in trial.claims:
        number = claim_id(run.header.run, name, claim.claim.id)
        yield Quotable(run, trial, number, claim.finding, claim)


def to_cite(paths: str | Path | Iterable[str | Path], wanted: str) -> Runs:
    """Read runs for a number with an id, judging no trial that cannot have it.

    Where none has it all are judged, for `cite` to say what there is.

    Args:
        paths: see `reports.load`.
        wanted: an id, or a part that only one number has.

    Raises:
        RecordError: where nothing can be read.
    """
    asked = _asked(wanted)
    some = load_some(paths, lambda run, data: _may_have(run, data.declared, asked))
    try:
        cite(some.runs, wanted)
    except RecordError:
        return load_some(paths)
    return some


def _asked(wanted: str) -> tuple[str, str]:
    """Return an id as it is asked for, and with each name as ids have it."""
    asked = wanted.removeprefix(MARK)
    return asked, "/".join(map(id_part, asked.split("/")))


def _may_have(run: str, trial: Trial, asked: tuple[str, str]) -> bool:
    """Tell whether a number of a trial may have an id, or a part of one."""
    metrics = [*(metric.name for metric in trial.metrics), WHOLE]
    numbers = (number_id(run, trial.trial, a.name, m) for a in trial.arms for m in metrics)
    claims = (claim_id(run, trial.trial, claim.id) for claim in trial.claims)
    return crosses(trial) or any(a in number for number in (*numbers, *claims) for a in asked)


def cite(runs: Iterable[JudgedRun], wanted: str) -> Quotable:
    """Return the number with an id, or with an id that ends this way.

    Raises:
        RecordError: where no number, or more than one, has this id.
    """
    asked = _asked(wanted)
    known = list(quotables(runs))
    exact = [quotable for quotable in known if quotable.id in asked]
    found = exact or [quotable for quotable in known if any(a and a in quotable.id for a in asked)]
    if len(found) == 1:
        return found[0]
    listed = [quotable.id for quotable in (found or known)]
    shown = "\n    ".join(listed[:20]) + ("\n    …" if len(listed) > 20 else "")
    raise RecordError(
        "an id, or a part of one, names one number",
        f"{legible(wanted, 300)!r}, which {len(found)} of {len(known)} numbers have",
        f"use one of\n    {shown}",
    )
