"""Requests and answers as JSON, validated on arrival: what an arm sends is not to be trusted."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from keras_ab.bench.lab.words.errors import DeclarationError, Refusal
from keras_ab.bench.lab.worker.protocol import MOST_CHARACTERS, REQUESTS, Answer, Request, Trouble

_REQUESTS = {kind.__name__: TypeAdapter(kind) for kind in REQUESTS}
_ANSWERS = {
    kind.__name__: TypeAdapter(*get_args(kind.__orig_bases__[0]))  # type: ignore[attr-defined]
    for kind in REQUESTS
}
_TROUBLE = TypeAdapter(Trouble)


def clipped(text: str) -> str:
    """Return the beginning and the end of a text that is too long, and what can be written of it.

    Lone surrogates, as file names that are no UTF-8 leave them, are shown by their numbers.
    """
    if len(text) > MOST_CHARACTERS:
        half, left_out = MOST_CHARACTERS // 2, len(text) - MOST_CHARACTERS
        text = f"{text[:half]}\n… {left_out} characters left out …\n{text[-half:]}"
    return text.encode(errors="backslashreplace").decode()


def encode(request: Request[Any]) -> bytes:
    """Return a request as it goes over the wire."""
    return _json({"ask": type(request).__name__, "with": vars(request)})


def decode(data: bytes) -> Request[Any]:
    """Return a request that came over the wire."""
    asked = json.loads(data)
    return _REQUESTS[asked["ask"]].validate_python(asked["with"])


def encode_answer(answer: Any) -> bytes:
    """Return an answer as it goes over the wire."""
    return b"A" + _json(answer)


def encode_trouble(trouble: Trouble) -> bytes:
    """Return why there is no answer as it goes over the wire."""
    return b"T" + _json(trouble)


def decode_answer(request: Request[Answer], data: bytes) -> Answer | Trouble:
    """Return the answer to a request, or why there is none, whatever came over the wire."""
    asked = type(request).__name__
    expected = _TROUBLE if data[:1] == b"T" else _ANSWERS[asked]
    try:
        return expected.validate_json(data[1:], strict=True)
    except ValidationError as error:
        return misfit(asked, error)


def misfit(asked: str, error: ValidationError) -> Trouble:
    """Return the trouble with an answer that does not fit what was asked."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    refusal = Refusal(
        f"a worker's answer to {asked} is of the declared type",
        clipped(f"{where}: {first['msg']}" if where else first["msg"]),
        "look at what the arm returns, and at file descriptors that it closes or writes to",
    )
    return Trouble("raised", str(refusal), refusal=refusal)


def _json(value: Any) -> bytes:
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    raise DeclarationError(
        "what an arm tells is made of strings and Python's own numbers",
        f"{type(value).__name__} {value!r}",
        "convert it with str, int or float",
    )
