"""A process that has imported the framework once, and forks fresh workers from that state.

Importing TensorFlow takes ten seconds or more on two cores; a fork takes milliseconds. The server
touches no device, so a worker starts as a process that has just done its imports.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import keras_ab
from keras_ab.bench.lab.words.errors import LabError, NotMeasuredHere
from keras_ab.bench.lab.worker import backends

_PID = struct.Struct("!ii")
_ROOT = str(Path(keras_ab.__file__).parents[1])
_PROGRAM = f"""
import sys
try:
    import keras_ab
except ModuleNotFoundError:
    sys.path.append({_ROOT!r})
from {__name__} import main
main(int(sys.argv[1]), sys.argv[2])
"""
"""A server finds this package where it is installed, else where the measuring process did: last in
the path, so that nothing beside it shadows anything."""


class WorkerLost(Exception):
    """The worker's process ended without an answer.

    Args:
        status: exit status as `subprocess` has it: negative for the signal that killed it.
        output: the end of what it printed.
    """

    def __init__(self, status: int, output: str) -> None:
        super().__init__(status, output)
        self.status = status
        self.output = output

    def __str__(self) -> str:
        if self.status >= 0:
            return f"the process ended with exit status {self.status}"
        name = signal.Signals(-self.status).name
        hint = " (often the kernel's out-of-memory killer)" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{hint}"


class WorkerTimeout(Exception):
    """The worker did not answer within its time limit; it has been killed."""


class WorkerProcess:
    """One fresh process; requests and replies are JSON."""

    def __init__(self, server: ForkServer, pid: int, connection: Connection, log: BinaryIO) -> None:
        self.pid = pid
        self._server = server
        self._connection = connection
        self._log = log
        self._status = 0
        self._output = ""

    def send(self, request: dict[str, Any]) -> None:
        """Hand over a request; `receive` has the answer."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send_bytes(json.dumps(request).encode())

    def answered(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` for the answer to arrive."""
        return self._connection.poll(timeout_s)

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """Return the answer.

        Raises:
            WorkerTimeout: none came in time; the process has been killed.
            WorkerLost: the process ended first.
        """
        if not self.answered(timeout_s):
            self.stop()
            raise WorkerTimeout
        try:
            return json.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            raise WorkerLost(self.stop(), self.output()) from None

    def output(self) -> str:
        """Return the last lines that the process had printed when it ended."""
        return self._output

    def stop(self) -> int:
        """Kill the process if it still runs, and return its exit status."""
        if not self._connection.closed:
            self._connection.close()
            try:
                self._status = self._server.end(self.pid)
            finally:
                self._output = _last_lines(self._log)
                self._log.close()
        return self._status


def _last_lines(log: BinaryIO, count: int = 30) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])


class ForkServer:
    """Starts workers for one backend, in one environment.

    Args:
        backend: name of the backend.
        environment: environment variables beside those of this process and of the backend.
        wait: whether to wait for the framework to be imported; if not, the first `start` does.

    Raises:
        NotMeasuredHere: the framework is not installed.
        LabError: it is, and cannot be imported.
    """

    def __init__(
        self, backend: str, environment: Mapping[str, str] | None = None, wait: bool = True
    ) -> None:
        module = backends.load(backend)
        self._backend = backend
        self._importing = True
        self._refusal: LabError | None = None
        self._others: dict[tuple[str, frozenset[tuple[str, str]]], ForkServer] = {}
        ours, theirs = socket.socketpair()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), backend],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C is for the main process, which ends its workers
                env=os.environ | module.ENVIRONMENT | dict(environment or {}),
            )
        self._socket = ours
        if wait:
            self._await_ready()

    def _await_ready(self) -> None:
        if self._importing:
            self._importing = False
            if self._socket.recv(1) != b"R":
                self._refusal = self._refused()
        if self._refusal:
            raise self._refusal

    def _refused(self) -> LabError:
        output = _last_lines(self._log) or "no output"
        self.close()
        last = output.splitlines()[-1]
        refusal = NotMeasuredHere if last.startswith("ModuleNotFoundError") else LabError
        return refusal(
            f"the framework of backend {self._backend!r} can be imported",
            last,
            f"install it: {backends.load(self._backend).INSTALL}",
        )

    def other(self, backend: str, environment: Mapping[str, str]) -> ForkServer:
        """Return the forkserver of another backend or environment, begun on first use.

        It imports in the background, and ends with this one.
        """
        key = (backend, frozenset(environment.items()))
        if key not in self._others:
            self._others[key] = ForkServer(backend, environment, wait=False)
        return self._others[key]

    def start(self) -> WorkerProcess:
        """Fork a fresh worker."""
        self._await_ready()
        ours, theirs = socket.socketpair()
        log = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            socket.send_fds(self._socket, [b"F"], [theirs.fileno(), log.fileno()])
        pid, _ = _PID.unpack(_receive_exactly(self._socket, _PID.size))
        return WorkerProcess(self, pid, Connection(ours.detach()), log)

    def end(self, pid: int) -> int:
        """Kill a worker that still runs; return the exit status that it ended with."""
        self._socket.sendall(b"E" + _PID.pack(pid, 0))
        _, status = _PID.unpack(_receive_exactly(self._socket, _PID.size))
        return status

    def close(self) -> None:
        """End the server and, with it, every worker and the servers of other environments."""
        for server in self._others.values():
            server.close()
        self._socket.close()
        self._process.wait()
        self._log.close()


def _receive_exactly(sock: socket.socket, size: int) -> bytes:
    data = sock.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError("the forkserver ended")
    return data


def _fork(sock: socket.socket, fds: list[int]) -> int:

    from keras_ab.bench.lab.worker import serving

    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    sock.close()
    connection, log = fds
    os.dup2(log, 1)
    os.dup2(log, 2)
    serving.serve(Connection(connection))
    os._exit(0)  # no interpreter shutdown: frameworks hang in it, and nothing is left to save


def _end(pid: int) -> int:
    """Reap a worker; one that has not ended by itself is killed."""
    reaped, status = os.waitpid(pid, os.WNOHANG)
    if not reaped:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def serve(sock: socket.socket, backend: str) -> None:
    """Fork workers on request until the main process goes away; then end them all."""
    for module in (*backends.load(backend).PRELOAD, "keras_ab.bench.lab.worker.serving"):
        importlib.import_module(module)
    gc.freeze()  # a collection in a worker would copy every shared page that it marks
    sock.sendall(b"R")
    alive: set[int] = set()
    while True:
        command, fds, _, _ = socket.recv_fds(sock, 1, 2)
        if command == b"F":
            pid = _fork(sock, list(fds))
            alive.add(pid)
            sock.sendall(_PID.pack(pid, 0))
        elif command == b"E":
            pid, _ = _PID.unpack(_receive_exactly(sock, _PID.size))
            alive.discard(pid)
            sock.sendall(_PID.pack(pid, _end(pid)))
        else:
            for pid in alive:
                _end(pid)
            return


def main(descriptor: int, backend: str) -> None:
    """Serve at a socket, with a folder for the files that workers have no time to remove."""
    sock = socket.socket(fileno=descriptor)
    with tempfile.TemporaryDirectory(prefix="keras-ab-") as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        serve(sock, backend)
