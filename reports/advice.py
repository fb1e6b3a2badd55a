"""What to do with a reader's own model: sentences, each with the arm that it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.answers import Answer, Word
from keras_ab.bench.lab.judge.contrasts import block_logs
from keras_ab.bench.lab.judge.estimate import interval
from keras_ab.bench.lab.judge.findings import Finding
from keras_ab.bench.lab.judge.peaks import Ranges
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.declared import ArmRecord
from keras_ab.bench.lab.words.arms import NOTHING_LOADED
from keras_ab.bench.lab.words.metrics import FIRST_STEP_TIME, PEAK_DEVICE_MEMORY, PEAK_HOST_MEMORY
from keras_ab.reports.citing import WHOLE, Quotable
from keras_ab.reports.judged import JudgedTrial, Multiplicity, multiplicity
from keras_ab.reports.sections import TrialView
from keras_ab.reports.summary import weight
from keras_ab.reports.terminal import wrapped
from keras_ab.reports.together import Told, confirms, crosses, listed, ratio_of

VERBS = {
    Word.GAIN: "Use",
    Word.TRADE: "A trade",
    Word.LOSS: "Not",
    Word.NO_DIFFERENCE: "No difference",
    Word.UNDECIDED: "Undecided",
    Word.FAILED: "Failed",
    Word.NOT_MEASURED: "Not here",
    Word.INVALID: "Invalid",
}
"""How the sentence on an arm begins."""
UNJUDGED = "If it learns as well"
"""What it begins with, in place of "Use", where an arm may learn otherwise and nobody looked."""
WEAK = "Perhaps"
"""What it begins with where nothing that got better stands out among so many comparisons, or where
something else is likely to have got worse, which is left open."""
MOVED = math.log(1.1)
"""A ratio of the whole process' memory that is told, as a logarithm."""
ORDER = (VERBS[Word.GAIN], UNJUDGED, VERBS[Word.TRADE], WEAK, *VERBS.values())
"""In which they are told, of those that begin alike what matters most."""


@dataclass(frozen=True)
class Sentence:
    """One piece of advice.

    Args:
        verb: what it begins with.
        says: the rest.
        trial: the trial that it rests on.
        arm: the arm; empty where it rests on several.
        paste: what to write to have it, where it got anything better.
        told: what it repeats of several arms.
        weight: how much it matters among those that begin alike.
    """

    verb: str
    says: str
    trial: str
    arm: str = ""
    paste: str = ""
    told: Told | None = None
    weight: float = 0.0

    @property
    def cited(self) -> tuple[str, str]:
        """What its trial's quotables have it by."""
        return self.told.cited if self.told else (self.arm, WHOLE)

    def __str__(self) -> str:
        return f"{self.verb}: {self.says}"


@dataclass(frozen=True)
class Advice:
    """What a run says about one subject, what to do first."""

    subject: str
    sentences: list[Sentence]
    machine: str = ""
    views: Mapping[str, TrialView] = field(default_factory=dict)
    """What a page has of each trial."""

    def quotable(self, sentence: Sentence) -> Quotable | None:
        """Return what cites a sentence."""
        return self.views[sentence.trial].quotables.get(sentence.cited)


def advised(views: Sequence[TrialView], many: Multiplicity) -> list[Advice]:
    """Return advice for each subject on each machine of a page, which makes many comparisons."""
    found = []
    for machine in dict.fromkeys(view.machine for view in views):
        here = [view for view in views if view.machine == machine]
        by_trial = {view.declared.trial: view for view in here}
        own = advice([view.trial for view in here], many)
        found += [replace(a, machine=machine, views=by_trial) for a in own]
    return found


def advice(trials: Sequence[JudgedTrial], many: Multiplicity | None = None) -> list[Advice]:
    """Return advice for each subject among some trials; none for workloads of ours.

    Args:
        trials: some trials.
        many: the comparisons that are made; those of the trials where it is not given.
    """
    if many is None:
        many = multiplicity(trials, min((t.plan.confidence for t in trials), default=0.0))
    by_subject: dict[str, list[JudgedTrial]] = {}
    for trial in trials:
        if subject := trial.data.declared.subject:
            by_subject.setdefault(subject, []).append(trial)
    return [Advice(subject, _sentences(own, many)) for subject, own in by_subject.items()]


def _name(trial: JudgedTrial) -> str:
    return trial.data.declared.trial


def _parameter(trial: JudgedTrial, name: str, default: float) -> float:
    """Return a number that the case of a trial sets."""
    value = trial.data.declared.case.get(name)
    return float(value) if isinstance(value, int | float) else default


def _sentences(trials: Sequence[JudgedTrial], many: Multiplicity) -> list[Sentence]:
    """Return the confirmed stack, then what each technique does, then what they do together."""
    together = [_together(trial, told) for trial in trials for told in trial.told]
    lead = [s for t in trials if confirms(t.data.declared) for s in _of_arms(t, many, 1)]
    singles = [s for t in trials if not crosses(t.data.declared) for s in _of_arms(t, many)]
    ranked = sorted(singles, key=_rank)
    costs = [sentence for trial in trials[-1:] for sentence in _costs(trial)]
    return [*lead, *costs, *together, *ranked]


def _rank(sentence: Sentence) -> tuple[int, float]:
    verb = sentence.verb
    return ORDER.index(verb) if verb in ORDER else -1, -sentence.weight


def _together(trial: JudgedTrial, told: Told) -> Sentence:
    return Sentence(told.verb, told.says, _name(trial), told=told)


def _of_arms(trial: JudgedTrial, many: Multiplicity, most: int | None = None) -> Iterator[Sentence]:
    """Yield a sentence on each arm, or on the first few; of a broken trial, on what broke it."""
    if trial.data.invalid:
        yield from _broken(trial)
        return
    arms = {arm.name: arm for arm in trial.data.declared.arms}
    for answer in trial.answers[:most]:
        arm, step = arms[answer.arm], answer.part("time").finding
        if answer.arm == NOTHING_LOADED:
            yield from [_loading(trial, step)] if step else []
        else:
            helps = answer.word in (Word.GAIN, Word.TRADE)
            unjudged = helps and not _learns(trial, answer)
            said = f"; what is learnt was not judged{_why(trial, answer)}" if unjudged else ""
            yield Sentence(
                _verb(answer, many, unjudged=unjudged),
                f"{_what(arm)}: {_came_to(trial, answer, many)}{said}",
                _name(trial),
                answer.arm,
                arm.code if helps else "",
                weight=weight(answer),
            )


def _verb(answer: Answer, many: Multiplicity, *, unjudged: bool) -> str:
    """Return what the sentence on an arm begins with."""
    if answer.word in (Word.GAIN, Word.TRADE):
        better = [f for f in answer.findings if f.verdict is Verdict.BETTER]
        if any(map(_may_be_worse, answer.findings)) or not any(_stands(f, many) for f in better):
            return WEAK
    if answer.word is Word.GAIN and unjudged:
        return UNJUDGED
    return VERBS.get(answer.word, str(answer.word))


def _learns(trial: JudgedTrial, answer: Answer) -> bool:
    """Tell whether an arm promises the same loss, or what it learnt was judged."""
    promised = [guard for guard in trial.data.declared.guards if guard.tolerance is not None]
    same = any(not guard.arms or answer.arm in guard.arms for guard in promised)
    return same or answer.part("quality").finding is not None


def _why(trial: JudgedTrial, answer: Answer) -> str:
    if trial.data.declared.quality:
        return f": {answer.part('quality').reason}"
    return " (--quality does)"


def _broken(trial: JudgedTrial) -> Iterator[Sentence]:
    """Yield what did not keep its promise, so that the rest was measured without it."""
    for check in trial.data.broken:
        guard = trial.data.guard(check)
        says = guard.says if guard else check.observed
        off = "not finite" if check.relative_error is None else text.error(check.relative_error)
        said = f"{check.arm.replace('_', ' ')}: {says}? Off by {off}"
        yield Sentence("Left out", said, _name(trial))


def _what(arm: ArmRecord) -> str:
    names = [name.replace("_", " ") for name in arm.techniques or [arm.name]]
    return listed(names)


def _came_to(trial: JudgedTrial, answer: Answer, many: Multiplicity) -> str:
    """Return what was found of an arm, or why there is nothing, in one line."""
    if answer.reason or not answer.measured:
        return answer.reason
    told = (f"{f.metric.title} {text.compact(f)}, {_judged(f, many)}" for f in answer.findings)
    return "; ".join([*told, *_whole_process(trial, answer, many), *_break_even(trial, answer)])


def _judged(finding: Finding, many: Multiplicity) -> str:
    """Return a verdict, with what it lacks."""
    if finding.verdict is Verdict.INCONCLUSIVE:
        return f"{finding.verdict}: {text.power(finding)}"
    decides = finding.verdict in (Verdict.BETTER, Verdict.WORSE)
    if decides and not _stands(finding, many):
        return f"{finding.verdict}, though weak among {many.compared} comparisons"
    return str(finding.verdict)


def _may_be_worse(finding: Finding) -> bool:
    """Tell whether what is open lies beyond the margin, or all of it on the worse side of none.

    Ranges are open by what the order of operations moves, which lies on both sides.
    """
    e, less = finding.estimate, finding.metric.better == "less"
    point, nearest = (e.point, e.low) if less else (-e.point, -e.high)
    is_open = finding.verdict is Verdict.INCONCLUSIVE and not isinstance(e, Ranges)
    return is_open and (nearest > 0 or point > finding.thresholds.margin)


def _stands(finding: Finding, many: Multiplicity) -> bool:
    """Tell whether a verdict stands out among many; ranges are told, and speak for themselves."""
    return isinstance(finding.estimate, Ranges) or many.survives(finding)


def _whole_process(trial: JudgedTrial, answer: Answer, many: Multiplicity) -> Iterator[str]:
    """Yield what became of the host's memory, where the device's alone is judged and this moved."""
    judged = answer.part("memory").finding
    host = trial.find(answer.arm, PEAK_HOST_MEMORY.name)
    if not judged or not host or judged.metric.name != PEAK_DEVICE_MEMORY.name:
        return
    if abs(host.estimate.point) > MOVED and many.survives(host):
        sizes = f"{text.size(host.baseline_value)} to {text.size(host.arm_value)}"
        yield f"host memory, code and compiler included, {text.brief(host)}, {sizes}"


def _break_even(trial: JudgedTrial, answer: Answer) -> Iterator[str]:
    """Yield after how many batches a longer first step has paid for itself."""
    step, first = answer.part("time").finding, trial.find(answer.arm, FIRST_STEP_TIME.name)
    if not step or not first or (step.verdict, first.verdict) != (Verdict.BETTER, Verdict.WORSE):
        return
    later = first.arm_value - first.baseline_value
    saved = step.baseline_value - step.arm_value
    if later > 0 and saved > 0:
        batches = math.ceil(later / saved) * int(_parameter(trial, "batches", 1))
        yield f"a first step {text.seconds(later)} longer, paid back after {batches} batches"


def _loading(trial: JudgedTrial, step: Finding) -> Sentence:
    """Return which of data and device limits the subject."""
    e = step.estimate
    return Sentence(
        "Data",
        f"with the same batch over and over, nothing loaded, a step takes {ratio_of(e)} of what it "
        f"takes with yours; {_limits(step)}",
        _name(trial),
        step.arm,
    )


def _costs(trial: JudgedTrial) -> Iterator[Sentence]:
    """Yield what a million examples cost as it is and with the first arm, by the reader's price."""
    if not (price := _parameter(trial, "price_per_h", 0)):
        return
    million = 1e6 / (_parameter(trial, "batches", 1) * _parameter(trial, "batch", 1))
    hour_s = 3600.0
    for arm in (a.name for a in trial.data.declared.arms[:2]):
        if logs := block_logs(trial.data, arm):
            e = interval(logs, trial.plan.confidence)
            low, point, high = (
                text.number(price * million * math.exp(x) / hour_s)
                for x in (e.low, e.point, e.high)
            )
            says = f"{arm.replace('_', ' ')}: {point} [{low}, {high}] for a million examples"
            yield Sentence("Costs", f"{says}, at {text.number(price)} an hour", _name(trial), arm)


def _limits(step: Finding) -> str:
    if step.verdict is Verdict.BETTER:
        return "no technique on the device saves the rest"
    return "loading does not limit it" if step.verdict is Verdict.EQUIVALENT else "undecided"


def written(found: Iterable[Advice]) -> str:
    """Return advice as lines for a terminal; what to write stands below what gets better."""
    lines = []
    for own in found:
        lines.append(f"advice for {own.subject}")
        for sentence in own.sentences:
            lines += wrapped(str(sentence))
            lines += [f"          {line}" for line in sentence.paste.splitlines()]
    return "\n".join(lines)
