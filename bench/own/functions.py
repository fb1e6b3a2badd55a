"""Two functions, without a model: the smallest experiment of all."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from keras_ab.bench.lab.words.arms import Arm, Prepared
from keras_ab.bench.lab.words.backend_names import NAMES
from keras_ab.bench.lab.words.cases import Case, Params
from keras_ab.bench.lab.words.declare import Experiment, Guard, Source
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own.subject import Subject

KALIBERA = Source(
    author="T. Kalibera, R. Jones",
    title="Rigorous Benchmarking in Reasonable Time",
    year=2013,
    url="https://doi.org/10.1145/2464157.2464160",
)

Function = Callable[..., Any] | Subject
"""A function, or the name of one in a file."""


def compare(
    *,
    setup: Function | None = None,
    name: str = "functions",
    same: float | None = None,
    **functions: Function,
) -> Experiment:
    """Return the experiment that holds functions against the first of them.

    ``EXPERIMENT = compare(old=f, new=g, setup=make_inputs)`` in a bench file. Results that are on
    their way on a device are waited for, whatever the framework; plain Python needs none.

    Args:
        setup: makes the arguments of every function, once in each process; None for none.
        name: of the experiment.
        same: largest ``max|result - first's| / max|first's|``; None where results may differ.
        functions: two or more, by the names of their arms.
    """
    return experiment(functions, setup, name, same)


def experiment(
    functions: Mapping[str, Function],
    setup: Function | None = None,
    name: str = "functions",
    same: float | None = None,
) -> Experiment:
    """Return what `compare` does, of functions or of names of some."""
    if len(functions) < 2:
        raise DeclarationError(
            "a comparison is of two functions or more",
            ", ".join(functions) or "none",
            "write compare(old=f, new=g)",
        )
    guards = (Guard("result", same, "the same result"),) if same is not None else ()
    return Experiment(
        name=name,
        question=f"Is {' or '.join(list(functions)[1:])} faster than {next(iter(functions))}?",
        method="Each function is called again and again with the same arguments; its result is "
        "waited for.",
        sources=(KALIBERA,),
        arms=tuple(_arm(arm, function, setup) for arm, function in functions.items()),
        cases=(Case({}),),
        guards=guards,
        backends=NAMES,
    )


def _arm(name: str, function: Function, setup: Function | None) -> Arm:
    build = partial(called, function, setup)
    if isinstance(function, Subject):
        return Arm(name, build, function.title, recipe=function.title)
    return Arm(name, build, function.__qualname__, recipe=function)


def called(function: Function, setup: Function | None, _case: Params) -> Prepared:
    """Make a call of a function ready to be timed."""
    call = _imported(function)
    arguments = _imported(setup)() if setup else ()
    given = arguments if isinstance(arguments, tuple) else (arguments,)
    check_taken(call, given)
    return Prepared(
        step=lambda: wait_for(call(*given)), observe=lambda: {"result": array(call(*given))}
    )


def check_taken(call: Callable[..., Any], given: tuple[Any, ...]) -> None:
    """Refuse a function that does not take the arguments that it is to be called with."""
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # not every callable says what it takes
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise DeclarationError(
            "a function takes what `setup` makes: nothing without one, or a tuple's parts",
            f"{getattr(call, '__name__', call)}: {error}",
            "give setup=make_inputs, or --setup FILE.py:FUNCTION",
        ) from error


def _imported(function: Function) -> Callable[..., Any]:
    return function.imported() if isinstance(function, Subject) else function


def array(result: Any) -> Any:
    """Return a result as guards compare it: on the host."""
    return result.detach().cpu().numpy() if hasattr(result, "detach") else result


def wait_for(result: Any) -> None:
    """Wait until a result is there, on whatever device it is made."""
    for part in _parts(result):
        if hasattr(part, "block_until_ready"):
            part.block_until_ready()
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.synchronize()
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.test.experimental.sync_devices()


def _parts(result: Any) -> Iterable[Any]:
    if isinstance(result, Mapping):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        return (leaf for part in result for leaf in _parts(part))
    return (result,)
