"""What a name may be."""

from __future__ import annotations

import re

from keras_ab.bench.lab.words.errors import DeclarationError

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def check_name(kind: str, name: str) -> None:
    """Refuse a name that cannot stand in node ids, columns and citations."""
    if not _NAME.fullmatch(name):
        raise DeclarationError(
            f"the name of {kind} is lower_case letters, digits and underscores",
            repr(name),
            "rename it; the name goes into node ids, columns and citations",
        )


def check_unique(kind: str, names: list[str]) -> None:
    """Refuse names of which two are the same."""
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise DeclarationError(
            f"each {kind} of an experiment has a name of its own",
            f"twice: {', '.join(doubles)}",
            "rename one of them",
        )
