"""`keras-ab try`: a reader's own model from a first look to advice, in one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import psutil

from keras_ab.bench.lab.judge import text
from keras_ab.bench.lab.judge.findings import Finding, assess
from keras_ab.bench.lab.judge.stacks import best_corner, predicted, stack_of
from keras_ab.bench.lab.judge.verdicts import Verdict
from keras_ab.bench.lab.loop.asking import NoAnswer, ask
from keras_ab.bench.lab.loop.facts import usable_cores
from keras_ab.bench.lab.loop.measure import PROCESSES
from keras_ab.bench.lab.loop.session import Session
from keras_ab.bench.lab.record.records import Absent, Block, Failure, TrialLine
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.arms import Arm
from keras_ab.bench.lab.words.bench_files import load_module
from keras_ab.bench.lab.words.errors import DeclarationError, LabError
from keras_ab.bench.lab.words.metrics import STEP_TIME
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.protocol import Try
from keras_ab.bench.own import experiments, look, techniques
from keras_ab.bench.own.experiments import Terms
from keras_ab.bench.own.look import Found
from keras_ab.bench.own.subject import Subject
from keras_ab.bench.telling import listed, side_by_side

LOOK_S = 600.0
"""How long a first look may take."""

START_S = 1.0
"""What a process takes, about, before the reader's file is imported."""

ROUNDS_S = 2.0
"""What the rounds of a block take, about, for each arm."""

Say = Callable[[str], None]


@dataclass
class Trying:
    """One subject under way in one run.

    Args:
        subject: on trial.
        session: the run.
        backend: of the run.
        say: tells a line.
        terms: of all its experiments.
    """

    subject: Subject
    session: Session
    backend: str
    say: Say
    terms: Terms = field(default_factory=Terms)

    def look(self, names: Sequence[str] = ()) -> Found:
        """Return what a first look finds.

        Args:
            names: of techniques that are asked for; none for all that apply.

        Raises:
            DeclarationError: the subject cannot be put on trial.
        """
        file = self.declared("first_look", f"({self.subject!r})")
        try:
            found = look.found(self._told(file, "look"))
            again = float(self._told(file, "again"))
        except NoAnswer as why:
            raise refused(self.subject, why) from why
        look.check_repeats(self.subject, found, again)
        if not any(map(compiles, techniques.wanted(found, names))):
            return found
        return replace(found, compiled_s=self._compiled_s(file))

    def _compiled_s(self, file: Path) -> float:
        """Return how long a start under the compiler takes; half the budget where it is not over.

        What else it may end with, a trial will say.
        """
        most_s = self.plan.budget_s
        try:
            return float(self._told(file, "compiled", most_s))
        except NoAnswer as why:
            return most_s if why.what == "timed out" else 0.0

    def _told(self, file: Path, attempt: str, limit_s: float = LOOK_S) -> str:
        """Return what an attempt of the first look tells, in a fresh process."""
        name, seed = f"{self.subject.name}_look", self.plan.seed
        with self.session.worker() as worker:
            request = Try(str(file), name, attempt, self.backend, seed)
            return ask(worker, request, limit_s) or ""

    def singles(
        self, found: Found, names: Sequence[str], late: Sequence[str] = ()
    ) -> list[TrialData]:
        """Measure techniques one by one, as many side by side as fit into memory.

        A technique that does not keep what it promises is left out, and the others are measured.

        Args:
            found: by the first look.
            names: of the techniques.
            late: those for which there is no time, which the page says.
        """
        reasons = {**techniques.left_out(found), **dict.fromkeys(late, "no time for it")}
        says = "; ".join(f"{name}: {why}" for name, why in reasons.items() if name not in names)
        done: list[TrialData] = []
        waiting = [list(part) for part in parts(names, at_once(found))]
        while waiting:
            part = waiting.pop(0)
            told = f"Not tried: {says}." if says else ""
            data = self.measure("singles", found, part, told, len(done) + 1)
            done.append(data)
            if kept := self._without_broken(data, part):
                waiting.insert(0, kept)
        return done

    def _without_broken(self, data: TrialData, names: Sequence[str]) -> list[str]:
        """Return the techniques to measure anew, without those that broke a guard."""
        broken = {check.arm for check in data.broken}
        if experiments.AS_IT_IS in broken:
            raise LabError(
                "a subject's weights are finite after a few batches",
                "NaN or infinity, as the file has it",
                "lower the learning rate, or look for NaN in the data",
            )
        for check in data.broken:
            self.say(f"  {check.arm}: not the same {check.observed}, left out")
        return [name for name in names if name not in broken] if broken else []

    def stack(self, found: Found, names: Sequence[str]) -> TrialData:
        """Measure techniques crossed, then the best of their combinations once more."""
        data = self._crossed(found, names)
        crossed = stack_of(data)
        if crossed is None:
            return data
        best = best_corner(crossed)
        chosen = [name for name in names if name in best]
        if not chosen:
            self.say("no combination is faster than the file as it is")
            return data
        if foretold := predicted(crossed, best, self.session.plan):
            ratio = text.ratio(math.exp(foretold.point))
            self.say(f"{' + '.join(chosen)} should come to {ratio}: measured in fresh blocks")
        return self.measure("confirmed", found, chosen)

    def _crossed(self, found: Found, names: Sequence[str]) -> TrialData:
        """Measure techniques crossed; where corners break a guard, the others without them."""
        data = self.measure("stacked", found, names)
        part, left_out = 2, set[str]()
        while broken := {check.arm for check in data.broken} - left_out:
            left_out |= broken
            if experiments.AS_IT_IS in broken or len(left_out) == len(data.treatments):
                break
            self.say(f"  left out: {', '.join(sorted(broken))}")
            data = self.measure("stacked", found, names, sorted(left_out), part)
            part += 1
        return data

    def measure(self, which: str, found: Found, names: Sequence[str], *more: object) -> TrialData:
        """Declare one of the subject's experiments, and measure it."""
        given = ", ".join(map(repr, (tuple(names), self.terms, *more)))
        return self.measured(which, f"({self.subject!r}, {found!r}, {given})")

    def measured(self, which: str, call: str, where: str = "experiments") -> TrialData:
        """Declare an experiment and measure it; see `declared`."""
        file = self.declared(which, call, where)
        experiment = load_module(str(file)).EXPERIMENT
        case = experiment.cases[0].id
        task = Task(str(file), experiment.name, case, self.backend, self.session.plan)
        self.say(f"\n{experiment.question}\n{of_arms(experiment.arms[1:])}")
        return self.session.measure(task, self._tell)

    def declared(self, which: str, call: str, where: str = "experiments") -> Path:
        """Write the file in which an experiment on the subject is declared.

        Args:
            which: function that declares it.
            call: what it is called with.
            where: module of `keras_ab.bench.own` that has it.
        """
        folder = self.session.path.with_suffix(".own")
        folder.mkdir(exist_ok=True)
        count = len(list(folder.iterdir()))
        file = folder / f"keras_ab_{self.subject.name}_{count}_{which}.py"
        file.write_text(
            f'"""{self.subject.title} on trial: written by keras-ab try."""\n\n'
            f"from keras_ab.bench.own.{where} import {which}\n"
            "from keras_ab.bench.own.experiments import Terms\n"
            "from keras_ab.bench.own.look import Found\n"
            "from keras_ab.bench.own.subject import Subject\n\n"
            f"EXPERIMENT = {which}{call}\n",
            encoding="utf-8",
        )
        return file

    def _tell(self, line: TrialLine, data: TrialData) -> None:
        match line:
            case Block():
                found = [f for arm in data.treatments if (f := step_time(data, arm, self.plan))]
                arms = [f"{f.arm} {text.brief(f)}" for f in found]
                self.say(side_by_side(f"  after block {len(data.blocks):2}", arms))
            case Failure():
                first, *_ = line.said.splitlines() or [""]
                self.say(f"  {line.arm or 'trial'}: {line.what} during {line.stage}: {first[:200]}")
            case Absent():
                self.say(f"  {line.arm or 'trial'}: not measured here: {line.said}")

    @property
    def plan(self) -> Plan:
        """The run's plan."""
        return self.session.plan


def step_time(data: TrialData, arm: str, plan: Plan) -> Finding | None:
    """Return the finding on an arm's step time."""
    return None if data.invalid else assess(data, data.metric(STEP_TIME.name), arm, plan)


def of_arms(arms: Sequence[Arm]) -> str:
    """Return the arms of a trial: with what they do, or their names where they are combinations."""
    if any(len(arm.techniques) > 1 for arm in arms):
        return "\n".join(text.wrapped(", ".join(arm.name for arm in arms)))
    return listed({arm.name: arm.says for arm in arms})


def refused(subject: Subject, why: NoAnswer) -> LabError:
    """Return the error that says why a subject cannot be looked at."""
    if why.refusal:
        return DeclarationError(why.refusal.must, why.refusal.received, why.refusal.do)
    tail = "\n    ".join(why.traceback.splitlines()[-6:])
    return DeclarationError(
        f"{subject.title} can be made and trained in a fresh process",
        f"{why.what}: {why.message}" + (f"\n    {tail}" if tail else ""),
        "return a smaller batch_size" if why.what == "timed out" else "mend what it says",
    )


def at_once(found: Found) -> int:
    """Return how many techniques fit into memory side by side, beside baseline and control."""
    free = psutil.virtual_memory().available
    return max(1, int(0.8 * free / max(1, found.process_bytes)) - 2)


def parts(names: Sequence[str], most: int) -> list[Sequence[str]]:
    """Return names in as few parts as may be, of nearly equal size."""
    count = -(-len(names) // most)
    ends = [len(names) * i // count for i in range(count + 1)] if count else [0]
    return [names[a:b] for a, b in pairwise(ends)]


def compiles(name: str) -> bool:
    """Tell whether a technique has the backend's compiler compile the step."""
    return bool(techniques.technique(name).change.get("jit"))


def takes_s(found: Found, names: Sequence[str]) -> float:
    """Return how long techniques will take, about: rehearsal, fewest blocks, counts of memory."""
    as_it_is_s = START_S + found.build_s + 1.5 * found.first_s
    compiled_s = max(as_it_is_s, START_S + found.compiled_s)
    starts_s = [as_it_is_s, *(compiled_s if compiles(name) else as_it_is_s for name in names)]
    steps_s = 3 * experiments.batches_a_step(found) * found.batch_s
    rounds_s = (len(names) + 2) * max(ROUNDS_S, steps_s)
    side_by_side_s = max(sum(starts_s) / usable_cores(), *starts_s)
    before_and_after = 1 + PROCESSES * found.counted_apart
    return before_and_after * side_by_side_s + 5 * (as_it_is_s + sum(starts_s) + rounds_s)


def affordable(found: Found, names: Sequence[str], budget_s: float) -> list[str]:
    """Return the techniques that fit into a budget together, the first before the others."""
    chosen: list[str] = []
    for name in names:
        if takes_s(found, [*chosen, name]) <= budget_s:
            chosen.append(name)
    return chosen


def gained(trials: Sequence[TrialData], plan: Plan) -> list[str]:
    """Return the techniques that made it faster, the best first; of rivals only the better.

    What was faster and then failed, or came to NaN, is none of them.
    """
    arms = ((data, arm) for data in trials for arm in data.treatments if not data.failed(arm))
    found = [f for data, arm in arms if (f := step_time(data, arm, plan))]
    better = sorted(
        (f for f in found if f.verdict is Verdict.BETTER), key=lambda f: f.estimate.point
    )
    chosen: list[str] = []
    taken: set[str] = set()
    for name in (f.arm for f in better if f.arm != techniques.NOTHING_LOADED):
        fields = set(techniques.technique(name).change)
        if not fields & taken:
            chosen, taken = [*chosen, name], taken | fields
    return chosen[: experiments.MOST_STACKED]
