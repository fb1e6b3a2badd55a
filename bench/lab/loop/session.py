"""One run: one invocation on one machine, one file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from keras_ab.bench.lab.clock import timestamp
from keras_ab.bench.lab.loop import ceilings, facts
from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, ask
from keras_ab.bench.lab.loop.device import Device
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.loop.interrupts import Interrupts
from keras_ab.bench.lab.loop.measure import measure_trial
from keras_ab.bench.lab.record.declared import Node, Selection
from keras_ab.bench.lab.record.differences import differences
from keras_ab.bench.lab.record.locks import UNDER_WAY, locked
from keras_ab.bench.lab.record.records import (
    Failure,
    Header,
    Notice,
    Resumed,
    Trial,
    TrialLine,
)
from keras_ab.bench.lab.record.run_file import Run, RunWriter, read_run
from keras_ab.bench.lab.record.task import Task, declaration
from keras_ab.bench.lab.record.trial_data import TrialData, group
from keras_ab.bench.lab.words.anonymous import anonymous_facts
from keras_ab.bench.lab.words.bench_files import load_experiment
from keras_ab.bench.lab.words.errors import DeclarationError, RecordError
from keras_ab.bench.lab.words.plan import Plan
from keras_ab.bench.lab.worker.protocol import Facts

OPENING_LIMIT_S = 300.0
"""How long a framework may take to open its device."""


def new_run_id() -> str:
    """Return a name for a run: when it began, and six random digits."""
    return f"{timestamp()[:16].replace(':', '')}-{secrets.token_hex(3)}"


def framework(server: ForkServer, backend: str) -> dict[str, Any]:
    """Return the framework's own facts of its device.

    Raises:
        NoAnswer: it does not open it.
    """
    worker = server.start()
    try:
        return anonymous_facts(ask(worker, Facts(backend), OPENING_LIMIT_S))
    finally:
        worker.stop()


def describe(
    server: ForkServer, backend: str, device: Device
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts of machine and environment, the framework's own among them."""
    try:
        found = framework(server, backend)
    except NoAnswer as why:
        do = why.refusal.do if why.refusal else "run keras-ab doctor"
        said = why.refusal.received if why.refusal else why.message
        raise RecordError("the framework can open its device", said, do) from why
    return facts.machine(device), facts.environment(device) | {"framework": found}


def to_continue(value: str, folder: Path) -> tuple[Path, list[str]]:
    """Return the run that `--ab-resume` means, and what was passed over on the way to it.

    Args:
        value: "last" for the newest in the folder that was cut off, or a run file.
        folder: of run files.
    """
    if value == "last":
        return last_cut_off(folder)
    if not value.endswith(".jsonl"):
        raise DeclarationError(
            "--ab-resume names a run file, or nothing for the newest that was cut off",
            repr(value),
            "write --ab-resume=FILE.jsonl, or put paths and node ids before --ab-resume",
        )
    return Path(value), []


def last_cut_off(folder: Path) -> tuple[Path, list[str]]:
    """Return the newest run in a folder that can be continued, and why not those after it."""
    runs = sorted(folder.glob("*.jsonl"), reverse=True)
    passed: list[str] = []
    for path in runs:
        try:
            run = read_run(path)
        except RecordError as error:
            passed.append(str(error.received))
            continue
        if run.sealed:
            continue
        if locked(path):
            passed.append(f"{path}: {UNDER_WAY}")
        elif run.header.selection is None:
            passed.append(f"{path}: it does not tell what was selected")
        else:
            return path, passed
    raise RecordError(
        "there is a run to continue",
        "; ".join(passed) or f"{len(runs)} runs in {folder}, all of them ended",
        "start a new run without --ab-resume",
    )


def check_selected(run: Run) -> None:
    """Refuse to continue a run of which nothing tells what it is to measure."""
    if run.header.selection is None:
        raise RecordError(
            "a run that is continued tells what was selected",
            f"{run.path} does not: pytest did not begin it, or an older keras-ab did",
            "begin a run of keras-ab try anew (keras-ab report has what was measured), or name "
            "the bench files of an older run",
        )


class Session:
    """Measures trials and writes them to one run file."""

    def __init__(
        self, writer: RunWriter, header: Header, server: ForkServer, device: Device
    ) -> None:
        self.header = header
        self.path = writer.path
        self.plan = header.plan
        self.trials: dict[str, TrialData] = {}
        self.sealed = False
        self._writer = writer
        self._server = server
        self._device = device

    @classmethod
    def begin(
        cls,
        folder: Path,
        backend: str,
        plan: Plan,
        selection: Selection | None = None,
        device: Device | None = None,
        node: Node | None = None,
    ) -> Session:
        """Start a new run in `folder`, on a device, or else on what the framework finds.

        A fleet has named the run already, by the node that it is made on.
        """
        check_writable(folder)
        device = device or Device(untouched=True)
        with ExitStack() as stack:
            server = stack.enter_context(closing(ForkServer(backend, device=device.environment)))
            machine, environment = describe(server, backend, device)
            header = Header(
                run=node.run if node else new_run_id(),
                started=timestamp(),
                backend=backend,
                machine=machine,
                environment=environment,
                conditions=facts.conditions(),
                plan=plan,
                selection=selection,
                node=node,
            )
            path = folder / f"{header.run}.jsonl"
            writer = stack.enter_context(closing(RunWriter.create(path, header)))
            for ceiling in ceilings.measure(server, backend) if plan.ceilings else ():
                writer.write(ceiling)
            stack.pop_all()
        return cls(writer, header, server, device)

    @classmethod
    def resume(cls, path: Path, backend: str, device: Device | None = None) -> Session:
        """Continue a run that was cut off, on the same machine and in the same environment."""
        run = read_run(path)
        if run.sealed:
            raise RecordError(
                "a run that is continued was cut off",
                f"{path} has its seal",
                "start a new run without --ab-resume",
            )
        device = device or Device(untouched=True)
        with ExitStack() as stack:
            writer = stack.enter_context(closing(RunWriter.reopen(run)))
            server = stack.enter_context(closing(ForkServer(backend, device=device.environment)))
            check_same(run, backend, *describe(server, backend, device))
            writer.write(Resumed(at=timestamp(), conditions=facts.conditions()))
            stack.pop_all()
        session = cls(writer, run.header, server, device)
        session.trials = group(run.records)
        return session

    def measure(self, task: Task, progress: Callable[[TrialLine, TrialData], None]) -> TrialData:
        """Carry out one trial; records are on the disk before `progress` hears of them."""
        data = self.trials.get(task.trial)
        previous = self._previous(task)
        # closing: an interrupt must end the workers now, not when the generator is collected
        with Interrupts() as interrupts, closing(self._lines(task, previous)) as lines:
            for line in lines:
                self._note()
                self._writer.write(line)
                if data is None:
                    assert isinstance(line, Trial)  # noqa: S101 - the loop declares first
                    data = self.trials[task.trial] = TrialData(line)
                data.add(line)
                progress(line, data)
                interrupts.check()
        interrupts.check()
        assert data is not None  # noqa: S101 - the loop yields at least the declaration
        return data

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """Start a fresh process, of whose answers nothing is recorded; it ends with the block."""
        self._server.next_trial()
        worker = self._server.start()
        try:
            yield worker
        finally:
            worker.stop()

    def found(self, message: str) -> None:
        """Record what was looked for and found beside the trials."""
        self._writer.write(Notice(at=timestamp(), message=message, finding=True))

    def _note(self) -> None:
        """Record what the forkservers had to mend."""
        while self._server.notices:
            self._writer.write(Notice(at=timestamp(), message=self._server.notices.pop(0)))

    def _lines(self, task: Task, previous: list[Any]) -> Generator[TrialLine, None, None]:
        traces, device = traces_of(self.path), self._device
        self._server.next_trial()
        yield from measure_trial(task, self._server, previous, traces=traces, device=device)
        changed = differences(
            {k: v for k, v in self.header.environment.items() if k != "framework"},
            facts.environment(self._device),
        )
        if changed:
            yield Failure(
                trial=task.trial,
                arm=None,
                stage="run",
                what="environment changed",
                message="; ".join(changed),
            )

    def _previous(self, task: Task) -> list[Any]:
        data = self.trials.get(task.trial)
        if data is None:
            return []
        experiment = load_experiment(task.file, task.experiment)
        now = declaration(task, experiment, experiment.case(task.case))
        if now != data.declared:
            raise RecordError(
                "a trial is continued with the experiment it began with",
                f"{task.trial} was declared differently when the run began",
                "start a new run without --ab-resume",
            )
        return data.records

    def ended(self, trials: Iterable[str]) -> bool:
        """Tell whether each of some trials has been measured to its end."""
        return all(trial in self.trials and self.trials[trial].end for trial in trials)

    def close(self, *, seal: bool) -> None:
        """End the run: sealed when it is complete, left open for `--ab-resume` when not."""
        self._server.close()
        self._note()
        if seal:
            self._writer.seal()
        else:
            self._writer.close()
        self.sealed = seal


def traces_of(path: Path) -> Path:
    """Return the folder beside a run file in which its traces lie."""
    return path.with_suffix(".traces")


def check_writable(folder: Path) -> None:
    """Refuse a runs folder that cannot be written, before anything is measured."""
    probe = folder / f".write-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RecordError(
            "the runs folder can be written to",
            f"{folder}: {error.strerror}",
            "choose another with --ab-runs FOLDER (try: --runs), or mend its permissions",
        ) from error


def check_same(
    run: Run, backend: str, machine: dict[str, Any], environment: dict[str, Any]
) -> None:
    """Refuse to continue a run under other conditions than it began with."""
    header = run.header
    before = {"backend": header.backend, **header.machine, **header.environment}
    changed = differences(before, {"backend": backend, **machine, **environment})
    if changed:
        raise RecordError(
            "a run is continued on the same machine and in the same environment",
            "; ".join(changed),
            "restore these, or start a new run without --ab-resume",
        )
