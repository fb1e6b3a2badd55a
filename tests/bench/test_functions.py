"""Two functions held against each other, without a model."""

import numpy as np
import pytest

from keras_ab import compare
from keras_ab.bench.lab.words.errors import DeclarationError
from keras_ab.bench.own.functions import called, wait_for
from keras_ab.bench.own.subject import Subject


def double(x):
    return 2 * x


def add(x):
    return x + x


def make_inputs():
    return np.arange(4.0)


def test_functions_become_an_ordinary_experiment():
    declared = compare(old=double, new=add, setup=make_inputs, same=1e-6)
    assert [arm.name for arm in declared.arms] == ["old", "new"]
    assert "plain" in declared.backends
    prepared = declared.arms[1].build({})
    assert prepared.step() is None
    assert prepared.observe()["result"].tolist() == [0, 2, 4, 6]
    assert "return x + x" in declared.arms[1].code


def test_several_arguments_are_a_tuple():
    prepared = called(lambda a, b: a + b, lambda: (1, 2), {})
    assert prepared.observe()["result"] == 3


@pytest.mark.parametrize("setup", [None, lambda: (1, 2, 3)])
def test_arguments_that_a_function_does_not_take_are_refused(setup):
    with pytest.raises(DeclarationError, match="a function takes what `setup` makes"):
        called(lambda a, b: a + b, setup, {})


def test_a_callable_that_does_not_say_what_it_takes_is_called():
    assert called(max, lambda: (1, 2), {}).observe()["result"] == 2


def test_no_setup_is_no_arguments():
    assert called(lambda: 5, None, {}).observe()["result"] == 5


def test_one_function_is_no_comparison():
    with pytest.raises(DeclarationError, match="two functions or more"):
        compare(old=double)


class OnItsWay:
    """A result as JAX has them."""

    def __init__(self):
        self.waited = False

    def block_until_ready(self):
        self.waited = True


def test_results_are_waited_for_however_deep():
    parts = [OnItsWay() for _ in range(3)]
    wait_for({"a": parts[0], "b": (parts[1], [parts[2]])})
    assert all(part.waited for part in parts)


def test_a_function_in_a_file_is_found(tmp_path):
    (tmp_path / "sums.py").write_text("def f():\n    return 1\n")
    prepared = called(Subject(str(tmp_path / "sums.py"), "f"), None, {})
    assert prepared.observe()["result"] == 1
    with pytest.raises(DeclarationError, match="a function in the file"):
        called(Subject(str(tmp_path / "sums.py"), "g"), None, {})
