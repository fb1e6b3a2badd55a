"""Data echoing: the model that bounds it, its two parts, and what is learnt."""

import os

import numpy as np
import pytest
import tensorflow as tf

from keras_ab.bench import bench_data_echoing as bench
from keras_ab.bench.workloads import echoing, image_files
from keras_ab.bench.workloads.echoing import Echo, prepare, train

CASE = {"edge": 28, "encoding": "png", "files": 16, "batch": 4, "width": 4}


@pytest.mark.parametrize(
    ("ratio", "factor", "share"), [(4, 8, 0.3), (1, 8, 0.5625), (0, 8, 1.0), (4, 1, 1.0)]
)
def test_the_model_by_hand(ratio, factor, share):
    assert bench.modelled(ratio, factor) == pytest.approx(share)


def test_loading_that_takes_for_ever_is_saved_but_for_an_eth():
    assert bench.modelled(1e12, 8) == pytest.approx(1 / 8)


def test_the_two_parts_are_the_whole():
    """What comes before the echo decodes the files, what comes after trains on the decoded."""
    whole = prepare(Echo(), CASE).observe()
    before = prepare(Echo(part="upstream"), CASE)
    after = prepare(Echo(part="downstream"), CASE).observe()
    np.testing.assert_array_equal(before.observe()["decoded"], whole["decoded"])
    np.testing.assert_array_equal(after["decoded"], whole["decoded"])
    assert before.step().shape == (4, 28, 28, 1)


def test_a_pipeline_makes_nothing_that_nobody_has_asked_for():
    """By itself, tf.data makes the next elements of this one while nobody looks."""
    made = []

    def numbers():
        for number in range(1000):
            made.append(number)
            yield number

    dataset = tf.data.Dataset.from_generator(numbers, output_signature=tf.TensorSpec((), tf.int64))
    loaded = iter(dataset.map(lambda x: x + 1).batch(4).with_options(image_files.nothing_ahead()))
    for batch in range(1, 4):
        next(loaded)
        for _ in range(10_000):
            os.sched_yield()
        assert len(made) == 4 * batch


def test_what_comes_after_reads_no_file(monkeypatch):
    prepared = prepare(Echo(part="downstream"), CASE)
    prepared.step()
    monkeypatch.setattr(echoing.image_files, "elements", None)
    assert np.isfinite(float(prepared.step()))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_a_training_tells_accuracies_and_how_soon(monkeypatch, factor):
    monkeypatch.setattr(echoing, "BUDGET", 8)
    monkeypatch.setattr(echoing, "TARGET", 0.0)
    found = train(Echo(factor), CASE, seed=0, learning_rate=1e-3)
    assert found["steps_to_target"] == echoing.LOOK
    assert found["loaded_to_target"] == echoing.LOOK * CASE["batch"] / factor
    assert all(0 <= found[name] <= 1 for name in found if name.startswith("accuracy"))


@pytest.mark.parametrize("factor", [1, 4])
def test_a_target_that_is_not_reached_is_no_gain(monkeypatch, factor):
    """Twice the longest training, on fresh data, whatever the echo."""
    monkeypatch.setattr(echoing, "BUDGET", 8)
    monkeypatch.setattr(echoing, "TARGET", 2.0)
    found = train(Echo(factor), CASE, seed=0, learning_rate=1e-3)
    assert found["steps_to_target"] == 2 * 8 * echoing.LONGEST
    assert found["loaded_to_target"] == 2 * 8 * echoing.LONGEST * CASE["batch"]


def test_passes_go_over_the_same_images():
    every, first = (
        list(echoing.passes(CASE, 3, n).take(30).as_numpy_iterator()) for n in (None, 10)
    )
    pixels = [image.tobytes() for image, _ in first]
    assert {*pixels[:10]} == {*pixels[10:20]} == {*pixels[20:]}
    assert pixels[:10] == [image.tobytes() for image, _ in every[:10]]
    assert len({image.tobytes() for image, _ in every}) == 30
    needed = echoing.BUDGET * echoing.LONGEST * CASE["batch"] + echoing.SHUFFLED
    assert echoing.passes(CASE, 3, 10).cardinality() >= needed


def test_parts_of_the_work_are_not_trained():
    quality = bench.EXPERIMENT.quality
    assert not {"upstream", "downstream"} & set(quality.arms)
