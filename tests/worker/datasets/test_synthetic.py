"""The generated images: always the same, balanced, and learnable by their shapes but not by their colours."""

import pytest
import torch
from torch import nn

from worker.datasets import load


def load_synthetic(tmp_path, image_size=16, train_size=None, test_size=None):
    return load("synthetic", data_dir=tmp_path, image_size=image_size, train_size=train_size, test_size=test_size)


class TestImages:
    def test_are_as_many_as_in_stl10_and_balanced(self, tmp_path):
        """The splits are as large as STL-10's, and all classes have the same size."""
        data = load_synthetic(tmp_path, image_size=8)
        assert torch.bincount(data.train.labels).tolist() == [500] * 10
        assert torch.bincount(data.test.labels).tolist() == [800] * 10
        assert data.classes == 10

    def test_do_not_depend_on_the_global_generator(self, tmp_path):
        """The same images are generated whatever was generated before."""
        first = load_synthetic(tmp_path, train_size=150, test_size=150)
        torch.manual_seed(5)
        torch.rand(7)
        second = load_synthetic(tmp_path, train_size=150, test_size=150)
        assert torch.equal(first.train.images, second.train.images)
        assert torch.equal(first.test.labels, second.test.labels)

    def test_leave_the_global_generator_alone(self, tmp_path):
        """Generating images does not change the random numbers of an experiment."""
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        load_synthetic(tmp_path, train_size=10, test_size=10)
        assert torch.equal(torch.rand(3), expected)

    @pytest.mark.parametrize("size", [1, 40, 100, 130])
    def test_start_with_the_same_ones_at_every_size(self, size, tmp_path):
        """The first images are the same for every size of the split."""
        few, many = (
            load_synthetic(tmp_path, train_size=size, test_size=size),
            load_synthetic(tmp_path, train_size=250, test_size=250),
        )
        assert torch.equal(few.train.images, many.train.images[:size])
        assert torch.equal(few.test.labels, many.test.labels[:size])

    def test_have_all_classes_in_the_first_forty(self, tmp_path):
        """A split of 40 images has all classes."""
        data = load_synthetic(tmp_path, train_size=40, test_size=40)
        assert len(data.train.labels.unique()) == len(data.test.labels.unique()) == 10

    def test_are_all_different(self, tmp_path):
        """No image occurs twice, neither in a split nor in both."""
        data = load_synthetic(tmp_path, train_size=500, test_size=500)
        images = {image.numpy().tobytes() for image in torch.cat([data.train.images, data.test.images])}
        assert len(images) == 1000

    def test_show_the_same_scenes_at_every_image_size(self, tmp_path):
        """At another image size the same scenes are generated."""
        large, small = load_synthetic(tmp_path, 96, 50, 10).train, load_synthetic(tmp_path, 48, 50, 10).train
        assert torch.equal(large.labels, small.labels)
        shrunk = nn.functional.avg_pool2d(large.images.float(), 2)
        assert (shrunk - small.images.float()).abs().mean() < 20  # because of the noise; another scene differs by 60

    def test_more_than_available_are_refused(self, tmp_path):
        """A size beyond the split's is refused with the available size."""
        with pytest.raises(ValueError, match="5,000"):
            load_synthetic(tmp_path, train_size=5001)


class TestClasses:
    def test_cannot_be_told_by_the_mean_colour(self, tmp_path):
        """A linear classifier of mean colours is hardly better than chance."""
        data = load_synthetic(tmp_path, 32, 3000, 1000)
        train, test = (with_one(split.images.float().mean((2, 3)) / 255) for split in (data.train, data.test))
        weights = torch.linalg.lstsq(train, nn.functional.one_hot(data.train.labels, 10).float()).solution
        assert accuracy(test @ weights, data.test.labels) < 0.16

    @pytest.mark.slow
    def test_can_be_learnt_by_a_small_network(self, tmp_path):
        """A small network learns the classes within five epochs."""
        data = load_synthetic(tmp_path, 32, 3000, 1000)
        torch.manual_seed(0)
        network = small_network()
        adam = torch.optim.Adam(network.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(adam, max_lr=0.02, epochs=5, steps_per_epoch=120)
        for _ in range(5):
            for batch in torch.randperm(3000).split(25):
                loss = nn.functional.cross_entropy(network(data.train.images[batch] / 255), data.train.labels[batch])
                adam.zero_grad()
                loss.backward()
                adam.step()
                schedule.step()
        with torch.no_grad():
            assert (
                accuracy(network.eval()(data.test.images / 255), data.test.labels) > 0.4
            )  # it is 0.54 to 0.58, depending on the seed


def small_network():
    layers = []
    for channels, stride in ((3, 2), (24, 1), (24, 2), (24, 1)):
        layers += [nn.Conv2d(channels, 24, 3, stride, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))


def with_one(features):
    return torch.cat([features, features**2, torch.ones(len(features), 1)], 1)


def accuracy(logits, labels):
    return (logits.argmax(1) == labels).float().mean().item()
