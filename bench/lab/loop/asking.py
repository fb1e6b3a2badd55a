"""Ask a worker for something: its typed answer, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal, Protocol

from keras_ab.bench.lab.loop.messages import kept, kept_refusal
from keras_ab.bench.lab.words.errors import LabError, NotMeasuredHere, Refusal
from keras_ab.bench.lab.worker.protocol import Answer, Request, Trouble
from keras_ab.bench.lab.worker.wire import decode_answer, encode


class WorkerLost(Exception):
    """The worker's process ended without an answer.

    Args:
        how: it ended.
        output: the end of what it printed.
    """

    def __init__(self, how: str, output: str) -> None:
        super().__init__(how, output)
        self.output = output

    def __str__(self) -> str:
        return str(self.args[0])


class WorkerTimeout(Exception):
    """The worker did not answer within its time limit; it has been killed."""


class Worker(Protocol):
    """A fresh process that answers requests; see `WorkerProcess`."""

    pid: int

    def send(self, data: bytes) -> None:
        """Hand over a request."""

    def answered(self, timeout_s: float) -> bool:
        """Wait for the answer, or the end of the process."""

    def receive(self, timeout_s: float) -> bytes:
        """Return the answer; raises `WorkerLost` or `WorkerTimeout` where none comes."""

    def rest(self) -> None:
        """Stop all of the process until it is woken."""

    def wake(self) -> None:
        """Let the process go on."""

    def output(self) -> str:
        """Return the end of what the process printed."""

    def stop(self) -> None:
        """End the process."""


class Workers(Protocol):
    """Where fresh processes come from; see `ForkServer`."""

    @property
    def folder(self) -> str | None:
        """For temporary files, and gone with the last of all processes; None for the usual one."""

    def start(self) -> Worker:
        """Start a fresh process."""

    def other(self, backend: str, environment: Mapping[str, str]) -> Workers:
        """Return where processes of another backend or environment come from."""


class NoAnswer(Exception):
    """Why a worker gave no answer, as records keep it.

    Args:
        what: what happened in its place.
        message: what it said, or the reason.
        traceback: of what was raised, or the end of what the process printed.
        refusal: the message's parts, where it is an error in three parts.
    """

    def __init__(
        self,
        what: Literal["raised", "timed out", "killed", "not measured here"],
        message: str,
        traceback: str = "",
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(what, message)
        self.what = what
        self.message = kept(message)
        self.traceback = kept(traceback)
        self.refusal = kept_refusal(refusal)

    def __str__(self) -> str:
        return f"{self.what}: {self.message}"

    @classmethod
    def of(cls, error: LabError) -> NoAnswer:
        """Return why nothing can be asked of a process that could not be started."""
        absent = isinstance(error, NotMeasuredHere)
        what: Literal["raised", "not measured here"] = "not measured here" if absent else "raised"
        return cls(what, str(error), refusal=error.refusal)


def ask(worker: Worker, request: Request[Answer], limit_s: float) -> Answer:
    """Return what a worker answers within a time limit.

    Raises:
        NoAnswer: it raised something, was too slow, ended, or cannot do it on this machine.
    """
    return begin(worker, request, limit_s)()


def begin(worker: Worker, request: Request[Answer], limit_s: float) -> Callable[[], Answer]:
    """Hand a request over, to be carried out side by side with others; return what `ask` does."""
    worker.send(encode(request))
    return partial(_answer, worker, request, limit_s)


def _answer(worker: Worker, request: Request[Answer], limit_s: float) -> Answer:
    try:
        answer = decode_answer(request, worker.receive(limit_s))
    except WorkerTimeout:
        message = f"no answer within its time limit of {limit_s:g} s"
        raise NoAnswer("timed out", message, worker.output()) from None
    except WorkerLost as lost:
        raise NoAnswer("killed", str(lost), lost.output) from None
    if isinstance(answer, Trouble):
        raise NoAnswer(answer.what, answer.message, answer.traceback, answer.refusal)
    return answer
