"""Fuzz by coverage: ``python -m tests.studies.fuzz TARGET CORPUS -max_total_time=1800``.

Needs atheris. TARGET is one of

- reader: whatever the bytes of a run, reading and judging them gives a run or a RecordError;
- page: and what can be read can be shown, with nothing in it unescaped;
- verify: whatever a document or page says, each of its parts holds or does not;
- answers: whatever a worker answers is an answer of the declared type, or why there is none.

Anything else stops the fuzzer, which keeps the bytes in a file. CORPUS is a folder; it begins with
simulated runs and what is made of them, and keeps what reaches new code.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["keras_ab.bench.lab", "keras_ab.reports"]):
    from keras_ab.bench.lab.loop.asking import NoAnswer, ask
    from keras_ab.bench.lab.words.errors import RecordError
    from keras_ab.reports.citing import quotables
    from keras_ab.reports.loading import Runs, read_and_judge
    from keras_ab.reports.page import page
    from keras_ab.reports.verify import check_document, check_page

from tests.bench.test_wire_fuzz import REQUESTS, Answering
from tests.reports import scenes, simulated
from tests.reports.test_page import Elements

SCRATCH = Path(tempfile.gettempdir()) / f"keras-ab-fuzz-{os.getpid()}.jsonl"


def _read(data: bytes) -> Runs | None:
    SCRATCH.write_bytes(data)
    try:
        return Runs([read_and_judge(SCRATCH)])
    except RecordError:
        return None


def reader(data: bytes) -> None:
    """Read and judge one run."""
    _read(data)


def shown(data: bytes) -> None:
    """Show one run."""
    if runs := _read(data):
        found = Elements(page(runs)).found
        assert [tag for tag, _ in found].count("script") == 1
        assert not [key for _, attributes in found for key in attributes if key.startswith("on")]
        assert not {tag for tag, _ in found} & {"img", "iframe", "object", "embed"}


@cache
def _true() -> Runs:
    """Return the run that documents are held against."""
    scene = scenes.scenes()[1]
    scene.blocks, scene.rounds = 5, 3
    path = SCRATCH.with_suffix(".true.jsonl")
    path.unlink(missing_ok=True)
    return Runs([read_and_judge(simulated.write(path, simulated.header("true"), [scene]))])


def verified(data: bytes) -> None:
    """Hold a document, and a page, against a run."""
    written = data.decode(errors="replace")
    list(check_document(written, _true()))
    if re.search('<meta name="generator" content="[^"]*">', written):  # as `verify` tells a page
        list(check_page(written, _true()))


def answers(data: bytes) -> None:
    """Take the answer to one request."""
    if not data:
        return
    request = REQUESTS[data[0] % len(REQUESTS)]
    try:
        ask(Answering(data[1:]), request, 1.0)
    except NoAnswer as why:
        json.dumps([why.what, why.message, why.traceback]).encode()


def _runs() -> Iterator[bytes]:
    """Yield one small unsealed run for each scene."""
    for number, scene in enumerate(scenes.scenes()):
        scene.blocks, scene.rounds = min(scene.blocks, 2), 2
        path = SCRATCH.with_suffix(f".{number}.jsonl")
        path.unlink(missing_ok=True)
        yield simulated.write(path, simulated.header("fuzz"), [scene], seal=False).read_bytes()
        path.unlink()


def _documents() -> Iterator[bytes]:
    yield page(_true()).encode()
    for quotable in list(quotables(_true().runs))[:20]:
        yield quotable.sentence("markdown").encode()


def _answers() -> Iterator[bytes]:
    for number in range(len(REQUESTS)):
        for answer in (b'A{"duration_s": 1.0, "cpu_s": 0.5}', b"A[1, 2]", b"Anull", b'A{"a": 1}'):
            yield bytes([number]) + answer
        yield bytes([number]) + b'T{"what": "raised", "message": "no", "traceback": ""}'


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and what it begins with."""

    one: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


TARGETS = {
    "reader": Target(reader, _runs),
    "page": Target(shown, _runs),
    "verify": Target(verified, _documents),
    "answers": Target(answers, _answers),
}


def main() -> None:
    """Hand over to atheris; its options are libFuzzer's."""
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    target, corpus = TARGETS[sys.argv[1]], Path(sys.argv[2])
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:], "-max_len=400000"], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
