"""What processes say, as records keep it: no colours, no endless text, nobody's own paths."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

import keras_ab
from keras_ab.bench.lab.words.errors import Refusal
from keras_ab.bench.lab.worker.wire import clipped

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ELSEWHERE = re.compile(r'File "/(?:[^"\n]*/)?([^"/\n]+/[^"/\n]+)"')
"""A file of a traceback that lies below none of the folders that paths are told from."""


def kept(text: str) -> str:
    """Return a message or traceback as it goes into a record."""
    text = _COLOURS.sub("", clipped(text))
    for folder, stands_for in _folders(Path.cwd()):
        text = text.replace(folder, stands_for)
    return _ELSEWHERE.sub(r'File "…/\1"', text)


def kept_refusal(refusal: Refusal | None) -> Refusal | None:
    """Return an error's parts as they go into a record."""
    return refusal and Refusal(kept(refusal.must), kept(refusal.received), kept(refusal.do))


@cache
def _folders(here: Path) -> list[tuple[str, str]]:
    """Return the folders that paths are told from, the innermost first, and what stands for them.

    The package, the folder of the run, the environment, Python itself, and the home folder.
    """
    package = Path(keras_ab.__file__).parents[1]
    told = {package: "", here: "", Path(sys.prefix): "", Path(sys.base_prefix): ""}
    told |= {folder.resolve(): "" for folder in list(told)}
    told |= {Path.home(): "~/", Path.home().resolve(): "~/"}
    ordered = sorted(told, key=lambda folder: -len(folder.parts))
    return [(f"{folder}/", told[folder]) for folder in ordered if len(folder.parts) > 1]
