"""Encoded images on disk: written once, and read back as the digits that they are."""

from pathlib import Path

import numpy as np
import pytest

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.workloads import digits, image_files

CASE = {"files": 4, "edge": 28, "encoding": "png"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep images in a folder of the test's own; the digits themselves are read before."""
    digits.mnist()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("encoding", "edge", "error"), [("png", 28, 1e-6), ("png", 112, 0.05), ("jpeg", 112, 0.1)]
)
def test_what_is_read_is_the_digit_that_was_written(cache, encoding, edge, error):
    case = {**CASE, "encoding": encoding, "edge": edge}
    images, labels = zip(*image_files.elements(case).as_numpy_iterator(), strict=True)
    part = digits.split(*digits.mnist())
    assert np.abs(np.stack(images)[..., 0] - part.train_images[:4]).mean() < error
    assert list(labels) == list(part.train_labels[:4])


def test_files_are_written_once(cache):
    first = [Path(path) for path in image_files.written(CASE)]
    before = [path.stat().st_ino for path in first]
    more = image_files.written({**CASE, "files": 5})
    assert [path.stat().st_ino for path in first] == before
    assert sorted(str(path) for path in first[0].parent.iterdir()) == more


def test_something_else_may_go_with_the_images(cache):
    numbered = image_files.elements(CASE, payload=np.arange(10, 14)).as_numpy_iterator()
    assert [number for _, number in numbered] == [10, 11, 12, 13]


def test_augmentation_moves_a_digit_and_pads_with_black(cache):
    dark = np.full((28, 28, 1), -1.0, np.float32)
    augmented, label = image_files.augment(dark, 3)
    assert label == 3
    np.testing.assert_allclose(augmented, dark, atol=1e-6)
    one = dark.copy()
    one[14, 14] = 1.0
    moved = np.stack([image_files.augment(one, 0)[0] for _ in range(20)])
    rows, columns = np.unravel_index(moved.reshape(20, -1).argmax(axis=1), (28, 28))
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) > 1
    assert max(abs(rows - 14).max(), abs(columns - 14).max()) <= image_files.FARTHEST_SHIFT


def test_a_folder_that_cannot_be_written_is_not_measured_here(cache, monkeypatch):
    in_the_way = cache / "file"
    in_the_way.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    with pytest.raises(NotMeasuredHere, match="XDG_CACHE_HOME"):
        image_files.written(CASE)
