"""An object store as S3 speaks it, served on this machine."""

import secrets
import socket
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.fleet.on_ray import s3_environment


@pytest.fixture(scope="session")
def s3_server():
    """Serve S3 on this machine, in a process of its own; return where."""
    if not (find_spec("moto") and find_spec("s3fs")):
        pytest.skip("needs moto and s3fs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not answers(port):
        assert server.poll() is None
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()


def answers(port):
    """Tell whether somebody listens at a port here."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return the URL of an empty bucket; the environment says where, and with what credentials."""
    import s3fs

    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(4)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
