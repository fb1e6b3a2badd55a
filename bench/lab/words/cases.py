"""Cases: the settings in which an experiment is measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
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
        gpu: whether it is chosen for a GPU: it keeps one busy, and no other case says the same.
        gpu_bytes: of a GPU's memory that each of its processes takes; where set, no CPU gets it.
    """

    params: Params
    quick: bool = True
    swept: bool = False
    gpu: bool = True
    gpu_bytes: int = 0

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


def _for_a_gpu(cases: Sequence[Case]) -> list[Case]:
    """Return what is too large for two cores; where all is quick, that."""
    fit = [case for case in cases if case.gpu and not case.swept]
    return [case for case in fit if not case.quick] or fit


SELECTIONS: dict[str, Callable[[Sequence[Case]], list[Case]]] = {
    "quick": lambda cases: [case for case in cases if case.quick],
    "gpu": _for_a_gpu,
    "full": lambda cases: [case for case in cases if not case.swept],
    "sweep": lambda cases: [case for case in cases if case.swept],
}
"""What `--ab-cases` can ask for, of the cases of one experiment."""


def grid(
    *, quick: bool = True, gpu: bool = True, gpu_bytes: int = 0, **params: tuple[Value, ...]
) -> tuple[Case, ...]:
    """Return one case for every combination of the given parameter values.

    ``grid(batch=(64, 256), classes=(10,))`` is two cases.

    Args:
        quick: see `Case`.
        gpu: likewise.
        gpu_bytes: likewise.
        params: their values, each in a tuple.
    """
    for name, values in params.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise DeclarationError(
                "each parameter of a grid has a tuple of values",
                f"{name}={values!r}",
                f"write {name}=({values!r},)",
            )
    return tuple(
        Case(dict(zip(params, values, strict=True)), quick, gpu=gpu, gpu_bytes=gpu_bytes)
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
