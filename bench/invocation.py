"""What stands behind the pytest invocation: measures trials when their first arm is asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from keras_ab.bench.choosing import Choice, backend_for, said_of_backend
from keras_ab.bench.entries import Replay, durations, extra_info, verdicts
from keras_ab.bench.lab.judge.moderation import Prior, run_prior
from keras_ab.bench.lab.loop.device import AUTO, choose, device_of
from keras_ab.bench.lab.loop.facts import usable_cores
from keras_ab.bench.lab.loop.owned import checked
from keras_ab.bench.lab.loop.session import (
    Session,
    check_selected,
    check_writable,
    to_continue,
    traces_of,
)
from keras_ab.bench.lab.record.declared import Selection
from keras_ab.bench.lab.record.records import End, TrialLine
from keras_ab.bench.lab.record.run_file import Run, read_run
from keras_ab.bench.lab.record.runs_folder import runs_folder
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.record.trial_data import TrialData
from keras_ab.bench.lab.words.backend_names import DEFAULT
from keras_ab.bench.lab.words.bench_files import OURS
from keras_ab.bench.lab.words.declare import Experiment
from keras_ab.bench.lab.words.errors import DeclarationError, LabError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.words.plan import option as plan_option
from keras_ab.bench.lab.worker import backends
from keras_ab.bench.places import found, found_again, told
from keras_ab.bench.progress import (
    Expected,
    Progress,
    Sparingly,
    announced,
    beyond,
    counts_beside,
    expected,
    one_alone,
)
from keras_ab.bench.telling import broken_guards, how_to_open, said_of, starting

PAGES_SHARE = 0.01
"""The share of the time that may go into pages of a run that is under way."""


class ArmItem(pytest.Function):
    """One arm of one trial, as a pytest item."""

    invocation: Invocation
    experiment: Experiment
    task: Task
    arm: str
    says: str
    replay: Replay

    def expected(self, plan: Plan) -> Expected:
        """Return how long its trial is expected to take."""
        case, backend = self.experiment.case(self.task.case), self.task.backend
        beside = counts_beside(backend, self.invocation.device)
        return expected(self.experiment, case, plan, backend, beside, usable_cores())


def selected_trials(items: Iterable[pytest.Item]) -> dict[str, ArmItem]:
    """Return the trials that some items belong to, in order, with an arm of each."""
    return {item.task.trial: item for item in items if isinstance(item, ArmItem)}


def measure_arm(
    request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Measure the trial that an item belongs to, unless it has been, and report on its arm."""
    item = request.node
    item.invocation.record = record_testsuite_property
    data = item.invocation.measured(item)
    _fail_or_skip(data, item.arm)
    if not data.declared.timed:
        return
    item.replay.durations = durations(data, item.arm)
    if not item.replay.durations:
        pytest.skip("nothing is left to hold it against: no round was measured")
    benchmark = request.getfixturevalue("benchmark")
    benchmark.extra_info.update(trial=data.declared.trial, arm=item.arm)
    benchmark.pedantic(lambda: None, rounds=len(item.replay.durations), iterations=1)


def _fail_or_skip(data: TrialData, arm: str) -> None:
    """End the test of an arm without a valid measurement: red for a fault, skipped for absence."""
    for failure in data.failures:
        if failure.arm in (arm, data.baseline, None):
            pytest.fail(f"{data.why_not(arm)}\n{failure.traceback}".rstrip(), pytrace=False)
    for absent in data.absences:
        if absent.arm in (arm, data.baseline, None):
            pytest.skip(f"not measured here: {absent.said}")
    if data.broken:
        pytest.fail("\n".join(broken_guards(data)), pytrace=False)


class Invocation:
    """Holds the options and the lab's session of one pytest invocation."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        self._config = config
        self._asked_backend: str | None = option("--ab-backend")
        self._backend = self._asked_backend or DEFAULT
        backends.load(self._backend)
        self._runs: Path = option("--ab-runs") or runs_folder()
        self._only: set[str] = set(option("--ab-trials"))
        self._owned = checked(option("--ab-node"))
        parts = {f.name: option(plan_option(f.name)) for f in fields(Plan)}
        self._asked = Plan.looking(option("--ab-look"), parts)
        self._ended: set[str] = set()
        self._resume: Path | None = None
        self._passed_over: list[str] = []
        if (value := option("--ab-resume")) is not None:
            self._resume, self._passed_over = to_continue(value, self._runs)
        self._asked_device, self._asked_cases = option("--ab-device"), option("--ab-cases")
        self.places: list[str] | None = None
        """Where a run that is continued finds its experiments; None for what is asked for now."""
        if self._resume:
            self._take_over(read_run(self._resume), self._resume.parent)
        self._session: Session | None = None
        self._progress = Progress({})
        self._pages = Sparingly(PAGES_SHARE)
        self._done: dict[str, TrialData] = {}
        self._files: dict[str, Path] = {}
        self._made = {""}
        self.record: Callable[[str, object], None] | None = None
        """Puts a property into the file for JUnit, where there will be one."""
        check_writable(self._runs)
        self.device = choose(self._asked_device)
        self._choice = Choice.of(self._asked_cases, self.device)

    def _take_over(self, run: Run, folder: Path) -> None:
        """Select what a run selected when it began, by its plan."""
        self._backend = self._asked_backend = run.header.backend
        self._asked = run.header.plan
        if self._asked_device == AUTO:
            self._asked_device = device_of(run.header)
        self._ended = {line.trial for line in run.records if isinstance(line, End)}
        if selection := run.header.selection:
            self._asked_cases = selection.cases
            self._only = set(selection.trials)
            self._config.option.keyword = selection.keyword
            self._config.option.markexpr = selection.marks
            self.places = found_again(selection.places, folder, self._told(folder))
        elif self._config.args_source is not pytest.Config.ArgsSource.ARGS:
            check_selected(run)

    def _told(self, folder: Path) -> list[str]:
        """Return where the experiments are that are asked for, as a run file in a folder tells."""
        parted = (place.partition("::") for place in self._config.args)
        return [told(path, folder) + "".join(node) for path, *node in parted]

    def _selection(self) -> Selection:
        """Return what is selected now, as a run file keeps it."""
        option = self._config.option
        return Selection(
            places=self._told(self._runs),
            cases=self._choice.selection,
            keyword=option.keyword,
            marks=option.markexpr,
            trials=sorted(self._only),
        )

    @property
    def plan(self) -> Plan:
        """The plan as recorded in the run's header."""
        assert self._session is not None  # noqa: S101 - asked for only after a measurement
        return self._session.header.plan

    def prior(self) -> Prior:
        """Return what the trials measured so far say together."""
        assert self._session is not None  # noqa: S101 - asked for only after a measurement
        return run_prior(self._session.trials.values(), self.plan)

    def describe(self, benchmarks: list[dict[str, Any]]) -> None:
        """Add what was found to pytest-benchmark's entries, judged by the whole run."""
        prior = self.prior() if self._session else Prior()
        for info in (entry["extra_info"] for entry in benchmarks):
            if data := self._done.get(info.get("trial")):
                info.update(extra_info(data, info["arm"], self.plan, prior))

    def items(self, parent: pytest.File, experiment: Experiment) -> Iterator[pytest.Item]:
        """Yield one item for each arm of each selected case."""
        first = self._files.setdefault(experiment.name, parent.path)
        if first != parent.path:
            raise DeclarationError(
                "an experiment has a name of its own",
                f"{experiment.name!r} in {first} and in {parent.path}",
                "rename one of them, or select one of the files",
            )
        for case in self._choice.cases(experiment):
            task = Task(str(parent.path), experiment.name, case.id, self._backend, self._asked)
            if self._only and task.trial not in self._only:
                continue
            for arm in experiment.arms:
                item = ArmItem.from_parent(
                    parent, name=f"{experiment.name}[{case.id}-{arm.name}]", callobj=measure_arm
                )
                item.invocation, item.experiment, item.task = self, experiment, task
                item.arm, item.replay = arm.name, Replay()
                item.says = ", ".join(filter(None, (experiment.name, case.says)))
                item.add_marker(pytest.mark.benchmark(group=task.trial, timer=item.replay))
                yield item

    def settle(self, items: Iterable[pytest.Item]) -> None:
        """Take the one backend that all selected trials run on, where none was asked for."""
        if self._asked_backend:
            return
        arms = [item for item in items if isinstance(item, ArmItem)]
        self._backend = backend_for(item.experiment for item in arms)
        for item in arms:
            item.task = replace(item.task, backend=self._backend)

    def _expected(self, items: Iterable[pytest.Item], plan: Plan) -> dict[str, Expected]:
        """Return how long each selected trial is expected to take, those that have ended apart."""
        return {
            trial: Expected(0.0, 0.0) if trial in self._ended else item.expected(plan)
            for trial, item in selected_trials(items).items()
        }

    def announce(self, items: list[pytest.Item]) -> list[str]:
        """Return what is about to be measured, and how long that is expected to take."""
        trials = self._expected(items, self._asked)
        if not trials:
            return [f"nothing to measure; what comes with keras-ab: pytest --benchmark {OURS}"]
        if self._resume:
            passed = [f"not continued: {why}" for why in self._passed_over]
            by = "by its own plan and selection"
            return [*passed, f"continuing {self._resume} {by}: {announced(trials)}"]
        selected = {trial: item.experiment for trial, item in selected_trials(items).items()}
        names = {trial: experiment.name for trial, experiment in selected.items()}
        told_s = self._config.getoption(plan_option("budget_s"))
        return [
            f"--ab-look {self._config.getoption('--ab-look')}: {announced(trials)}",
            *one_alone(names, trials),
            *said_of_backend(selected, self._backend, self._asked_backend),
            *(beyond(trials, self._asked) if told_s else ()),
            *self._choice.says(),
        ]

    def measured(self, item: ArmItem) -> TrialData:
        """Return the item's trial, measured now unless it has been."""
        if item.task.trial not in self._done:
            try:
                self._done[item.task.trial] = self._measure(item)
            except LabError as error:
                item.session.shouldstop = "the run cannot go on"
                pytest.fail(str(error), pytrace=False)
        return self._done[item.task.trial]

    def _measure(self, item: ArmItem) -> TrialData:
        if self._session is None:
            gpu = self.device.gpu
            self.say(f"{starting(self._backend)}{f', on {gpu.name} ({gpu.uuid})' if gpu else ''} …")
            self._session = self._open()
            self.say(f"run file: {self._session.path}")
            self._progress = Progress(self._expected(item.session.items, self.plan))
        self.say("\n" + self._progress.begin(item.says))
        if item.experiment.first not in self._made:
            self._made.add(item.experiment.first)
            self.say(f"  {item.experiment.first} …")
        asked = item.task
        task = Task(asked.file, asked.experiment, asked.case, asked.backend, self._session.plan)
        before = self._session.ended([task.trial])
        data = self._session.measure(task, self._tell)
        self._progress.end(task.trial, measured=not before)
        if not before:
            self._pages.do(self._show)
        return data

    def _show(self) -> None:
        """Write the page of what has been measured, marked as unfinished."""
        from keras_ab.reports.closing import write_unfinished

        assert self._session is not None  # noqa: S101 - a trial has been measured
        with suppress(LabError):  # the last page says why it cannot be written
            write_unfinished(self._session.path, self._progress.done)

    def _open(self) -> Session:
        if self._resume:
            return Session.resume(self._resume, self._backend, self.device)
        if self._asked.ceilings:
            self.say("measuring the machine's ceilings …")
        asked = (self._backend, self._asked, self._selection(), self.device)
        return Session.begin(self._runs, *asked, self._owned.node if self._owned else None)

    def _tell(self, line: TrialLine, data: TrialData) -> None:
        if says := said_of(line, data, self.plan, self.prior, self._progress.elapsed_s):
            self.say(says)

    def say(self, message: str) -> None:
        """Print a line at once, whatever is captured."""
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if terminal is None:
            return
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            terminal.ensure_newline()
            terminal.write_line(message)
            terminal.flush()

    def close(self, items: Iterable[pytest.Item], *, whole: bool) -> None:
        """End the run: complete where all that was selected has come to its end."""
        if self._session and self.record:
            prior = self.prior()
            for data in self._done.values():
                for name, verdict in verdicts(data, self.plan, prior).items():
                    self.record(name, verdict)
        if self._session:
            self._session.close(seal=whole and self._session.ended(selected_trials(items)))

    def summarise(self, terminal: Any) -> None:
        """Print the answers and write the report."""
        if self._session is None:
            return
        if not self._session.path.exists():
            terminal.write_line(f"{self._session.path} is gone; what is left is said above")
            return
        from keras_ab.reports.closing import close

        terminal.section("answers", sep="=")
        try:
            terminal.write_line(close(self._session.path, in_colour=terminal.hasmarkup))
        except LabError as error:
            terminal.write_line(str(error))
        if any(data.profiles for data in self._session.trials.values()):
            terminal.write_line(how_to_open(traces_of(self._session.path)))
        if not self._session.sealed:
            terminal.write_line(f"cut off; continue with: {self._how_to_continue()}")

    def _how_to_continue(self) -> str:
        """Return the command that continues the run, with its paths where the file tells none."""
        assert self._session is not None  # noqa: S101 - asked for only after a measurement
        path, selection = self._session.path, self._session.header.selection
        untold = selection and None in [found(place, path.parent) for place in selection.places]
        places = f"{shlex.join(self._config.args)} " if untold else ""
        return f"pytest --benchmark {places}--ab-resume={path}"
