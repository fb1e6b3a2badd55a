"""An arm that is timed rests while others are: none of its threads and children runs meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from keras_ab.bench.lab.loop.asking import ask
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.worker import protocol

FILE = str(Path(__file__).parent / "experiments" / "bench_hostile.py")
LEAVES_A_CHILD = protocol.ArmNames(FILE, "hostile", "leaves_children", "only", "plain")


@pytest.fixture
def server():
    server = ForkServer("plain")
    yield server
    server.close()


def started(server):
    """Return a process, with the child that its arm has started."""
    worker = server.start()
    built = ask(worker, protocol.Build(LEAVES_A_CHILD, 1), 60)
    return worker, [psutil.Process(pid) for pid in (worker.pid, int(built.notes["child"]))]


def states(processes):
    return {process.status() for process in processes}


def wait_until(holds, why):
    """Wait for what the kernel does in its own time."""
    for _ in range(1_000_000):
        if holds():
            return
        os.sched_yield()
    raise AssertionError(why)


def test_a_process_rests_with_all_that_it_started_and_goes_on_when_it_is_woken(server):
    worker, processes = started(server)
    worker.rest()
    wait_until(lambda: states(processes) == {psutil.STATUS_STOPPED}, states(processes))
    worker.wake()
    assert ask(worker, protocol.Sample(3), 60).duration_s > 0
    assert psutil.STATUS_STOPPED not in states(processes)
    worker.stop()


def test_a_process_has_stopped_when_it_is_told_to_rest(server):
    """Not is about to: see `forking._rest`."""
    worker, (process, _) = started(server)
    for _ in range(200):
        worker.rest()
        assert process.status() == psutil.STATUS_STOPPED
        worker.wake()
    worker.stop()


def test_none_rests_whom_nobody_would_end(server):
    worker, processes = started(server)
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    worker.rest()
    assert psutil.STATUS_STOPPED not in states(processes)
    worker.stop()
    wait_until(lambda: gone(processes), "still there")


def test_a_process_that_rests_can_be_ended(server):
    worker, processes = started(server)
    worker.rest()
    worker.stop()
    wait_until(lambda: gone(processes), "still there")


def test_a_process_that_rests_can_be_ended_without_its_forkserver(server):
    worker, processes = started(server)
    worker.rest()
    os.kill(server._process.pid, signal.SIGKILL)
    worker.stop()
    wait_until(lambda: gone(processes), "still there")


PROGRAM = """
import os, signal
from tests.bench.test_rest import *
if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.{on_hang_up})
    server = ForkServer("plain")
    worker, processes = started(server)
    if {rests}:
        worker.rest()
    print(*(process.pid for process in processes), flush=True)
    for pid in {killed}:
        os.kill(pid, signal.SIGKILL)
"""


@pytest.mark.parametrize("on_hang_up", ["SIG_DFL", "SIG_IGN"])  # the latter as nohup has it
@pytest.mark.parametrize("rests", [True, False])
@pytest.mark.parametrize("killed", ["(os.getpid(),)", "(server._process.pid, os.getpid())"])
def test_none_is_left_behind_by_what_was_killed(tmp_path, killed, rests, on_hang_up):
    program = PROGRAM.format(killed=killed, rests=rests, on_hang_up=on_hang_up)
    (tmp_path / "main.py").write_text(program)
    command = [sys.executable, str(tmp_path / "main.py")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not any(map(alive, map(int, done.stdout.split()))), "left behind")


def gone(processes):
    return not any(alive(process.pid) for process in processes)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
