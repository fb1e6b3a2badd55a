"""A reader's data is looked at whole, and its batches are those that `fit` makes of it."""

from dataclasses import replace

import numpy as np
import pytest

from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.own import batches, experiments, look, techniques
from keras_ab.bench.own.change import Change, Tried
from keras_ab.bench.own.subject import BATCH, Made, Subject, in_parts
from keras_ab.bench.own.training import Trained

HEAD = """
import keras
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)


def model(*shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    parts = [keras.layers.Flatten()(i) for i in inputs]
    together = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    made = keras.Model(inputs if len(inputs) > 1 else inputs[0], keras.layers.Dense(3)(together))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


x, y = rng.normal(size=(160, 4)).astype("float32"), rng.integers(0, 3, 160)


def make():
"""


@pytest.fixture
def written(tmp_path):
    """Return what writes a file whose function has a body, and is its subject."""

    def write(body, before=""):
        file = tmp_path / "train.py"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        file.write_text(HEAD.replace("\n\ndef make", f"\n\n{before}\n\ndef make") + lines)
        return Subject(str(file), "make")

    return write


def found_of(own):
    return look.found(look.look(own))


# -- arrays ---------------------------------------------------------------------------------------


def made_of(*data):
    return in_parts(Made(None, data))


def data_of(made):
    return look._of_data(made, next(batches.endless(made, Change())))


def test_inputs_are_whole_numbers_of_a_byte_where_all_rows_are(monkeypatch):
    monkeypatch.setattr(look, "PIECE", 64)
    ids, y = np.arange(1000).reshape(500, 2), np.zeros(500, "int32")
    assert data_of(made_of(ids % 256, y))["whole"]
    assert not data_of(made_of(ids, y))["whole"]
    for bad in (0.5, -1.0, 256.0, np.nan):
        late = (ids % 256).astype("float32")
        assert data_of(made_of(late, y))["whole"]
        late[-1, -1] = bad
        assert not data_of(made_of(late, y))["whole"]


def test_labels_are_one_hot_where_all_rows_are(monkeypatch):
    monkeypatch.setattr(look, "PIECE", 64)
    x, y = np.zeros((500, 2), "float32"), np.eye(5)[np.arange(500) % 5]
    assert data_of(made_of(x, y))["labels"] == "one-hot"
    y[-1] = 1
    assert data_of(made_of(x, y))["labels"] == "other"


def test_floats_are_cast_once_as_fit_does_and_stored_as_they_are(written):
    own = written("x = rng.normal(size=(160, 4))\nreturn model((4,)), (x, y, np.ones(160))")
    made = own.make(Change())
    x, y, weights = next(batches.endless(made, Change()))
    assert (x.dtype, y.dtype, weights.dtype) == ("float32", "int64", "float32")
    assert found_of(own).inputs == ("float64",)
    prepared = Trained(own)(Tried(), {"batches": 2})
    assert prepared.sizes["input_bytes"] == 160 * 4 * 8


@pytest.mark.parametrize("dtype", ["object", "U3", "int8", "bool"])
def test_what_is_no_float_is_not_cast(dtype):
    x = np.ones((64, 1)).astype(dtype)
    assert batches.arrays(made_of(x), Change())[0].dtype == x.dtype


def test_weights_without_labels_are_dropped_as_fit_drops_them():
    x = np.ones((64, 2), "float32")
    assert len(batches.arrays(made_of(x, None, x[:, 0]), Change())) == 1


def test_several_inputs_may_be_a_list(written):
    own = written("return model((4,), (4,)), ([x, x], y)")
    assert found_of(own).inputs == ("float32", "float32")


def test_data_may_be_of_pandas(written):
    own = written(
        "import pandas as pd\n"
        "frame = pd.DataFrame({'a': x[:, 0].astype('float64'), 'b': y, 'c': y > 1})\n"
        "return model((3,)), (frame, pd.Series(y)), (frame, pd.Series(y))"
    )
    made = own.make(Change())
    x, y = next(batches.endless(made, Change()))
    assert (x.shape, x.dtype, y.shape) == ((32, 3), "float32", (32, 1))
    found = found_of(own)
    assert (found.data, found.labels, found.batches) == ("arrays", "indices", 5)


def test_a_frame_alone_is_inputs():
    import pandas as pd

    (x,) = in_parts(Made(None, pd.DataFrame({"a": [1, 2]}))).data
    assert x.shape == (2, 1)


def test_a_batch_size_of_none_is_that_of_fit():
    assert in_parts(Made(None, (np.ones(3),), batch_size=None)).batch_size == BATCH


SPARSE = {
    "SciPy": "import scipy.sparse\nreturn model((4,)), (scipy.sparse.csr_matrix(x), y)",
    "SparseTensor": "return model((4,)), (tf.sparse.from_dense(x), y)",
    "RaggedTensor": "return model((4,)), (tf.RaggedTensor.from_tensor(x), y)",
    "in a dataset": "data = tf.data.Dataset.from_tensor_slices((tf.sparse.from_dense(x), y))\n"
    "return model((4,)), data.batch(32)",
    "ragged in a dataset": "x = tf.ragged.constant([[1.0], [1.0, 2.0]] * 80)\n"
    "return model((4,)), tf.data.Dataset.from_tensor_slices((x, y)).batch(32)",
}


@pytest.mark.parametrize("body", SPARSE.values(), ids=SPARSE)
def test_what_is_not_dense_is_refused_by_name(written, body):
    with pytest.raises(DeclarationError, match="arrays are dense") as refused:
        look.look(written(body))
    assert "to_tensor()" in refused.value.do


# -- a pipeline -----------------------------------------------------------------------------------


def test_a_cache_is_filled_before_anything_is_trained(written):
    own = written(
        "def counted(x, y):\n"
        "    READ.append(1)\n"
        "    return x, y\n"
        "def read(x, y):\n"
        "    return tf.numpy_function(counted, (x, y), (tf.float32, tf.int64))\n"
        "def shaped(x, y):\n"
        "    return tf.ensure_shape(x, (4,)), tf.ensure_shape(y, ())\n"
        "data = tf.data.Dataset.from_tensor_slices((x, y)).map(read).map(shaped).batch(32)\n"
        "made = model((4,))\n"
        "made.read = lambda: READ\n"
        "return made, data",
        before="READ = []\n",
    )
    prepared = Trained(own)(Tried(Change(pipeline="cache")), {"batches": 16})
    read = prepared.observe.args[0].read()
    assert len(read) == 160
    prepared.step()
    assert len(read) == 160


# -- what makes its batches itself ----------------------------------------------------------------

BATCHES = """
TOLD = []


class Batches(keras.utils.PyDataset):
    def __init__(self, count, **options):
        super().__init__(**options)
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        rows = slice(32 * (i % 5), 32 * (i % 5) + 32)
        return x[rows], y[rows]

    def on_epoch_begin(self):
        TOLD.append("begin")

    def on_epoch_end(self):
        TOLD.append("end")


def forever(count=None):
    while count is None or count:
        count = count and count - 1
        yield x[:32], y[:32]
"""

LOADERS = {
    "one worker": "Batches(3)",
    "two threads": "Batches(3, workers=2)",
    "without end": "Batches(None)",
    "without end, two threads": "Batches(None, workers=2)",
    "a generator": "forever()",
}


def told_of_turns(written, data):
    """Return a subject whose model tells when epochs of its data began and ended."""
    body = f"made = model((4,))\nmade.told = lambda: TOLD\nreturn made, {data}"
    return written(body, before=BATCHES)


@pytest.mark.parametrize("data", LOADERS.values(), ids=LOADERS)
def test_loaders_are_gone_through_as_fit_does(written, data):
    import tensorflow as tf

    own = told_of_turns(written, data)
    made = own.make(Change())
    stream = batches.endless(made, Change())
    assert isinstance(stream, tf.data.Iterator)
    got = [np.asarray(x) for x, _ in (next(stream) for _ in range(7))]
    source = own.imported().__globals__["x"]
    count = {"Batches(3": 3, "forever()": 1}.get(data[:9], 5)
    for i, x in enumerate(got):
        np.testing.assert_array_equal(x, source[32 * (i % count) : 32 * (i % count) + 32])
    turns = ["begin", *["end", "begin"] * (2 if count == 3 else 0)]
    assert made.model.told() == ([] if data == "forever()" else turns)


@pytest.mark.parametrize("data", ["Batches(3)", "Batches(3, workers=2)"])
def test_no_epoch_begins_before_all_of_the_last_is_taken(written, data):
    made = told_of_turns(written, data).make(Change())
    stream = batches.endless(made, Change())
    for taken in range(1, 121):
        next(stream)
        assert made.model.told().count("end") == (taken - 1) // 3


@pytest.mark.parametrize("data", ["Batches(3, workers=2)", "forever()"])
@pytest.mark.parametrize("change", [{}, {"pipeline": "one_batch"}, {"steps_per_execution": 8}])
def test_they_train_under_each_change(written, data, change):
    own = written(f"return model((4,)), {data}", before=BATCHES)
    seen = Trained(own)(Tried(Change(**change)), {"batches": 8}).observe()
    assert np.isfinite(seen["weights"]).all()
    found = found_of(own)
    assert found.as_fit
    assert "executions_8" not in techniques.left_out(replace(found, batch_s=0.001))


def test_a_loader_of_pytorchs_is_taken_as_fit_takes_it(written):
    data = pytest.importorskip("torch.utils.data")
    own = written(
        "import torch\n"
        "pairs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))\n"
        "return model((4,)), torch.utils.data.DataLoader(pairs, batch_size=32)"
    )
    assert isinstance(own.make(Change()).data, data.DataLoader)
    found = found_of(own)
    assert (found.data, found.as_fit, found.batches) == ("DataLoader", True, 5)


def test_a_list_is_handed_over_batch_by_batch(written):
    own = written("return model((4,)), [(x[:32], y[:32]), (x[32:64], y[32:64])]")
    found = found_of(own)
    assert not found.as_fit
    assert "one batch at a time" in techniques.left_out(found)["executions_8"]
    declared = experiments.singles(own, found, ("xla",), experiments.Terms())
    assert "one at a time" in declared.does_not_show


REFUSED = {
    "a generator that ends": ("forever(4)", "goes on for as long"),
    "a generator of nothing": ("forever(0)", "is what `fit` takes"),
    "one batch alone": ("Batches(1)", "two batches or more"),
}


@pytest.mark.parametrize(("data", "must"), REFUSED.values(), ids=REFUSED)
def test_a_loader_that_cannot_be_trained_on_is_refused(written, data, must):
    with pytest.raises(DeclarationError, match=must):
        look.look(written(f"return model((4,)), {data}", before=BATCHES))


def flow():
    """Return batches by their number, and one after the other, as `ImageDataGenerator` does."""
    import keras

    class Flow(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return np.full((4, 2), number, "float32"), np.zeros(4, "int32")

        def __iter__(self):
            return self

        def __next__(self):
            return self[0]

    return Flow()


def test_a_dataset_that_is_an_iterator_too_goes_on_after_an_epoch():
    stream = batches.endless(Made(None, flow()), Change())
    assert [float(np.asarray(next(stream)[0])[0, 0]) for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_cache_that_takes_too_much_memory_is_not_filled(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(batches, "CACHED_SHARE", 0.0)
    data = tf.data.Dataset.from_tensor_slices(np.zeros((8, 2), "float32")).batch(2)
    with pytest.raises(NotMeasuredHere, match="an epoch fits into a cache"):
        batches.endless(Made(None, data), Change(pipeline="cache"))


def test_a_seed_shuffles_the_batches_of_a_dataset_anew_in_each_epoch():
    def epochs(seed):
        stream = batches.endless(Made(None, flow()), Change(), seed)
        numbers = [float(np.asarray(next(stream)[0])[0, 0]) for _ in range(30)]
        return [tuple(numbers[start : start + 3]) for start in range(0, 30, 3)]

    seen = epochs(7)
    assert {tuple(sorted(epoch)) for epoch in seen} == {(0, 1, 2)}
    assert len(set(seen)) > 1
    assert epochs(7) == seen != epochs(8)


@pytest.mark.parametrize("data", ["Batches(None)", "forever()"])
def test_what_fit_cannot_shuffle_comes_as_it_does_whatever_the_seed(written, data):
    own = written(f"return model((4,)), {data}", before=BATCHES)
    streams = [batches.endless(own.make(Change()), Change(), seed) for seed in (None, 7)]
    for _ in range(4):
        (first, _), (second, _) = (next(stream) for stream in streams)
        np.testing.assert_array_equal(first, second)
