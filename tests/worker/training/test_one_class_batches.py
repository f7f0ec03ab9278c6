"""The number of batches of one class, by the order of the first epoch."""

import pytest
import torch

from worker.training.one_class_batches import count_one_class_batches


def batches(count, size, order=None):
    return list(torch.split(torch.arange(count) if order is None else order, size))


class TestCount:
    @pytest.mark.parametrize(("size", "expected"), [(1, 0), (2, 6), (4, 2), (5, 2), (12, 0)])
    def test_of_images_sorted_by_class(self, size, expected):
        """Batches of at least two images of one class are counted; a batch of one image has no choice."""
        labels = torch.tensor([0] * 6 + [1] * 6)
        assert count_one_class_batches(labels, batches(12, size)) == expected

    def test_of_images_in_turn_is_zero(self):
        """Images whose classes alternate make no batch of one class."""
        assert count_one_class_batches(torch.arange(12) % 2, batches(12, 4)) == 0

    def test_follows_the_order(self):
        """The order of the batches decides, not that of the labels."""
        labels = torch.tensor([0] * 6 + [1] * 6)
        interleaved = torch.arange(12).view(2, 6).T.flatten()
        assert count_one_class_batches(labels, batches(12, 4, interleaved)) == 0
