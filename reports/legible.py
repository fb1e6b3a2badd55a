"""Make what strangers wrote fit to be shown: no control characters, no endless names."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras_ab.bench.lab.record.records import Trial

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]"
)
"""Control characters, and those that turn the direction of text around or hide in it."""

SANE = 1e30
"""Rates and sizes beyond this were not measured on any machine."""


def visible(written: str) -> str:
    """Return text with its invisible characters replaced by �."""
    return _HIDDEN.sub("�", written)


def legible(written: str, longest: int = 20_000) -> str:
    """Return text with its invisible characters replaced by � and its length bounded."""
    shown = visible(written[:longest])
    return shown if len(written) <= longest else f"{shown}… ({len(written)} characters in all)"


def label(name: str, longest: int = 32) -> str:
    """Return a name as a figure can draw it: printable ASCII, not too long."""
    drawn = "".join(c if " " <= c <= "~" else "?" for c in name[: longest + 1])
    return drawn if len(drawn) <= longest else f"{drawn[: longest - 3]}..."


def short_names(trials: Sequence[Trial]) -> list[str]:
    """Return each trial's name with only those parameters that tell it from its siblings."""
    return [_short_name(trial, trials) for trial in trials]


def _short_name(trial: Trial, trials: Sequence[Trial]) -> str:
    siblings = [other.case for other in trials if other.experiment == trial.experiment]
    telling = [
        f"{key}={value}"
        for key, value in trial.case.items()
        if any(case.get(key) != value for case in siblings)
    ]
    return " ".join([trial.experiment, *telling])
