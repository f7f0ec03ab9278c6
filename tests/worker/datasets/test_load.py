"""What every data set has in common: names, sizes, subsets, and the shape of what comes back."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from worker.datasets import NAMES, load
from worker.datasets.splits import choose, make_split


def load_digits(tmp_path, **options):
    return load("digits", data_dir=tmp_path, **{"image_size": 8, "train_size": None, "test_size": None} | options)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'mnist'.*cifar10, digits, fashion_mnist, folder, stl10, synthetic"):
        load("mnist", data_dir=None, image_size=8, train_size=None, test_size=None)


def test_a_worker_starts_without_torchvision_which_takes_as_long_to_import_as_all_the_rest():
    code = (
        "import sys; from pathlib import Path; import worker.run.experiment; from worker.datasets import load;"
        "load('digits', data_dir=Path(), image_size=16, train_size=20, test_size=20);"
        "sys.exit('torchvision' in sys.modules or 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["digits", "synthetic"])
def test_images_are_uint8_in_three_channels_at_the_size_asked_and_labels_int64(name, tmp_path):
    assert name in NAMES
    data = load(name, data_dir=tmp_path, image_size=20, train_size=30, test_size=25)
    for split, size in ((data.train, 30), (data.test, 25)):
        assert (split.images.shape, split.images.dtype) == ((size, 3, 20, 20), torch.uint8)
        assert (split.labels.shape, split.labels.dtype) == ((size,), torch.int64)
    assert data.classes == 10


def test_a_subset_is_in_file_order_and_holds_images_with_their_own_labels(tmp_path):
    whole, subset = load_digits(tmp_path), load_digits(tmp_path, train_size=200, test_size=50)
    for all_of, some_of in ((whole.train, subset.train), (whole.test, subset.test)):
        places = places_of(some_of.images, all_of.images)
        assert places == sorted(set(places))
        assert torch.equal(some_of.labels, all_of.labels[places])


def test_the_same_subset_is_taken_every_time(tmp_path):
    first, second = load_digits(tmp_path, train_size=100), load_digits(tmp_path, train_size=100)
    assert torch.equal(first.train.images, second.train.images)


def test_a_subset_comes_from_the_whole_length_of_the_file_and_of_each_class():
    sorted_by_class = np.repeat(np.arange(10), 100)
    chosen = choose(sorted_by_class, 200).view(10, 20) % 100  # places within the class
    assert (chosen.min(1).values < 30).all()
    assert (chosen.max(1).values > 70).all()


def test_a_larger_subset_contains_a_smaller_one():
    labels = np.random.default_rng(1).integers(0, 10, 1000)
    assert set(choose(labels, 80).tolist()) < set(choose(labels, 300).tolist())


def test_every_class_is_present_as_soon_as_the_size_allows_even_a_rare_one():
    labels = np.array([0] * 500 + [1] * 495 + [2] * 5)
    assert set(labels[choose(labels, 3)]) == {0, 1, 2}


def test_classes_keep_their_shares_in_a_subset():
    labels = np.array([0] * 900 + [1] * 300)
    assert np.bincount(labels[choose(labels, 400)]).tolist() == [300, 100]


@pytest.mark.parametrize("size", [1439, 0, -1])
def test_a_size_that_the_split_does_not_have_is_refused_with_the_size_there_is(size, tmp_path):
    with pytest.raises(ValueError, match="1,438"):
        load_digits(tmp_path, train_size=size)


def test_the_whole_split_may_be_asked_for_by_its_number(tmp_path):
    assert len(load_digits(tmp_path, train_size=1438, test_size=359).train.labels) == 1438


def test_images_of_the_size_asked_are_passed_on_untouched():
    images = torch.randint(0, 256, (7, 3, 12, 12), dtype=torch.uint8)
    assert torch.equal(make_split(images, torch.zeros(7, dtype=torch.uint8), None, 12).images, images)


def test_shrinking_averages_what_is_dropped():
    """Every fourth column is bright. Shrunk to a quarter all turn evenly a quarter as bright, or else all black."""
    columns = (torch.arange(32) % 4 == 0).to(torch.uint8) * 200
    split = make_split(columns.expand(1, 1, 32, 32), torch.zeros(1, dtype=torch.uint8), None, 8)
    assert (split.images[..., 1:-1].int() - 50).abs().max() <= 2


def test_a_split_larger_than_one_chunk_is_resized_image_by_image_alike():
    images = torch.randint(0, 256, (1203, 1, 6, 6), dtype=torch.uint8)
    labels = torch.zeros(1203, dtype=torch.uint8)
    resized = make_split(images, labels, None, 9).images
    for index in (0, 499, 500, 999, 1000, 1202):
        alone = make_split(images[index : index + 1], labels[:1], None, 9).images
        assert torch.equal(resized[index : index + 1], alone)


def places_of(some, among):
    """Where each image lies in a set without duplicates."""
    known = {image.numpy().tobytes(): place for place, image in enumerate(among)}
    assert len(known) == len(among)
    return [known[image.numpy().tobytes()] for image in some]
