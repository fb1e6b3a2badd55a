"""The worked subjects are made, are the same when made again, and leave something to try."""

from pathlib import Path

import keras
import pytest

from keras_ab.bench.own import look, techniques
from keras_ab.bench.own.subject import Subject

OWN = Path(__file__).parents[2] / "examples" / "own"
FILES = sorted(OWN.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_worked_subject_can_be_tried(file: Path) -> None:
    subject = Subject(str(file), "make")
    keras.utils.set_random_seed(0)
    found = look.found(look.look(subject))
    keras.utils.set_random_seed(0)
    look.check_repeats(subject, found, float(look.loss_again(subject)))
    assert {"xla", "bfloat16"} <= {technique.name for technique in techniques.applicable(found)}
    assert found.batches >= 2
    assert "keras_ab" not in file.read_text(encoding="utf-8")
