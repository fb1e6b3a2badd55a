"""By which examples a learning rate is chosen: by none of those that judge it."""

import gc
import re

import numpy as np
import pytest

from keras_ab.bench import bench_acnet
from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.workloads import convolving, digits, image_sets
from keras_ab.bench.workloads.built import Built
from keras_ab.bench.workloads.classifier import DIGITS
from keras_ab.bench.workloads.long_tail import CHOOSING
from keras_ab.bench.workloads.training import accuracy
from tests.bench.declared import DECLARED

TUNED = [name for name, (_, e) in DECLARED.items() if e.quality and e.quality.tune]
SMALL = {"depth": 1, "channels": 2, "width": 4, "batch": 128, "imbalance": 10, "clip": 0.16}
MODELS = {"model": "mlp", "optimizer": "sgd", "blocks": 1, "edge": 28, "encoding": "png"}


class Untouched:
    """Stands for the images to test on: raises as soon as anybody looks at one."""

    def __getitem__(self, _):
        return self

    def reshape(self, *_):
        return self

    def __len__(self):
        return 1

    def __array__(self, *_args, **_options):
        raise AssertionError("a learning rate was chosen by what judges it")


@pytest.fixture
def untouched(monkeypatch):
    whole = digits.split(*digits.mnist())
    monkeypatch.setattr(digits, "split", lambda *_: whole._replace(test_images=Untouched()))
    image_sets._named.cache_clear()
    yield
    image_sets._named.cache_clear()


def test_all_that_choose_are_here():
    assert {"acnet", "data_echoing", "gradient_clipping", "long_tail", "optimizers"} < set(TUNED)


@pytest.mark.parametrize("name", TUNED)
def test_a_rate_is_chosen_without_what_judges_it(untouched, name):
    experiment = DECLARED[name][1]
    recipe = experiment.arms[0].recipe
    rate = experiment.quality.learning_rates[0]
    try:
        found = experiment.quality.tune(recipe, SMALL | MODELS, 1, rate)
    except NotMeasuredHere as told:
        pytest.skip(str(told))
    assert 0 <= found <= 1


def test_what_judges_is_looked_at_where_it_is_to_judge(untouched):
    with pytest.raises(AssertionError, match="chosen by what judges it"):
        DIGITS.train_and_score(1, DECLARED["optimizers"][1].arms[0].recipe, SMALL, 1, 0.1)


@pytest.mark.parametrize("workload", [DIGITS.choosing(), CHOOSING], ids=["digits", "long tail"])
def test_no_example_is_in_two_parts(workload):
    own = [set(map(bytes, part(SMALL)[0])) for part in (workload.data, workload.test, DIGITS.test)]
    assert all(len(part) > 100 for part in own)
    assert not own[0] & own[1]
    assert not (own[0] | own[1]) & own[2]


@pytest.mark.parametrize("block", [convolving.normalised, convolving.asymmetric])
def test_moving_statistics_have_come_as_far_as_the_weights(block):
    case = {"depth": 2, "channels": 8, "batch": 64}
    workload = Built().workload(lambda case: convolving.network(case, block))
    model = workload.train(150, DECLARED["optimizers"][1].arms[0].recipe, case, 1, 3e-3)
    images, labels = workload.test(case)
    by_the_batch = np.argmax(model(images, training=True), axis=-1)
    assert accuracy(model, images, labels) > np.mean(by_the_batch == labels) - 0.05


def test_a_fused_network_is_all_that_its_process_holds():
    from keras_ab.kernels.asymmetric_convolution import AsymmetricConvolution2D

    def blocks():
        gc.collect()  # layers of other tests' models as well
        return sum(issubclass(type(one), AsymmetricConvolution2D) for one in gc.get_objects())

    case, before = {"depth": 2, "channels": 4, "batch": 8}, blocks()
    fused = bench_acnet.predicting(bench_acnet.trained, bench_acnet.fuse, case)
    assert blocks() == before
    assert fused.observe()["fusion_error"] < 1e-5


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


@pytest.mark.parametrize("name", DECLARED)
def test_as_many_rates_are_told_as_are_tried(name):
    experiment = DECLARED[name][1]
    counts = "|".join(NUMBERS)
    told = re.findall(rf"best of (?:the same )?({counts})\b", experiment.method)
    tried = experiment.quality.learning_rates if experiment.quality else ()
    assert told == [NUMBERS[len(tried)]] * len(told)
    seeds = re.findall(rf"by ({counts})\s+other seeds", experiment.method)
    chosen_by = experiment.quality.tuning_seeds if experiment.quality else ()
    assert seeds == [NUMBERS[len(chosen_by)]] * len(seeds)


def test_experiments_tell_of_the_rates():
    assert sum("best of" in experiment.method for _, experiment in DECLARED.values()) >= 6
