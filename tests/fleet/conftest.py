"""An object store as S3 speaks it, served on this machine."""

import os
import secrets

import pytest


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
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test"}
    where = {"AWS_ENDPOINT_URL_S3": s3_server, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**credentials, **where}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{secrets.token_hex(4)}"
    s3fs.S3FileSystem().mkdir(name)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "test"
    return f"s3://{name}"
