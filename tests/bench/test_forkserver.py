"""A forkserver that is lost, at whatever moment, is begun anew or given up in words."""

import tempfile
from pathlib import Path

import psutil
import pytest

from keras_ab.bench.lab.loop import forkserver
from keras_ab.bench.lab.loop.asking import ask
from keras_ab.bench.lab.loop.forkserver import ForkServer
from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.lab.worker import protocol

SUICIDAL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def killed(server):
    server._process.kill()
    server._process.wait()


def test_a_forkserver_that_is_gone_is_begun_anew_once_and_that_is_said():
    server = ForkServer("plain")
    lost = server.start()
    kept = Path(server.folder) / "kept"
    kept.touch()
    killed(server)
    worker = server.start()
    assert ask(worker, protocol.Facts("plain"), 60)["devices"]
    (notice,) = server.notices
    assert notice.startswith("the forkserver of backend 'plain' was killed by SIGKILL")
    assert notice.endswith("it was begun anew")
    assert kept.exists()
    orphan = psutil.Process(lost.pid)
    lost.stop()
    _, alive = psutil.wait_procs([orphan], timeout=30)
    assert not alive
    killed(server)
    for _ in range(2):
        with pytest.raises(LabError, match="a second time"):
            server.start()
    worker.stop()
    server.next_trial()
    worker = server.start()
    assert ask(worker, protocol.Facts("plain"), 60)["devices"]
    worker.stop()
    assert kept.exists()
    server.close()
    assert not kept.parent.exists()


def test_a_forkserver_that_is_killed_while_it_imports_is_lost_for_that_trial_alone(monkeypatch):
    server = ForkServer("plain")
    other = server.other("plain", {"NAME": "value"})
    other.start().stop()
    program = forkserver._PROGRAM
    for lost in (server, other):
        killed(lost)
        monkeypatch.setattr(forkserver, "_PROGRAM", SUICIDAL)
        for _ in range(2):
            with pytest.raises(LabError, match="a second time in one trial"):
                lost.start()
        monkeypatch.setattr(forkserver, "_PROGRAM", program)
        server.next_trial()
        worker = lost.start()
        assert ask(worker, protocol.Facts("plain"), 60)["devices"]
        worker.stop()
    server.close()


def test_a_forkserver_that_is_killed_at_once_is_begun_anew_and_then_refused_in_words(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(forkserver, "_PROGRAM", SUICIDAL)
    with pytest.raises(LabError, match=r"killed by SIGKILL .*a second time"):
        ForkServer("plain")
    assert not list(tmp_path.iterdir())


def test_a_forkserver_that_cannot_be_started_is_refused_in_words_and_leaves_nothing(monkeypatch):
    server = ForkServer("plain")
    killed(server)
    before = psutil.Process().num_fds()

    def no_memory(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patched:
        patched.setattr(forkserver.subprocess, "Popen", no_memory)
        for _ in range(3):
            with pytest.raises(LabError, match="a process can be started"):
                server.start()
    assert psutil.Process().num_fds() <= before
    server.start().stop()
    server.close()


def test_a_framework_that_can_be_imported_no_more_says_why(monkeypatch):
    server = ForkServer("plain")
    server.start().stop()
    killed(server)
    monkeypatch.setattr(forkserver, "_PROGRAM", "raise ImportError('no libfoo')")
    with pytest.raises(LabError, match="no libfoo"):
        server.start()
    server.close()


def test_a_process_for_which_there_is_no_descriptor_is_refused_in_words(monkeypatch):
    server = ForkServer("plain")

    def none_left():
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(forkserver.socket, "socketpair", none_left)
        with pytest.raises(LabError, match=r"a process can be started\n.*Too many open files"):
            server.start()
    server.start().stop()
    server.close()
    with pytest.raises(LabError, match="a forkserver is open"):
        server.start()


def test_a_backend_that_there_is_not_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(LabError):
        ForkServer("nope")
    assert not list(tmp_path.iterdir())
