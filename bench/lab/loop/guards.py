"""Do the arms do the same work? Before any timing, what they show is held against the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_ab.bench.lab.record.records import GuardCheck
from keras_ab.bench.lab.words.declare import Guard
from keras_ab.bench.lab.words.errors import DeclarationError

Arrays = Mapping[str, np.ndarray]


def checks(
    guards: Sequence[Guard], trial: str, observed: Mapping[str, Arrays], reference: Arrays
) -> Iterator[GuardCheck]:
    """Yield how far each arm lies from the reference, guard by guard.

    Args:
        guards: what must agree, each for all arms or for those that it names.
        trial: the id of the trial.
        observed: arrays by name, by arm.
        reference: the baseline's.

    Raises:
        DeclarationError: a guard names what none of its arms observes.
    """
    bound = [(guard, _bound(guard, observed)) for guard in guards]
    for guard, arms in bound:
        _check_name(guard, arms)
    for guard, arms in bound:
        for arm, arrays in arms.items():
            yield _check(guard, trial, arm, arrays, reference)


def _bound(guard: Guard, observed: Mapping[str, Arrays]) -> dict[str, Arrays]:
    """Return what those arms show that a guard is for."""
    return {arm: found for arm, found in observed.items() if not guard.arms or arm in guard.arms}


def _check_name(guard: Guard, arms: Mapping[str, Arrays]) -> None:
    names = list(dict.fromkeys(name for arrays in arms.values() for name in arrays))
    known = {*names, *(name.partition("/")[0] for name in names)}
    if arms and guard.observed not in known:
        raise DeclarationError(
            "a guard names an array that its arms observe",
            repr(guard.observed),
            f"use one of {', '.join(names) or '(none: return arrays from Prepared.observe)'}",
        )


def _check(guard: Guard, trial: str, arm: str, arrays: Arrays, reference: Arrays) -> GuardCheck:
    found, wanted = parts(arrays, guard.observed), parts(reference, guard.observed)
    finite = bool(found) and all(bool(np.isfinite(part).all()) for part in found.values())
    error = None
    if guard.tolerance is not None and finite and wanted:
        error = largest_error(found, wanted)
    return GuardCheck(
        trial=trial, arm=arm, observed=guard.observed, finite=finite, relative_error=error
    )


def parts(arrays: Arrays, observed: str) -> dict[str, np.ndarray]:
    """Return the arrays that a guard is about: the one of its name, or all of ``name/part``."""
    return {name: array for name, array in arrays.items() if name.split("/")[0] == observed}


def largest_error(found: Arrays, wanted: Arrays) -> float | None:
    """Return the largest of the parts' relative errors; None where parts or shapes differ."""
    if found.keys() != wanted.keys():
        return None
    errors = [relative_error(found[name], wanted[name]) for name in wanted]
    return None if None in errors else max(error for error in errors if error is not None)


def relative_error(found: Any, wanted: Any) -> float | None:
    """Return ``max|found - wanted| / max|wanted|``; None where the shapes differ."""
    a, b = np.asarray(found, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if a.shape != b.shape or a.size == 0:
        return None
    scale = float(np.abs(b).max())
    return float(np.abs(a - b).max() / (scale or 1.0))
