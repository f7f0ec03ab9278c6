"""The digits in the package equal those in scikit-learn."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from worker.datasets import load


def test_every_fifth_image_of_uci_is_a_test_image(tmp_path):
    """The images and labels equal those of scikit-learn, split as described."""
    expected = load_digits()
    images = torch.from_numpy(np.rint(expected.images * 255 / 16)).to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    labels = torch.from_numpy(expected.target)
    test = torch.arange(1797) % 5 == 4

    data = load("digits", data_dir=tmp_path, image_size=8, train_size=None, test_size=None)

    assert torch.equal(data.train.images, images[~test])
    assert torch.equal(data.train.labels, labels[~test])
    assert torch.equal(data.test.images, images[test])
    assert torch.equal(data.test.labels, labels[test])
    assert (len(data.train.labels), len(data.test.labels), data.classes) == (1438, 359, 10)


def test_values_use_the_whole_range_of_a_byte(tmp_path):
    """UCI's values 0 … 16 become 0 … 255."""
    images = load("digits", data_dir=tmp_path, image_size=8, train_size=None, test_size=None).train.images
    assert (images.min(), images.max()) == (0, 255)


def test_nothing_is_downloaded_or_written(tmp_path):
    """The digits need no data directory."""
    load("digits", data_dir=tmp_path, image_size=8, train_size=10, test_size=10)
    assert list(tmp_path.iterdir()) == []
