"""Arms that share what they do and differ in one thing, given as data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from keras_ab.bench.lab.words.declare import Arm, Params, Prepared

R = TypeVar("R")


def arm(name: str, work: Callable[[R, Params], Prepared], recipe: R, says: str, **more: Any) -> Arm:
    """Return the arm that does `work` as `recipe` says.

    The arms of an experiment share `work` and differ in `recipe`, which the report shows and
    `Quality` is trained by. One form for all of them:

    - how a model is trained: a `Workload`, and a `Recipe` with one field replaced;
    - how a model is built: `built`, and the function that builds the model;
    - anything else: a function of yours, and whatever frozen data tells its arms apart.

    Args:
        name: as in node ids and reports.
        work: called in a worker as ``work(recipe, case)``.
        recipe: what distinguishes the arm.
        says: the arm in one line, for people.
        more: further fields of `Arm`: environment, backend, time_limit_s.
    """
    return Arm(name, partial(work, recipe), says, recipe=recipe, **more)
