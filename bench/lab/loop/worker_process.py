"""One fresh process, as the measuring process holds it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import BinaryIO

from keras_ab.bench.lab.loop.asking import WorkerLost, WorkerTimeout
from keras_ab.bench.lab.worker.forking import UNABLE

MOST_BYTES = 2**26
"""Of an answer: a hundred times what the longest has."""

ENDING_S = 5.0
"""How long a process that has hung up may take to end by itself, so that its status tells why."""

_TAIL_BYTES = 2**14
"""Of what a process printed: enough for the last lines."""


class WorkerProcess:
    """One fresh process that answers requests.

    Args:
        pid: its process id, and that of the group of all that it starts.
        connection: where it answers.
        log: what it prints.
        rest: stops it until it is woken; returns when it has stopped.
        end: ends it; returns its exit status as `subprocess` has it, None where nobody knows.
    """

    def __init__(
        self,
        pid: int,
        connection: Connection,
        log: BinaryIO,
        rest: Callable[[int], None],
        end: Callable[[int], int | None],
    ) -> None:
        self.pid = pid
        self._connection = connection
        self._log = log
        self._rest, self._end = rest, end
        self._handle: int | None = os.pidfd_open(pid)
        self._status: int | None = None
        self._output = ""

    def send(self, data: bytes) -> None:
        """Hand over a request; `receive` has the answer."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send_bytes(data)

    def answered(self, timeout_s: float) -> bool:
        """Wait at most so long for the answer to arrive, or the process to end.

        What an arm has started may hold the connection open when the arm itself is gone.
        """
        return self._handle is None or bool(wait([self._connection, self._handle], timeout_s))

    def receive(self, timeout_s: float) -> bytes:
        """Return the answer.

        Raises:
            WorkerTimeout: none came in time; the process has been killed.
            WorkerLost: the process ended first.
        """
        if not self.answered(timeout_s):
            self.stop()
            raise WorkerTimeout
        too_long = False
        try:
            if self._connection.poll():
                return self._connection.recv_bytes(MOST_BYTES)
        except (EOFError, OSError) as error:
            too_long = error.args == ("bad message length",)
        alone = too_long or self._handle is None or bool(wait([self._handle], ENDING_S))
        self.stop()
        status = self._status if alone else UNABLE
        how = f"its answer was longer than {MOST_BYTES} bytes" if too_long else ended(status)
        raise WorkerLost(how, self.output())

    def rest(self) -> None:
        """Stop the process, and its group, until it is woken: none of its threads runs.

        Its own parent's end still ends it: the kernel hangs up on what is orphaned while stopped.
        """
        if self._handle is not None:
            self._rest(self.pid)

    def wake(self) -> None:
        """Let the process go on."""
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGCONT)  # it may have left its group
                os.killpg(self.pid, signal.SIGCONT)

    def output(self) -> str:
        """Return the last lines that the process had printed when it ended."""
        return self._output

    def stop(self) -> None:
        """End the process if it still runs, and its group."""
        if self._handle is None:
            return
        os.close(self._handle)
        self._handle = None
        self._connection.close()
        self._status = self._end(self.pid)
        self._output = last_lines(self._log)
        self._log.close()


def ended(status: int | None, what: str = "the process") -> str:
    """Say how a process ended, from the exit status that `subprocess` has of it."""
    if status is None:
        return f"{what} was lost with its forkserver"
    if status == UNABLE:
        return f"{what} could not answer: its connection was closed, or no longer its own"
    if status >= 0:
        return f"{what} ended with exit status {status}"
    name = signal.Signals(-status).name
    hint = " (often the kernel's out-of-memory killer)" if name == "SIGKILL" else ""
    return f"{what} was killed by {name}{hint}"


def last_lines(log: BinaryIO, count: int = 30) -> str:
    """Return the end of what a process printed."""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
    return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
