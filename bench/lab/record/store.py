"""Where many machines keep their runs: a folder, or what fsspec opens at a URL (``s3://…``).

Names are written once. Whoever comes second with another content is refused, so that two writers
never mix; whoever comes second with the same content has only not heard that the first time went
well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from keras_ab.bench.lab.words.errors import RecordError

LARGEST_BYTES = 2**30
"""Of one name; a whole run of the suite has 5 MB."""
AT_ONCE = 32
"""Names that are read side by side, where a request takes longer than its answer."""


class Taken(RecordError):
    """A name that is there already, with another content."""


class Store(Protocol):
    """Names with their contents."""

    url: str

    def names(self, under: str = "") -> dict[str, int]:
        """Return the size in bytes of everything in a folder of it, however deep, by name."""

    def read(self, name: str) -> bytes:
        """Return the content of a name."""

    def create(self, name: str, data: bytes) -> None:
        """Write a new name.

        Raises:
            Taken: it is there, with another content.
        """

    def replace(self, name: str, data: bytes) -> None:
        """Write a name that is derived from others, whether it is there or not."""

    def remove(self, names: Collection[str]) -> None:
        """Remove names; what cannot be removed stays."""


def store(url: str | Path) -> Store:
    """Return the store in a folder or at a URL.

    Raises:
        RecordError: nothing here opens such a URL.
    """
    given = str(url).removeprefix("file://")
    return AtUrl(given.rstrip("/")) if "://" in given else InFolder(Path(given))


def read_many(kept: Store, names: Collection[str]) -> Iterator[tuple[str, bytes | RecordError]]:
    """Yield names with their contents, or why they cannot be read, asking for several at once."""
    listed = list(names)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(listed), AT_ONCE):
            part = listed[start : start + AT_ONCE]
            yield from zip(part, pool.map(partial(_read_or_why, kept), part), strict=True)


def _read_or_why(kept: Store, name: str) -> bytes | RecordError:
    try:
        return kept.read(name)
    except RecordError as error:
        return error


def _taken(place: str) -> Taken:
    return Taken(
        "a name in a store is written once",
        f"{place} is there already, with another content",
        "begin anew: nothing that is there was changed",
    )


def _too_large(place: str) -> RecordError:
    return RecordError(
        f"a name in a store has at most {LARGEST_BYTES} bytes",
        f"{place}, which has more",
        "leave it out; no run file is as large",
    )


def _why(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:500]


@contextmanager
def _refusing(must: str, place: str, do: str) -> Iterator[None]:
    """Turn whatever a file system raises into an error in three parts."""
    try:
        yield
    except RecordError:
        raise
    except Exception as error:
        raise RecordError(must, f"{place}: {_why(error)}", do) from error


def _reading(place: str) -> Any:
    do = "check the address, the permissions and the credentials"
    return _refusing("a store can be read", place, do)


def _writing(place: str) -> Any:
    do = "check the address, the permissions and the credentials, or name another with --runs"
    return _refusing("a store can be written to", place, do)


class InFolder:
    """A store in a folder, which many machines may share."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder)
        self._folder = folder

    def names(self, under: str = "") -> dict[str, int]:
        """Return sizes by name; see `Store`."""
        with _reading(self.url):
            walked = os.walk(self._folder / under, onerror=_passed_over)
            found = sorted(Path(folder) / name for folder, _, names in walked for name in names)
            sizes = {path: size for path in found if (size := _size(path)) is not None}
        told = {path.relative_to(self._folder).as_posix(): size for path, size in sizes.items()}
        return {name: size for name, size in told.items() if not _is_hidden(name)}

    def read(self, name: str) -> bytes:
        """Return a content; see `Store`."""
        with _reading(f"{self.url}/{name}"):
            if (self._folder / name).stat().st_size > LARGEST_BYTES:
                raise _too_large(f"{self.url}/{name}")
            return (self._folder / name).read_bytes()

    def create(self, name: str, data: bytes) -> None:
        """Write a new name, whole or not at all; see `Store`."""
        with self._beside(name, data) as beside:
            try:
                os.link(beside, self._folder / name)
            except FileExistsError:
                if (self._folder / name).read_bytes() != data:
                    raise _taken(f"{self.url}/{name}") from None

    def replace(self, name: str, data: bytes) -> None:
        """Write a name; see `Store`."""
        with self._beside(name, data) as beside:
            beside.replace(self._folder / name)

    @contextmanager
    def _beside(self, name: str, data: bytes) -> Iterator[Path]:
        """Write content beside its place, and leave nothing there in the end."""
        place = self._folder / name
        beside = place.with_name(f".{place.name}.{secrets.token_hex(6)}")
        with _writing(str(place)):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(data)
                yield beside
            finally:
                beside.unlink(missing_ok=True)

    def remove(self, names: Collection[str]) -> None:
        """Remove names, and the folders that are empty then; see `Store`."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        for folder in {(self._folder / name).parent for name in names} - {self._folder}:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _passed_over(error: OSError) -> None:
    """Pass a folder over that was removed since it was listed, or may not be read."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError)):
        raise error


def _size(path: Path) -> int | None:
    """Return the size of a file; None of what is none, or was removed since it was listed."""
    try:
        told = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    return told.st_size if stat.S_ISREG(told.st_mode) else None


def _is_hidden(name: str) -> bool:
    """Tell whether a file is one that is being written."""
    return name.rpartition("/")[2].startswith(".")


class AtUrl:
    """A store behind a URL; credentials are the environment's, and nowhere kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._system, self._root = _opened(url)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    def _name(self, path: str) -> str:
        return path.removeprefix("/").removeprefix(f"{self._root.strip('/')}/")

    def names(self, under: str = "") -> dict[str, int]:
        """Return sizes by name; see `Store`."""
        with _reading(f"{self.url}/{under}"):
            self._system.invalidate_cache()  # others write to it
            try:
                found = self._system.find(self._path(under), detail=True)
            except FileNotFoundError:  # nothing was ever written there
                return {}
        return {self._name(path): int(told["size"] or 0) for path, told in sorted(found.items())}

    def read(self, name: str) -> bytes:
        """Return a content; see `Store`."""
        with _reading(f"{self.url}/{name}"):
            data = self._system.cat_file(self._path(name))
        if len(data) > LARGEST_BYTES:
            raise _too_large(f"{self.url}/{name}")
        return data

    def create(self, name: str, data: bytes) -> None:
        """Write a new name; see `Store`."""
        with _writing(f"{self.url}/{name}"):
            try:
                self._system.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                if self._system.cat_file(self._path(name)) != data:
                    raise _taken(f"{self.url}/{name}") from None

    def replace(self, name: str, data: bytes) -> None:
        """Write a name; see `Store`."""
        with _writing(f"{self.url}/{name}"):
            self._system.pipe_file(self._path(name), data)

    def remove(self, names: Collection[str]) -> None:
        """Remove names; see `Store`."""
        try:
            self._system.rm([self._path(name) for name in names])
        except Exception:  # noqa: BLE001 - one of them cannot be removed: the others can
            for name in names:
                with contextlib.suppress(Exception):
                    self._system.rm_file(self._path(name))


def _opened(url: str) -> tuple[Any, str]:
    """Return a URL's file system and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise RecordError(
            "fsspec is installed where runs are kept at a URL",
            url,
            "pip install 'keras-ab[fleet]'",
        ) from error
    with _refusing(
        "a URL names a file system that fsspec can open",
        url,
        "install the file system's package (s3fs, gcsfs), or keep the runs in a folder",
    ):
        return fsspec.core.url_to_fs(url)
