"""Where run files are, unless somebody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

BEGINS = ("pyproject.toml", ".git", "setup.py", "tox.ini", "pytest.ini")
"""One of these lies in the folder in which a project begins."""


def runs_folder() -> Path:
    """Return the nearest folder ``runs``, from here up to where the project begins.

    Where there is none yet, it is the one that will be here.
    """
    here = Path.cwd()
    found = (folder / "runs" for folder in project(here) if (folder / "runs").is_dir())
    return Path(os.path.relpath(next(found, here / "runs"), here))


def project(here: Path) -> list[Path]:
    """Return the folders from this one up to where its project begins; this alone without one."""
    up = [here, *here.parents]
    roots = (i for i, folder in enumerate(up) if any((folder / name).exists() for name in BEGINS))
    return up[: next(roots, 0) + 1]
