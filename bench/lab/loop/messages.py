"""What processes say, as records keep it: no colours, no endless text, nobody's own paths."""

from __future__ import annotations

import re

from keras_ab.bench.lab.words.anonymous import anonymous
from keras_ab.bench.lab.words.errors import Refusal
from keras_ab.bench.lab.worker.wire import clipped

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def kept(text: str) -> str:
    """Return a message, traceback or note as it goes into a record."""
    return anonymous(_COLOURS.sub("", clipped(text)))


def kept_refusal(refusal: Refusal | None) -> Refusal | None:
    """Return an error's parts as they go into a record."""
    return refusal and Refusal(kept(refusal.must), kept(refusal.received), kept(refusal.do))
