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
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.record.declared import ArmRecord
from keras_ab.bench.lab.words.arms import NOTHING_LOADED
from keras_ab.bench.lab.words.metrics import FIRST_STEP_TIME
from keras_ab.reports.citing import WHOLE, Quotable
from keras_ab.reports.judged import JudgedTrial
from keras_ab.reports.sections import TrialView
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
"""How the sentence on an arm begins; they are told in this order."""
UNJUDGED = "If it learns as well"
"""What it begins with, in place of "Use", where an arm may learn otherwise and nobody looked."""


@dataclass(frozen=True)
class Sentence:
    """One piece of advice.

    Args:
        verb: what it begins with.
        says: the rest.
        trial: the trial that it rests on.
        arm: the arm; empty where it rests on several.
        paste: what to write to have it.
        told: what it repeats of several arms.
    """

    verb: str
    says: str
    trial: str
    arm: str = ""
    paste: str = ""
    told: Told | None = None

    @property
    def cited(self) -> tuple[str, str]:
        """What its trial's quotables have it by."""
        return self.told.cited if self.told else (self.arm, WHOLE)

    @property
    def code(self) -> str:
        """What to write to have it, where it is advised."""
        return self.paste if self.verb in (VERBS[Word.GAIN], UNJUDGED) else ""

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


def advised(views: Sequence[TrialView]) -> list[Advice]:
    """Return advice for each subject on each machine of a page."""
    found = []
    for machine in dict.fromkeys(view.machine for view in views):
        here = [view for view in views if view.machine == machine]
        by_trial = {view.declared.trial: view for view in here}
        own = advice(view.trial for view in here)
        found += [replace(a, machine=machine, views=by_trial) for a in own]
    return found


def advice(trials: Iterable[JudgedTrial]) -> list[Advice]:
    """Return advice for each subject among some trials; none for workloads of ours."""
    by_subject: dict[str, list[JudgedTrial]] = {}
    for trial in trials:
        if subject := trial.data.declared.subject:
            by_subject.setdefault(subject, []).append(trial)
    return [Advice(subject, _sentences(own)) for subject, own in by_subject.items()]


def _name(trial: JudgedTrial) -> str:
    return trial.data.declared.trial


def _parameter(trial: JudgedTrial, name: str, default: float) -> float:
    """Return a number that the case of a trial sets."""
    value = trial.data.declared.case.get(name)
    return float(value) if isinstance(value, int | float) else default


def _sentences(trials: Sequence[JudgedTrial]) -> list[Sentence]:
    """Return the confirmed stack, then what each technique does, then what they do together."""
    together = [_together(trial, told) for trial in trials for told in trial.told]
    lead = [s for trial in trials if confirms(trial.data.declared) for s in _of_arms(trial, 1)]
    singles = [s for t in trials if not crosses(t.data.declared) for s in _of_arms(t)]
    order = [VERBS[Word.GAIN], UNJUDGED, *VERBS.values()]
    ranked = sorted(singles, key=lambda s: order.index(s.verb) if s.verb in order else -1)
    costs = [sentence for trial in trials[-1:] for sentence in _costs(trial)]
    return [*lead, *costs, *together, *ranked]


def _together(trial: JudgedTrial, told: Told) -> Sentence:
    return Sentence(told.verb, told.says, _name(trial), told=told)


def _of_arms(trial: JudgedTrial, most: int | None = None) -> Iterator[Sentence]:
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
            unjudged = answer.word in (Word.GAIN, Word.TRADE) and not _learns(trial, answer)
            said = f"; what is learnt was not judged{_why(trial, answer)}" if unjudged else ""
            verb = VERBS.get(answer.word, str(answer.word))
            yield Sentence(
                UNJUDGED if unjudged and answer.word is Word.GAIN else verb,
                f"{_what(arm)}: {_came_to(trial, answer)}{said}",
                _name(trial),
                answer.arm,
                arm.code if answer.word in (Word.GAIN, Word.TRADE) else "",
            )


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


def _came_to(trial: JudgedTrial, answer: Answer) -> str:
    """Return what was found of an arm, or why there is nothing, in one line."""
    if answer.reason or not answer.measured:
        return answer.reason
    found = [part.finding for part in answer.parts if part.finding]
    told = "; ".join(f"{f.metric.title} {text.compact(f)}, {f.verdict}" for f in found)
    open_ones = [f"{f.metric.title}: {text.power(f)}" for f in answer.open]
    return "; ".join([told, *open_ones, *_break_even(trial, answer)])


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
    """Return advice as lines for a terminal; what to write stands below what to use."""
    lines = []
    for own in found:
        lines.append(f"advice for {own.subject}")
        for sentence in own.sentences:
            lines.append(f"  {sentence}")
            lines += [f"      {line}" for line in sentence.code.splitlines()]
    return "\n".join(lines)
