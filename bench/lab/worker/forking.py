"""The forkserver's own process: it imports a framework once and forks fresh workers from that.

It touches no device, so a worker starts as a process that has just done its imports.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import shutil
import signal
import socket
import struct
import tempfile
from multiprocessing.connection import Connection

from keras_ab.bench.lab.worker import backends

READY, FORK, REST, END = b"R", b"F", b"S", b"E"
"""What the two sides say: ready to fork; fork a worker; stop one; end one."""

NUMBERS = struct.Struct("!ii")
"""A process id, and the exit status of that process; where none was forked, 0 and why."""

UNABLE = 70
"""Exit status of a worker that could not give its answer, its connection being gone."""


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Return so many bytes from the other side."""
    data = sock.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise EOFError("the other side is gone")
    return data


def main(descriptor: int, backend: str, folder: str) -> None:
    """Serve at a socket; the folder of workers' temporary files ends with the main process.

    Where that lives, and it is this one that fails, it still wants the folder.
    """
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(socket.socket(fileno=descriptor), backend)
    shutil.rmtree(folder, ignore_errors=True)


def serve(sock: socket.socket, backend: str) -> None:
    """Fork workers on request until the main process goes away; then end them all."""
    for module in (*backends.load(backend).PRELOAD, "keras_ab.bench.lab.worker.serving"):
        importlib.import_module(module)
    gc.freeze()  # a collection in a worker would copy every shared page that it marks
    sock.sendall(READY)
    alive: set[int] = set()
    while True:
        command, fds, _, _ = socket.recv_fds(sock, 1, 2)
        if command == FORK:
            pid, why_not = _fork(sock, *fds)
            if pid:
                alive.add(pid)
            sock.sendall(NUMBERS.pack(pid, why_not))
        elif command == REST:
            pid, _ = NUMBERS.unpack(receive_exactly(sock, NUMBERS.size))
            _rest(pid)
            sock.sendall(NUMBERS.pack(pid, 0))
        elif command == END:
            pid, _ = NUMBERS.unpack(receive_exactly(sock, NUMBERS.size))
            alive.discard(pid)
            sock.sendall(NUMBERS.pack(pid, _end(pid)))
        else:
            for pid in alive:
                _end(pid)
            return


def _fork(sock: socket.socket, connection: int, log: int) -> tuple[int, int]:
    """Fork a worker that answers at a connection and prints into a log.

    Returns its process id, or 0 and the number of the error for which there is none.
    """
    try:
        pid = os.fork()
        if not pid:
            _work(sock, connection, log)
    except OSError as error:
        return 0, error.errno or errno.EAGAIN
    finally:
        os.close(connection)
        os.close(log)
    with contextlib.suppress(OSError):  # it has done so itself, or has ended
        os.setpgid(pid, pid)
    return pid, 0


def _work(sock: socket.socket, connection: int, log: int) -> None:
    """Be a worker, and end without unwinding: what is on the stack is the forkserver's.

    No interpreter is shut down either: frameworks hang in that, and nothing is left to save.
    """
    from keras_ab.bench.lab.worker import serving

    status = UNABLE
    try:
        os.setpgid(0, 0)  # what an arm starts ends with it
        sock.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        serving.serve(Connection(connection))
        status = 0
        if os.getpid() == os.getpgrp():  # and no fork that the arm did not end
            os.killpg(0, signal.SIGKILL)  # there may be nobody left to end what it has started
    finally:
        os._exit(status)


def _rest(pid: int) -> None:
    """Stop a worker and its process group; return when it has stopped, or has ended.

    Only what is stopped does the kernel hang up on when this process, its parent, is gone: what
    is about to stop would stop for ever.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)  # it may have left the group
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def _end(pid: int) -> int:
    """End a worker that has not ended by itself, and its process group; return its status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)  # it may have left the group
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
