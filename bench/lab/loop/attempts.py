"""Try once, in a fresh process, what a source says to write; record what happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from keras_ab.bench.lab.loop.asking import NoAnswer, Worker, begin
from keras_ab.bench.lab.loop.messages import kept
from keras_ab.bench.lab.record.records import Attempted
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.declare import Attempt
from keras_ab.bench.lab.worker.protocol import Try


def attempting(worker: Worker, attempt: Attempt, task: Task) -> Callable[[], Attempted]:
    """Begin an attempt in a worker process; return what waits for the record of it."""
    names = (task.file, task.experiment, attempt.id, task.backend, task.plan.seed)
    return partial(_attempted, begin(worker, Try(*names), attempt.time_limit_s), attempt, task)


def _attempted(wait: Callable[[], str | None], attempt: Attempt, task: Task) -> Attempted:
    try:
        happened = wait()
    except NoAnswer as why:
        return not_attempted(attempt, task, why)
    message = kept(happened or "")
    return _record(attempt, task)(what="works" if happened is None else "ran", message=message)


def not_attempted(attempt: Attempt, task: Task, why: NoAnswer) -> Attempted:
    """Return the record of an attempt that came to no end of its own."""
    return _record(attempt, task)(
        what=why.what, message=why.message, traceback=why.traceback, refusal=why.refusal
    )


def _record(attempt: Attempt, task: Task) -> partial[Attempted]:
    """Return the record of an attempt but for what happened."""
    return partial(
        Attempted, trial=task.trial, arm=attempt.arm, name=attempt.name, says=attempt.says
    )
