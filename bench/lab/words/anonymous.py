"""Texts without what tells of a machine's owner: absolute paths, the user's name, the machine's."""

from __future__ import annotations

import getpass
import re
import socket
import sys
from functools import cache
from pathlib import Path
from typing import Any

from keras_ab import bench

COMMON = {"root", "user", "localhost", "nobody", "runner"}
"""Names of users and machines that tell of nobody."""
SHORTEST = 3
"""Shorter names would take too many other words with them."""

_SAME_EVERYWHERE = re.compile(
    r"/(usr|lib|lib64|bin|sbin|etc|proc|sys|dev)/|/(job|replica|task|device):"
)
"""Paths of the system, and the names that TensorFlow has for devices."""
_QUOTED = re.compile(
    r"""(?P<mark>["'`])(?P<path>/(?:(?!(?P=mark)).)*/(?P<last>(?:(?!(?P=mark))[^/\n])*))(?P=mark)"""
)
_BEGINS = r"(?:(?<=file://)|(?<=\s-[ILD])|(?<![\w…/~.\-]))"
"""Where a path may begin: after no part of another one."""
_BARE = re.compile(
    _BEGINS + r"""(?P<path>/(?:[^\s"'`<>|:;,()\[\]{}/]+/)+(?P<last>[^\s"'`<>|:;,()\[\]{}/]*))"""
)


def anonymous(text: str) -> str:
    """Return a text without absolute paths, and without the names of the user and the machine.

    Paths are told from the package, the folder that one stands in, the environment, Python or
    home; of any other its last name alone.
    """
    text = without_folders(text)
    for pattern in (_QUOTED, _BARE):
        text = pattern.sub(_last_name, text)
    names = "|".join(map(re.escape, _names()))
    return re.sub(rf"(?<!\w)(?:{names})(?!\w)", "…", text) if names else text


def anonymous_facts(fact: Any) -> Any:
    """Return a fact, nested or not, with all its texts anonymous."""
    if isinstance(fact, dict):
        return {name: anonymous_facts(inner) for name, inner in fact.items()}
    if isinstance(fact, list):
        return [anonymous_facts(inner) for inner in fact]
    return anonymous(fact) if isinstance(fact, str) else fact


def without_folders(text: str) -> str:
    """Return a text in which paths are told from the folders that everybody has."""
    for folder in _folders(Path.cwd(), Path.home()):
        text = _without(folder, text)
    return text


def _without(folder: tuple[re.Pattern[str], str, str], text: str) -> str:
    pattern, within, itself = folder
    return pattern.sub(lambda found: within if found[1] else itself, text)


def _last_name(found: re.Match[str]) -> str:
    if _SAME_EVERYWHERE.match(found["path"]):
        return found[0]
    return found[0].replace(found["path"], f"…/{found['last']}")


@cache
def _folders(here: Path, home: Path) -> list[tuple[re.Pattern[str], str, str]]:
    """Return the folders that paths are told from, the innermost first.

    Each with what stands for it before what lies in it, and with what stands for it alone.
    """
    package = Path(bench.__file__).parents[2]
    told = {package: "", here: "", Path(sys.prefix): "", Path(sys.base_prefix): "", home: "~/"}
    told |= {folder.resolve(): stands_for for folder, stands_for in told.items()}
    ordered = sorted(told, key=lambda folder: -len(folder.parts))
    return [
        (
            re.compile(rf"{_BEGINS}(?:{_written(folder)})(/|(?![\w.\-]))"),
            told[folder],
            told[folder][:1] or ".",
        )
        for folder in ordered
        if len(folder.parts) > 1
    ]


def _written(folder: Path) -> str:
    """Return the pattern of a folder as it is, or as `repr` writes it in messages."""
    return "|".join(map(re.escape, {str(folder), repr(str(folder))[1:-1]}))


def _names() -> list[str]:
    """Return what the user and the machine are called, the longest first."""
    host = socket.gethostname()
    names = {_user(), Path.home().name, host, host.partition(".")[0]}
    return sorted((n for n in names - COMMON if len(n) >= SHORTEST), key=len, reverse=True)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # a number without a name, as in some containers
        return ""
