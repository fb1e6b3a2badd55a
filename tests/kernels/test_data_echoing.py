"""Data echoing: which stage runs how often, and in which order elements come."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_ab.kernels.data_echoing import PLACES, echo, echoed_batches, reference_echo
from tests.examples import examples

tf = pytest.importorskip("tensorflow")


@settings(max_examples=examples(10), deadline=None)
@given(elements=st.lists(st.integers(0, 9), min_size=1, max_size=5), factor=st.integers(1, 4))
def test_repeats_each_element_in_a_row(elements, factor):
    result = echo(tf.data.Dataset.from_tensor_slices(elements), factor)
    assert list(result.as_numpy_iterator()) == list(reference_echo(elements, factor))
    assert len(result) == factor * len(elements)


@pytest.mark.parametrize(
    "structure", [[1, 2], ([1, 2], [3, 4]), {"x": [1, 2]}, ({"x": [1, 2]}, [3, 4])], ids=str
)
def test_any_structure_is_kept(structure):
    plain = tf.data.Dataset.from_tensor_slices(structure)
    echoed = echo(plain, 2)
    assert echoed.element_spec == plain.element_spec
    assert list(echoed.as_numpy_iterator()) == list(reference_echo(plain.as_numpy_iterator(), 2))


def test_an_unknown_length_stays_unknown():
    unknown = tf.data.Dataset.range(4).filter(lambda x: x > 1)
    assert list(echo(unknown, 2).as_numpy_iterator()) == [2, 2, 3, 3]
    assert echo(tf.data.Dataset.range(2).repeat(), 2).cardinality() < 0


class Counted:
    """Counts its calls, and returns another value on each."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        def count(value):
            self.calls += 1
            return value * 100 + self.calls

        return tf.numpy_function(count, [x], tf.int64, stateful=True)


@pytest.mark.parametrize(
    ("place", "reads", "augmentations"), [(PLACES[0], 4, 8), (PLACES[1], 4, 4), (PLACES[2], 4, 4)]
)
def test_only_what_comes_after_the_echo_runs_again(place, reads, augmentations):
    read, augment = Counted(), Counted()
    source = tf.data.Dataset.range(4).map(read)
    batches = list(echoed_batches(source, 2, 2, augment, place).as_numpy_iterator())
    assert (read.calls, augment.calls) == (reads, augmentations)
    assert [len(b) for b in batches] == [2, 2, 2, 2]


def test_batches_repeat_whole_after_batching_and_element_by_element_before():
    source = tf.data.Dataset.range(4)
    before = echoed_batches(source, 2, 2).as_numpy_iterator()
    after = echoed_batches(source, 2, 2, place="after_batching").as_numpy_iterator()
    assert [b.tolist() for b in before] == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert [b.tolist() for b in after] == [[0, 1], [0, 1], [2, 3], [2, 3]]


def test_a_shuffle_mixes_repeats_and_keeps_their_number():
    options = {"shuffle_buffer": 8, "seed": 1, "drop_remainder": True}
    batches = echoed_batches(tf.data.Dataset.range(4), 2, 4, **options).as_numpy_iterator()
    elements = [x for batch in batches for x in batch.tolist()]
    assert sorted(elements) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert elements != sorted(elements)


@pytest.mark.parametrize("factor", [0, -1, 1.5])
def test_a_bad_factor_is_refused(factor):
    with pytest.raises(ValueError, match=r"factor must be .* Received: .* Pass "):
        echo(tf.data.Dataset.range(2), factor)


def test_a_bad_place_is_refused():
    with pytest.raises(ValueError, match=r"place must be one of .* Received: 'first'\. Pass "):
        echoed_batches(tf.data.Dataset.range(2), 2, 2, place="first")


def test_importing_it_imports_no_framework():
    code = "import sys, kernels.data_echoing; print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
