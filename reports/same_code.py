"""Whether the arms of trials that were declared at different times have the same code."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keras_ab.bench.lab.record.declared import Trial
from keras_ab.reports.arms import lines_of, recipe_of

_FIELD = re.compile(r"    (\w+)=.*,")

Lines = Mapping[str, list[str]]
"""The code of each arm."""


def unlike_arms(a: Trial, b: Trial) -> list[str]:
    """Return the arms whose code is not the same in two trials, and those that one of them lacks.

    A recipe tells every field that there was when it was measured. A field that came later, and is
    the same in all arms of its trial, tells no arms apart: it is left out.
    """
    old, new = ({arm.name: arm.code.strip() for arm in trial.arms} for trial in (a, b))
    if old == new:
        return []
    if all(map(recipe_of, (*old.values(), *new.values()))):
        return _unlike(*_shared(_lines(old), _lines(new)))
    return _unlike(_lines(old), _lines(new))


def _lines(codes: Mapping[str, str]) -> Lines:
    return {arm: lines_of(code) for arm, code in codes.items()}


def _unlike(old: Lines, new: Lines) -> list[str]:
    return sorted(arm for arm in old.keys() | new.keys() if old.get(arm) != new.get(arm))


def _shared(old: Lines, new: Lines) -> tuple[Lines, Lines]:
    """Return recipes without the fields that only one trial's have, and all of these alike."""
    left_out = _later(old, new) | _later(new, old)
    kept = (
        {arm: [line for line in own if line not in left_out] for arm, own in lines.items()}
        for lines in (old, new)
    )
    return next(kept), next(kept)


def _later(own: Lines, other: Lines) -> set[str]:
    known = {_field(line) for lines in other.values() for line in lines}
    alike = set.intersection(*(set(lines) for lines in own.values()))
    return {line for line in alike if _field(line) not in known}


def _field(line: str) -> str:
    found = _FIELD.fullmatch(line)
    return found[1] if found else ""
