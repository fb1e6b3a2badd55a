"""What a function says, as text that is the same in every process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any


def written(build: Callable[..., Any]) -> str:
    """Return a function's source, or a partial call with the source of the functions it is given.

    No address of this process is in it, so that a trial can be continued and compared.
    """
    if not isinstance(build, partial):
        return _source(build)
    given = [_source(function) for function in _given(build)] or [_source(build.func)]
    return "\n\n".join([*given, _call(build)])


def _source(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(inspect.unwrap(function)).rstrip()
    except (OSError, TypeError):
        return _call(function)


def _given(build: partial[Any]) -> Iterator[Callable[..., Any]]:
    for value in (*build.args, *build.keywords.values()):
        if isinstance(value, partial):
            yield value.func
            yield from _given(value)
        elif inspect.isfunction(value):
            yield value


def _call(value: Any) -> str:
    if isinstance(value, partial):
        arguments = [_call(a) for a in value.args]
        arguments += [f"{name}={_call(a)}" for name, a in value.keywords.items()]
        return f"{_call(value.func)}({', '.join(arguments)})"
    return str(getattr(value, "__qualname__", None) or repr(value))
