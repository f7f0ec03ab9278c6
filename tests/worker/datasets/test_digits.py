"""The embedded digits are UCI's, as scikit-learn carries them."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from worker.datasets import load


def test_every_fifth_image_of_uci_is_a_test_image_and_the_rest_are_trained_on(tmp_path):
    theirs = load_digits()
    images = torch.from_numpy(np.rint(theirs.images * 255 / 16)).to(torch.uint8)[:, None].expand(-1, 3, -1, -1)
    labels = torch.from_numpy(theirs.target)
    test = torch.arange(1797) % 5 == 4

    ours = load("digits", data_dir=tmp_path, image_size=8, train_size=None, test_size=None)

    assert torch.equal(ours.train.images, images[~test])
    assert torch.equal(ours.train.labels, labels[~test])
    assert torch.equal(ours.test.images, images[test])
    assert torch.equal(ours.test.labels, labels[test])
    assert (len(ours.train.labels), len(ours.test.labels), ours.classes) == (1438, 359, 10)


def test_they_use_the_whole_range_of_a_byte(tmp_path):
    images = load("digits", data_dir=tmp_path, image_size=8, train_size=None, test_size=None).train.images
    assert (images.min(), images.max()) == (0, 255)


def test_nothing_is_written_or_fetched(tmp_path):
    load("digits", data_dir=tmp_path, image_size=8, train_size=10, test_size=10)
    assert list(tmp_path.iterdir()) == []
