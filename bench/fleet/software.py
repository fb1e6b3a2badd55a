"""What a node runs: the versions of packages and of this code, and the code that was sent along."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import keras_ab
from keras_ab.bench.lab.loop import facts
from keras_ab.bench.lab.words.errors import DeclarationError

LARGEST_CODE_BYTES = 64 * 2**20
LEFT_OUT = ("__pycache__", "runs", "node_modules", "build", "dist")
"""Folders of which nothing is sent, beside hidden ones."""
WRITTEN = (".html", ".jsonl", ".log")
"""Endings of what measuring writes: it would make the same code look like another."""


def software() -> dict[str, Any]:
    """Return the versions of Python, of the packages that change a number, and of this code."""
    told = facts.environment()
    return {"python": told["python"], "packages": told["packages"], "keras_ab": digest()}


def digest(package: Path = Path(keras_ab.__file__).parent) -> str:
    """Return a digest of the code of this package, whichever version it says it is."""
    folders = (package, *(package / name for name in ("bench", "kernels", "reports")))
    files = {
        path.relative_to(package).as_posix(): path for f in folders for path in f.rglob("*.py")
    }
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        found.update(f"{name}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def packed(folder: Path) -> bytes:
    """Return the files of a folder, packed in the same way each time.

    Raises:
        DeclarationError: they are too many to be sent along.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path in _sent(folder):
            name = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            file.writestr(name, path.read_bytes(), zipfile.ZIP_DEFLATED)
    if len(out.getvalue()) > LARGEST_CODE_BYTES:
        raise DeclarationError(
            f"the code that is sent to nodes has at most {LARGEST_CODE_BYTES // 2**20} MiB",
            f"{folder}: {len(out.getvalue()) // 2**20} MiB, packed",
            "stand in the folder of the experiments alone; leave data where nodes can read it",
        )
    return out.getvalue()


def _sent(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in WRITTEN
        and not any(map(_is_left_out, path.relative_to(folder).parts))
    )


def _is_left_out(part: str) -> bool:
    return part.startswith(".") or part in LEFT_OUT


def unpacked(data: bytes, folder: Path) -> Path:
    """Lay files out that were packed, in a folder of their own: anew, whatever is left there."""
    place = folder / hashlib.sha256(data).hexdigest()[:16]
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        file.extractall(place)
    return place
