"""What a function says, as text that is the same in every process."""

from __future__ import annotations

import ast
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
    function = inspect.unwrap(function)
    try:
        return _lambda(function) or inspect.getsource(function).rstrip()
    except (OSError, TypeError):
        return _call(function)


def _lambda(function: Callable[..., Any]) -> str | None:
    """Return a lambda from its first word to its last, whatever stands around it; None of others.

    `inspect.getsource` returns the lines around it, and ends where one of them could end.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return None
    source = "".join(inspect.findsource(function)[0])
    here = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Lambda) and node.lineno == code.co_firstlineno
    ]
    told = set(code.co_positions())
    found = next((node for node in here if _place(node.body) in told), None)
    return ast.get_source_segment(source, found) if found else None


def _place(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    """Return where an expression stands, as code objects tell it."""
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


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
