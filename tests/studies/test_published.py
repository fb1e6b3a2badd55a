"""An example runs up to its `fit`, whatever comes after; what does not work has its word."""

import re

from tests.studies.published import PAGE, Outcome, in_own_process, page
from tests.studies.tables import README

EXAMPLE = """
import keras_core as keras
from keras_core import layers

(x_train, y_train), _ = keras.datasets.mnist.load_data()
model = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(10)])
print("this is said to nobody")
model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x_train.astype("float32"), y_train, batch_size=64)
raise AssertionError("an example is not carried on")
"""


def outcome(source, checkout, **limit):
    (checkout / "examples" / "keras_io").mkdir(parents=True)
    (checkout / "examples" / "keras_io" / "one.py").write_text(source)
    return in_own_process("one", checkout, **limit)


def test_an_example_is_caught_at_its_fit(tmp_path):
    found = outcome(EXAMPLE, tmp_path)
    assert "7,850 parameters, RMSprop" in found.found
    assert "batches of 64" in found.found
    assert len(found.worked) >= 5
    assert not found.troubles
    assert not found.left


def test_an_example_that_cannot_be_made_says_why(tmp_path):
    found = outcome("raise ValueError('no such data')", tmp_path)
    assert found.found == ""
    assert "no such data" in found.troubles["make"]


def test_an_example_that_ends_its_process_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")  # which TensorFlow would speak of
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    found = outcome("import os; os._exit(3)", tmp_path)
    assert found.troubles == {"make": "exit 3: no word"}


def test_an_example_without_an_end_is_stopped(tmp_path):
    found = outcome("while True: pass", tmp_path, limit_s=1)
    assert found.troubles == {"make": "not made within 1 s"}


def test_the_page_has_every_trouble_in_a_line():
    outcomes = {
        "well": Outcome("8 parameters, Adam, mse, batches of 2", ("xla", "cache", "clipping")),
        "ill": Outcome(
            "8 parameters, SGD, mse, batches of 2",
            ("cache",),
            troubles={"xla": "Error: a\n<b> | `c"},
        ),
        "slow": Outcome("8 parameters, SGD, mse, batches of 2", ("clipping",), ("xla", "cache")),
        "not": Outcome("", troubles={"make": "ValueError: x"}),
    }
    made = page(outcomes, "abc", "Here.")
    assert "3 of 4 went through" in made
    assert "| well | 8 parameters, Adam, mse, batches of 2 | 3 | none |" in made
    assert "- slow: `xla`, `cache` not tried within 15 minutes" in made
    assert "- ill, `xla`: Error: a &lt;b> \\| 'c" in made
    assert "| not | could not be made | 0 | `make` |" in made


def test_the_readme_counts_as_the_page_does():
    (said,) = re.findall(r"\*\*(\d+) of (\d+) went through", PAGE.read_text(encoding="utf-8"))
    readme = " ".join(README.read_text(encoding="utf-8").split())
    assert f"Of {said[1]} of Keras' own examples" in readme
    assert f"{said[0]} went through to their advice" in readme
