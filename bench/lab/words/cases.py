"""Cases: the settings in which an experiment is measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from keras_ab.bench.lab.words.errors import DeclarationError

Value = int | float | str | bool
Params = Mapping[str, Value]
"""A case's parameters by name, as an arm's `build` is given them."""


class _Setting(dict[str, Value]):
    """A case's parameters; asked for one that it lacks, it says what to do."""

    def __missing__(self, name: str) -> Value:
        raise DeclarationError(
            f"a case sets {name!r}, which its arms read",
            ", ".join(self) or "a case without parameters",
            f"add it to each of the experiment's cases: grid({name}=(…,))",
        )


@dataclass(frozen=True)
class Case:
    """One setting of the workload's parameters.

    Args:
        params: the setting.
        quick: whether it runs on two cores in seconds.
        swept: whether it is there to show how an experiment grows with a parameter.
    """

    params: Params
    quick: bool = True
    swept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", _Setting(self.params))

    @property
    def id(self) -> str:
        """The case in node ids and records, ``batch:256-classes:1000``; pytest's -k takes it."""
        return "-".join(f"{key}:{value}" for key, value in self.params.items()) or "only"

    @property
    def says(self) -> str:
        """The case as people read it, ``batch 256, classes 1000``; empty without parameters."""
        return ", ".join(f"{key} {value}" for key, value in self.params.items())


SELECTIONS: dict[str, Callable[[Case], bool]] = {
    "quick": lambda case: case.quick,
    "full": lambda case: not case.swept,
    "sweep": lambda case: case.swept,
}
"""What `--ab-cases` can ask for."""


def grid(*, quick: bool = True, **params: tuple[Value, ...]) -> tuple[Case, ...]:
    """Return one case for every combination of the given parameter values.

    ``grid(batch=(64, 256), classes=(10,))`` is two cases.
    """
    for name, values in params.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise DeclarationError(
                "each parameter of a grid has a tuple of values",
                f"{name}={values!r}",
                f"write {name}=({values!r},)",
            )
    return tuple(
        Case(dict(zip(params, values, strict=True)), quick)
        for values in itertools.product(*params.values())
    )


def sweep(parameter: str, values: tuple[float, ...], **fixed: Value) -> tuple[Case, ...]:
    """Return cases that differ in one number, for `--ab-cases sweep`.

    From four values on, the report fits an exponent to them; where a case of the grid differs in
    the same number alone and was measured in the same run, it joins in.
    """
    if len(set(values)) < 4 or not all(value > 0 for value in values):
        raise DeclarationError(
            "a sweep has at least four positive values",
            f"{parameter}: {values!r}",
            "add values; double or quadruple from one to the next",
        )
    return tuple(Case({parameter: value, **fixed}, quick=False, swept=True) for value in values)
