"""Which code this process has imported: the reader's and ours, not what others wrote."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from keras_ab.bench.lab.words.digests import GENERATED
from keras_ab.bench.lab.worker.wire import clipped

OURS = "keras_ab"
INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
"""Folders of what was installed, whose versions the run's header tells."""
STANDARD = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
COMPILED = {".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp"}
"""What a package compiles from its folder ``src`` counts as imported with it."""


def code_files() -> dict[str, str]:
    """Return the SHA-256 of each file of code by its path, as seen from where it is imported."""
    found = {}
    for name, file in _modules():
        for path, place in _with_compiled(name, file):
            try:
                found[clipped(place)] = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError:
                continue  # it is gone, or lies in an archive
    return found


def _modules() -> Iterator[tuple[str, Path]]:
    """Yield the modules of the reader's and ours by name, each with its file.

    What a framework compiles into a temporary folder bears its name, and is no more told than it.
    """
    files = {
        name: file
        for name, module in sorted(sys.modules.items())
        if isinstance(module, ModuleType) and isinstance(file := vars(module).get("__file__"), str)
    }
    for name, file in files.items():
        top = name.partition(".")[0]
        if is_told(name, file) and is_told(top, files.get(top, file)):
            yield name, Path(file)


def is_told(name: str, file: str) -> bool:
    """Tell whether a module is the reader's or ours."""
    if name.partition(".")[0] == OURS:
        return True
    if name.startswith(GENERATED):
        return False
    return not file.startswith(STANDARD) and not any(folder in file for folder in INSTALLED)


def _with_compiled(name: str, file: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file of a module and what it is compiled from, each with its place."""
    is_package = file.name == "__init__.py"
    depth = name.count(".") + 1 + is_package
    yield file, "/".join(file.parts[-depth:])
    for path in sorted(file.parent.glob("src/*")) if is_package else ():
        if path.suffix in COMPILED:
            yield path, "/".join(path.parts[-depth - 1 :])
