"""Workloads: what they are made of, and what they say when their images are not here."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from keras_ab.bench.lab.words.errors import DeclarationError, NotMeasuredHere
from keras_ab.bench.workloads import by_name, fused_kernels, image_sets
from keras_ab.bench.workloads.recipe import Recipe

SMALL = {
    "resnet": {"model": "resnet", "blocks": 2, "channels": 4, "batch": 2},
    "vit": {"model": "vit", "depth": 2, "width": 8, "heads": 2, "patch": 7, "batch": 2},
    "mlp": {"model": "mlp", "depth": 2, "width": 8, "batch": 2},
    "chain": {"model": "chain", "depth": 2, "channels": 2, "batch": 2},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_model_gives_float32_logits_of_real_digits(name):
    images, labels = by_name.data(SMALL[name])
    model = by_name.model(SMALL[name], Recipe())
    logits = model(images[:2])
    assert logits.shape == (2, by_name.classes(SMALL[name]))
    assert logits.dtype == "float32"
    assert set(labels) == set(range(10))


def test_the_residual_network_has_6n_plus_2_weighted_layers_on_its_longest_path():
    model = by_name.model(SMALL["resnet"], Recipe())
    shortcuts = [w for w in model.weights if w.shape[:2] == (1, 1)]
    weighted = [w for w in model.weights if w.path.endswith("kernel")]
    assert len(weighted) - len(shortcuts) == 6 * 2 + 2


@pytest.mark.parametrize("name", by_name.MODELS)
def test_test_digits_are_not_among_those_to_learn_from(name):
    train, _ = by_name.data(SMALL[name])
    test, labels = by_name.test_data(SMALL[name])
    assert test.shape[1:] == train.shape[1:]
    assert len(test) == len(labels) > 1000
    rows = {row.tobytes() for row in train}
    assert np.mean([row.tobytes() in rows for row in test]) < 0.01


@pytest.mark.parametrize("name", image_sets.DOWNLOADED)
def test_images_that_would_have_to_be_downloaded_are_not_measured_here(name, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(NotMeasuredHere, match=rf"(?s){name}.*load_data.*data=digits"):
        image_sets.train_data({"data": name})


def test_images_of_an_unknown_name_are_refused():
    with pytest.raises(DeclarationError, match="cifar10"):
        image_sets.train_data({"data": "cifar"})


def test_a_case_names_its_model():
    with pytest.raises(DeclarationError, match="mlp, resnet, vit"):
        by_name.data({"batch": 2})


@pytest.mark.parametrize("gpus", [[], ["a GPU"]])
def test_what_is_copied_lies_where_the_kernels_work(monkeypatch, gpus):
    """In memory that another arm cannot be held against, a share of its bandwidth says nothing."""
    found = {"": [], "GPU": gpus}
    monkeypatch.setattr(tf.config, "list_logical_devices", found.__getitem__)
    monkeypatch.setattr(fused_kernels, "copy_on_device", lambda size: ("device", size))
    monkeypatch.setattr(fused_kernels, "copy_on_host", lambda size: ("host", size))
    work = SimpleNamespace(bytes_moved=lambda case: 6.0 * case["rows"])
    copied = fused_kernels.prepare_copy(work, {"rows": 7})
    assert copied == ("device" if gpus else "host", 21)


@pytest.mark.parametrize("copying", [fused_kernels.copy_on_device, fused_kernels.copy_on_host])
def test_a_copy_moves_what_it_says_and_is_no_other_name_of_its_source(copying):
    prepared = copying(4 * 10**6)
    assert prepared.sizes == {"bytes_moved": 8e6}
    assert prepared.observe() == {"bytes_moved": [8 * 10**6]}
    if copying is fused_kernels.copy_on_device:
        first, second = prepared.step(), prepared.step()
        assert first.shape == (10**6,)
        np.testing.assert_array_equal(first, second)
        places = {np.asarray(copy).__array_interface__["data"][0] for copy in (first, second)}
        assert len(places) == 2
