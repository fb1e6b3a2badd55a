"""Where workers come from: a process that has imported the framework once, and forks.

Importing TensorFlow takes ten seconds or more on two cores; a fork takes milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import TypeVar

import keras_ab
from keras_ab.bench.lab.loop.worker_process import WorkerProcess, ended, last_lines
from keras_ab.bench.lab.words.errors import LabError, NotMeasuredHere
from keras_ab.bench.lab.worker import backends, forking
from keras_ab.bench.lab.worker.forking import END, FORK, NUMBERS, READY, REST, receive_exactly

Served = TypeVar("Served")

_PROGRAM = f"""
import sys
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("keras_ab", {keras_ab.__file__!r})
sys.modules["keras_ab"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["keras_ab"])
from {forking.__name__} import main
main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
"""
"""A server runs the very package that the measuring process does, wherever that lies, and nothing
beside it shadows anything."""


def _unable(error: OSError) -> LabError:
    do = "end other programs, free some memory, or allow more open files (ulimit -n)"
    return LabError("a process can be started", error, do)


class ForkServer:
    """Starts workers for one backend, in one environment.

    Args:
        backend: name of the backend.
        environment: environment variables beside those of this process and of the backend.
        device: environment variables by which the device is chosen; those of an arm go before.
        wait: whether to wait for the framework to be imported; if not, the first `start` does.

    Raises:
        NotMeasuredHere: the framework is not installed.
        LabError: it is, and cannot be imported.
    """

    def __init__(
        self,
        backend: str,
        environment: Mapping[str, str] | None = None,
        wait: bool = True,
        device: Mapping[str, str] | None = None,
    ) -> None:
        self.notices: list[str] = []
        """What went wrong and was mended; whoever records it takes it out."""
        self._backend = backend
        self._device = dict(device or {})
        self._environment = dict(environment or {})
        self._importing = self._ready_once = self._begun_anew = self._closed = False
        self._refusal: LabError | None = None
        self._given_up: LabError | None = None
        self._others: dict[tuple[str, frozenset[tuple[str, str]]], ForkServer] = {}
        self._module = backends.load(backend)
        self._folder = tempfile.mkdtemp(prefix="keras-ab-")
        try:
            self._begin()
            if wait:
                self._served_by(lambda: None)
        except LabError:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _begin(self) -> None:
        self._importing = True
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._socket, theirs = socket.socketpair()
        descriptor = str(theirs.fileno())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-c", _PROGRAM, descriptor, self._backend, self.folder],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C is for the main process, which ends its workers
                env=os.environ | self._device | self._module.ENVIRONMENT | self._environment,
            )
        except OSError as error:
            self._socket.close()
            self._log.close()
            raise _unable(error) from error
        finally:
            theirs.close()

    def _await_ready(self) -> None:
        """Wait until the framework is imported.

        Raises:
            LabError: it cannot be.
            EOFError: it could be before, or the server was killed.
        """
        if self._importing and self._socket.recv(1) != READY:
            if self._process.wait() < 0 or self._ready_once:
                raise EOFError
            self._refusal = self._refused()
            raise self._refusal
        self._importing, self._ready_once = False, True

    def _refused(self) -> LabError:
        output = last_lines(self._log) or "no output"
        self.close()
        last = output.splitlines()[-1]
        refusal = NotMeasuredHere if last.startswith("ModuleNotFoundError") else LabError
        return refusal(
            f"the framework of backend {self._backend!r} can be imported",
            last,
            f"install it: {self._module.INSTALL}",
        )

    def other(self, backend: str, environment: Mapping[str, str]) -> ForkServer:
        """Return the forkserver of another backend or environment, begun on first use.

        It imports in the background, and ends with this one.
        """
        key = (backend, frozenset(environment.items()))
        if key not in self._others:
            self._others[key] = ForkServer(backend, environment, False, self._device)
            self._others[key].notices = self.notices
        return self._others[key]

    @property
    def folder(self) -> str:
        """For temporary files; the server removes it when this process is gone.

        A server that is begun anew has the same one.
        """
        os.makedirs(self._folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - it may be gone first
        return self._folder

    def next_trial(self) -> None:
        """Let the server be begun anew once more, also where it was given up."""
        self._begun_anew, self._given_up = False, None
        for server in self._others.values():
            server.next_trial()

    def start(self) -> WorkerProcess:
        """Fork a fresh worker; a server that is gone is begun anew, once a trial.

        Raises:
            LabError: it is gone a second time, or cannot be begun.
        """
        return self._served_by(self._forked)

    def _served_by(self, ask: Callable[[], Served]) -> Served:
        while True:
            if refusal := self._refusal or self._given_up:
                raise refusal
            if self._closed:
                raise LabError("a forkserver is open", "one that was closed", "open another")
            try:
                if self._socket.fileno() < 0:
                    self._begin()  # it was given up in an earlier trial
                self._await_ready()
                return ask()
            except (EOFError, BrokenPipeError, ConnectionResetError, ProcessLookupError):
                self._begin_anew()
            except OSError as error:
                raise _unable(error) from error

    def _forked(self) -> WorkerProcess:
        with contextlib.ExitStack() as stack:
            ours, theirs = map(stack.enter_context, socket.socketpair())
            log = stack.enter_context(tempfile.TemporaryFile())
            socket.send_fds(self._socket, [FORK], [theirs.fileno(), log.fileno()])
            pid, why_not = NUMBERS.unpack(receive_exactly(self._socket, NUMBERS.size))
            if not pid:
                raise OSError(why_not, os.strerror(why_not))
            rest, end = partial(self._rest, self._socket), partial(self._end, self._socket)
            worker = WorkerProcess(pid, Connection(ours.detach()), log, rest, end)
            stack.pop_all()
            theirs.close()
            return worker

    def _begin_anew(self) -> None:
        printed = last_lines(self._log, 1)
        self._release()
        how = ended(self._process.returncode, f"the forkserver of backend {self._backend!r}")
        if self._process.returncode > 0 and printed:
            how += f" ({printed})"
        if self._begun_anew:
            self._given_up = LabError(
                "a forkserver lives as long as its run",
                f"{how}, a second time in one trial",
                "find out what ends it: an arm that kills its parent, or a lack of memory",
            )
            raise self._given_up
        self.notices.append(f"{how}; it was begun anew")
        self._begun_anew = True
        self._begin()

    @staticmethod
    def _asked(server: socket.socket, what: bytes, pid: int) -> int:
        server.sendall(what + NUMBERS.pack(pid, 0))
        _, status = NUMBERS.unpack(receive_exactly(server, NUMBERS.size))
        return int(status)

    def _rest(self, server: socket.socket, pid: int) -> None:
        """Stop a worker and its group, unless its server, which would end them, is gone."""
        with contextlib.suppress(EOFError, OSError):
            self._asked(server, REST, pid)

    def _end(self, server: socket.socket, pid: int) -> int | None:
        """End a worker and its group; return its exit status, None without its server."""
        try:
            return self._asked(server, END, pid)
        except (EOFError, OSError):
            if not self._closed:  # nobody else is left to do it
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            return None

    def close(self) -> None:
        """End the server and, with it, every worker and the servers of other environments."""
        self._closed = True
        for server in self._others.values():
            server.close()
        self._release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _release(self) -> None:
        self._socket.close()
        self._process.wait()
        self._log.close()
