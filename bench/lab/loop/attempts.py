"""Try once, in a fresh process, what a source says to write; record what happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from keras_ab.bench.lab.loop.arm_process import Worker
from keras_ab.bench.lab.loop.forkserver import WorkerLost, WorkerTimeout
from keras_ab.bench.lab.record.records import Attempted
from keras_ab.bench.lab.record.task import Task
from keras_ab.bench.lab.words.declare import Attempt
from keras_ab.bench.lab.words.errors import LabError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def attempting(worker: Worker, attempt: Attempt, task: Task) -> Callable[[], Attempted]:
    """Begin an attempt in a worker process; return what waits for the record of it."""
    request = {"file": task.file, "experiment": task.experiment, "attempt": attempt.id}
    worker.send({"do": "attempt", "backend": task.backend, "seed": task.plan.seed} | request)
    return partial(_attempted, worker, attempt, task)


def _attempted(worker: Worker, attempt: Attempt, task: Task) -> Attempted:
    tried = _record(attempt, task)
    try:
        answer = worker.receive(attempt.time_limit_s)
    except WorkerTimeout:
        message = f"no answer within its time limit of {attempt.time_limit_s:g} s"
        return tried(what="timed out", message=message, traceback=worker.output())
    except WorkerLost as lost:
        return tried(what="killed", message=str(lost), traceback=lost.output)
    if "absent" in answer:
        return tried(what="not measured here", message=answer["absent"])
    if "error" in answer:
        message, traceback = (_COLOURS.sub("", answer[key]) for key in ("error", "traceback"))
        return tried(what="raised", message=message, traceback=traceback)
    happened = answer["result"]["happened"]
    return tried(what="works" if happened is None else "ran", message=happened or "")


def not_attempted(attempt: Attempt, task: Task, error: LabError) -> Attempted:
    """Return the record of an attempt for which no process could be started."""
    return _record(attempt, task)(what="not measured here", message=str(error))


def _record(attempt: Attempt, task: Task) -> partial[Attempted]:
    """Return the record of an attempt but for what happened."""
    return partial(
        Attempted, trial=task.trial, arm=attempt.arm, name=attempt.name, says=attempt.says
    )
