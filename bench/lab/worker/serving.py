"""The inside of a worker process: it answers requests, and ends without unwinding."""

from __future__ import annotations

import os
import traceback
from dataclasses import astuple
from multiprocessing.connection import Connection

from keras_ab.bench.lab.words.errors import LabError, NotMeasuredHere, Refusal
from keras_ab.bench.lab.worker.handler import Handler
from keras_ab.bench.lab.worker.protocol import Trouble
from keras_ab.bench.lab.worker.wire import clipped, decode, encode_answer, encode_trouble


def serve(connection: Connection) -> None:
    """Answer requests until the other side hangs up."""
    handler, process = Handler(), os.getpid()
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            return
        answer = answered(handler, request)
        if os.getpid() != process:
            return  # a fork that the arm did not end: the answer is for its parent to give
        connection.send_bytes(answer)


def answered(handler: Handler, request: bytes) -> bytes:
    """Return the answer to a request; whatever goes wrong is told in its place."""
    try:
        return encode_answer(handler.answer(decode(request)))
    except BaseException as error:  # noqa: BLE001 - an arm may raise anything; it is recorded
        return encode_trouble(trouble(error))


def trouble(error: BaseException) -> Trouble:
    """Return what is told of an error, however it is made."""
    absent = isinstance(error, NotMeasuredHere)
    try:
        message, refusal = str(error), error.refusal if isinstance(error, LabError) else None
    except BaseException as second:  # noqa: BLE001 - its message is the arm's code as well
        message, refusal = f"its message cannot be shown: {type(second).__name__}", None
    return Trouble(
        what="not measured here" if absent else "raised",
        message=clipped(message if absent else f"{type(error).__name__}: {message}"),
        traceback="" if absent else clipped("".join(traceback.format_exception(error))),
        refusal=refusal and Refusal(*map(clipped, astuple(refusal))),
    )
