"""Where what is built once is kept, and how it gets there."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from keras_ab.kernels.native.errors import NotAvailable


def directory() -> Path:
    """Return the cache directory: `KERAS_AB_CACHE`, or the platform's place for user caches.

    Source: XDG Base Directory Specification 0.8 (2021),
    https://specifications.freedesktop.org/basedir-spec/latest/.
    """
    if chosen := os.environ.get("KERAS_AB_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "keras-ab"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache") / "keras-ab"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cached file `name`, made by `make(path)` where it is not there yet.

    It is made under a temporary name and renamed: processes that make it at the same time each
    install a whole file, and a crash installs none.

    Raises:
        NotAvailable: The directory cannot be written and the file is not there.
    """
    target = directory() / name
    try:
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = Path(scratch, target.name)
            make(made)
            made.replace(target)
    except OSError as error:
        raise NotAvailable.because(
            "The kernels' cache directory must be writable",
            f"{target.parent}: {error.strerror or error}",
            "Set KERAS_AB_CACHE to a directory that is.",
        ) from error
    return target
