"""Run files at URLs, through fsspec: ``s3://``, ``gs://``, ``https://`` and others."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from keras_ab.bench.lab.record.parts import is_in_parts, kept
from keras_ab.bench.lab.record.store import store
from keras_ab.bench.lab.words.errors import RecordError

LARGEST_BYTES = 2**30
"""A whole run of the suite has 5 MB."""


def _fsspec(url: str) -> ModuleType:
    try:
        import fsspec
    except ImportError as error:
        raise RecordError(
            "fsspec is installed where runs are read from a URL",
            url,
            "pip install 'keras-ab[reports]', and the file system's own package (s3fs, gcsfs)",
        ) from error
    return fsspec


def _open(url: str) -> tuple[Any, str]:
    """Return a URL's file system and the path in it."""
    fsspec = _fsspec(url)
    try:
        return fsspec.core.url_to_fs(url)
    except Exception as error:
        raise RecordError(
            "a URL names a file system that fsspec can open",
            f"{url}: {error}",
            "install the file system's package, or copy the runs here",
        ) from error


def _refuse(url: str, error: Exception) -> RecordError:
    why = str(error) or type(error).__name__
    return RecordError("a URL can be read", f"{url}: {why}", "check the address and permissions")


def expand(url: str) -> list[str]:
    """Return the URLs of the run files of a folder or glob; of a file, the URL itself."""
    is_pattern = any(c in url for c in "*?[")
    if is_in_parts(url) or (url.endswith(".jsonl") and not is_pattern):
        return [url]
    system, path = _open(url)
    try:
        if is_pattern:
            found = system.glob(path)
        elif system.isdir(path):
            return [f"{url.rstrip('/')}/{run.place}" for run in kept(store(url).names())]
        else:
            return [url]
    except Exception as error:
        raise _refuse(url, error) from error
    return [system.unstrip_protocol(name) for name in found]


def read(url: str) -> bytes:
    """Return the content of a URL.

    Raises:
        RecordError: where it cannot be read.
    """
    system, path = _open(url)
    try:
        with system.open(path, "rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except Exception as error:
        raise _refuse(url, error) from error
    if len(data) > LARGEST_BYTES:
        raise RecordError(
            f"a run at a URL has at most {LARGEST_BYTES} bytes",
            f"{url}, which has more, or no end",
            "copy it here, and name the file",
        )
    return data
