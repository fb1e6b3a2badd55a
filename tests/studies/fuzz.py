"""Fuzz the run reader by coverage: ``python -m tests.studies.fuzz CORPUS -max_total_time=600``.

Needs atheris. Whatever the bytes, reading and judging them gives a run or a RecordError; anything
else stops the fuzzer, which keeps the bytes in a file. CORPUS is a folder; it begins with the
simulated scenes and keeps what reaches new code.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["keras_ab.bench.lab", "keras_ab.reports"]):
    from keras_ab.bench.lab.words.errors import RecordError
    from keras_ab.reports.loading import read_and_judge

from tests.reports import scenes, simulated

SCRATCH = Path(tempfile.gettempdir()) / f"keras-ab-fuzz-{os.getpid()}.jsonl"


def one(data: bytes) -> None:
    """Read and judge one input."""
    SCRATCH.write_bytes(data)
    try:
        read_and_judge(SCRATCH)
    except RecordError:
        return


def seed(corpus: Path) -> None:
    """Write one small unsealed run for each scene, to begin from."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes.scenes()):
        scene.blocks, scene.rounds = min(scene.blocks, 2), 2
        path = corpus / f"scene{number}.jsonl"
        path.unlink(missing_ok=True)
        simulated.write(path, simulated.header("fuzz"), [scene], seal=False)


def main() -> None:
    """Hand over to atheris; its options are libFuzzer's."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    seed(Path(sys.argv[1]))
    atheris.Setup([*sys.argv, "-max_len=200000"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
