"""What a reader's file may do that cannot be put on trial, and what it is told then."""

import pytest

from keras_ab.bench.lab.words.errors import LabError
from keras_ab.bench.own import look
from keras_ab.bench.own.subject import Subject
from tests.bench.test_own import MODEL

BAD = {
    "no such function": ("", "a function in the file"),
    "wants arguments": ("def make(width):\n    return model(), (x, y)", "without arguments"),
    "returns the model alone": ("def make():\n    return model()", "returns a model and its data"),
    "returns other names": ("def make():\n    return {'net': 1}", "returns a model and its data"),
    "the wrong way round": ("def make():\n    return (x, y), model()", "is a Keras model"),
    "never compiled": (
        "def make():\n    return keras.Sequential([keras.layers.Dense(3)]), (x, y)",
        "is compiled",
    ),
    "rows that differ": ("def make():\n    return model(), (x[1:], y)", "a row for each example"),
    "one batch only": ("def make():\n    return model(), (x[:32], y[:32])", "two batches or more"),
    "does not fit": ("def make():\n    return model(), (x[:, :5], y)", "fits the model"),
    "NaN from the start": ("def make():\n    return model(), (x * np.nan, y)", "are finite"),
    "weights that are NaN where the loss is not": (
        "def make():\n    made = keras.Sequential([keras.Input((12,)), keras.layers.Dense(8), "
        "keras.layers.Lambda(lambda t: keras.ops.where(t > 0, t, 0)), keras.layers.Dense(3)])\n"
        "    made.compile('sgd', 'mse')\n"
        "    made.layers[0].kernel.assign(np.full((12, 8), np.nan))\n"
        "    return made, (x, y)",
        "are finite",
    ),
    "NaN after a few": (
        "def make():\n    return model(optimizer=keras.optimizers.SGD(1e30)), (x * 1e20, y)",
        "finite",
    ),
    "ends": (
        "def make():\n    return model(), ((x[:32], y[:32]) for _ in range(2))",
        "goes on for as long",
    ),
    "no data at all": ("def make():\n    return model(), 5", "yields batches"),
    "an empty list": ("def make():\n    return model(), []", "goes on for as long"),
    "runs eagerly": (
        "import tensorflow as tf\ntf.config.run_functions_eagerly(True)\n"
        "def make():\n    return model(), (x, y)",
        "sets nothing for the whole process",
    ),
}


@pytest.fixture
def functions_compiled():
    """Take back what a file under test sets for the whole process."""
    import tensorflow as tf

    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize(("source", "must"), BAD.values(), ids=BAD)
@pytest.mark.usefixtures("functions_compiled")
def test_what_cannot_be_put_on_trial_is_refused(tmp_path, source, must):
    file = tmp_path / "train.py"
    file.write_text(f"{MODEL}\n{source}\n")
    with pytest.raises(LabError, match=must) as refused:
        look.look(Subject(str(file), "make"))
    assert refused.value.do
