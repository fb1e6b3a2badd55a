"""An object store as S3 speaks it, served on this machine."""

import secrets

import pytest

from tests.fleet.on_ray import s3_environment


@pytest.fixture(scope="session")
def s3_server():
    """Serve S3 on this machine; return where."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return the URL of an empty bucket; the environment says where, and with what credentials."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in s3_environment(s3_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(4)}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
