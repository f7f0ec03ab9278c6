"""What all data sets have in common: names, sizes, subsets and the shapes of the tensors."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from worker.datasets import NAMES, load
from worker.datasets.splits import choose, make_split


def load_digits(tmp_path, **options):
    return load("digits", data_dir=tmp_path, **{"image_size": 8, "train_size": None, "test_size": None} | options)


class TestLoad:
    def test_refuses_an_unknown_name(self):
        """The message for an unknown name lists the known ones."""
        with pytest.raises(ValueError, match=r"'mnist'.*cifar10, digits, fashion_mnist, folder, stl10, synthetic"):
            load("mnist", data_dir=None, image_size=8, train_size=None, test_size=None)

    @pytest.mark.slow
    def test_imports_torchvision_only_if_needed(self):
        """A worker starts without torchvision, whose import takes as long as all others together."""
        code = (
            "import sys; from pathlib import Path; import worker.run.experiment; from worker.datasets import load;"
            "load('digits', data_dir=Path(), image_size=16, train_size=20, test_size=20);"
            "sys.exit('torchvision' in sys.modules or 'torch._dynamo' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0

    @pytest.mark.parametrize("name", ["digits", "synthetic"])
    def test_returns_the_documented_shapes_and_types(self, name, tmp_path):
        """Images are N 3 H W uint8 at the requested size, and labels are N int64."""
        assert name in NAMES
        data = load(name, data_dir=tmp_path, image_size=20, train_size=30, test_size=25)
        for split, size in ((data.train, 30), (data.test, 25)):
            assert (split.images.shape, split.images.dtype) == ((size, 3, 20, 20), torch.uint8)
            assert (split.labels.shape, split.labels.dtype) == ((size,), torch.int64)
        assert data.classes == 10


class TestSubset:
    def test_is_in_file_order_with_matching_labels(self, tmp_path):
        """A subset holds images in the order of the file, each with its own label."""
        whole, subset = load_digits(tmp_path), load_digits(tmp_path, train_size=200, test_size=50)
        for all_of, some_of in ((whole.train, subset.train), (whole.test, subset.test)):
            indices = indices_of(some_of.images, all_of.images)
            assert indices == sorted(set(indices))
            assert torch.equal(some_of.labels, all_of.labels[indices])

    def test_is_the_same_every_time(self, tmp_path):
        """Two loads of the same size return the same images."""
        first, second = load_digits(tmp_path, train_size=100), load_digits(tmp_path, train_size=100)
        assert torch.equal(first.train.images, second.train.images)

    def test_comes_from_the_whole_length_of_the_file(self):
        """A subset holds images from the start and from the end of each class."""
        sorted_by_class = np.repeat(np.arange(10), 100)
        chosen = choose(sorted_by_class, 200).view(10, 20) % 100  # indices within the class
        assert (chosen.min(1).values < 30).all()
        assert (chosen.max(1).values > 70).all()

    def test_contains_each_smaller_one(self):
        """A larger subset contains a smaller one."""
        labels = np.random.default_rng(1).integers(0, 10, 1000)
        assert set(choose(labels, 80).tolist()) < set(choose(labels, 300).tolist())

    def test_contains_every_class_as_soon_as_possible(self):
        """A subset of three images has all three classes, even a rare one."""
        labels = np.array([0] * 500 + [1] * 495 + [2] * 5)
        assert set(labels[choose(labels, 3)]) == {0, 1, 2}

    def test_keeps_the_proportions_of_the_classes(self):
        """The classes have the same proportions in a subset as in the whole split."""
        labels = np.array([0] * 900 + [1] * 300)
        assert np.bincount(labels[choose(labels, 400)]).tolist() == [300, 100]


class TestSize:
    @pytest.mark.parametrize("size", [1439, 0, -1])
    def test_that_is_not_available_is_refused(self, size, tmp_path):
        """The message for a size that is too large, zero or negative names the available size."""
        with pytest.raises(ValueError, match="1,438"):
            load_digits(tmp_path, train_size=size)

    def test_may_be_that_of_the_whole_split(self, tmp_path):
        """The size of the whole split is accepted."""
        assert len(load_digits(tmp_path, train_size=1438, test_size=359).train.labels) == 1438


class TestMakeSplit:
    def test_keeps_images_of_the_right_size(self):
        """Images that have the requested size are unchanged."""
        images = torch.randint(0, 256, (7, 3, 12, 12), dtype=torch.uint8)
        assert torch.equal(make_split(images, torch.zeros(7, dtype=torch.uint8), None, 12).images, images)

    def test_averages_when_it_shrinks(self):
        """Every fourth column is bright. Shrunk to a quarter, all are a quarter as bright, and none is black."""
        columns = (torch.arange(32) % 4 == 0).to(torch.uint8) * 200
        split = make_split(columns.expand(1, 1, 32, 32), torch.zeros(1, dtype=torch.uint8), None, 8)
        assert (split.images[..., 1:-1].int() - 50).abs().max() <= 2

    def test_resizes_every_chunk_alike(self):
        """Images of all chunks are resized as each of them would be alone."""
        images = torch.randint(0, 256, (1203, 1, 6, 6), dtype=torch.uint8)
        labels = torch.zeros(1203, dtype=torch.uint8)
        resized = make_split(images, labels, None, 9).images
        for index in (0, 499, 500, 999, 1000, 1202):
            alone = make_split(images[index : index + 1], labels[:1], None, 9).images
            assert torch.equal(resized[index : index + 1], alone)


def indices_of(some, among):
    """Return the index of each image in a set without duplicates."""
    indices = {image.numpy().tobytes(): index for index, image in enumerate(among)}
    assert len(indices) == len(among)
    return [indices[image.numpy().tobytes()] for image in some]
