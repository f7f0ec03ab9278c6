"""The drawn images: always the same, balanced, and learnable by their shapes but not by their colours."""

import pytest
import torch
from torch import nn

from worker.datasets import load


def draw(tmp_path, image_size=16, train_size=None, test_size=None):
    return load("synthetic", data_dir=tmp_path, image_size=image_size, train_size=train_size, test_size=test_size)


def test_its_sizes_are_stl10s_and_every_class_is_as_frequent(tmp_path):
    data = draw(tmp_path, image_size=8)
    assert torch.bincount(data.train.labels).tolist() == [500] * 10
    assert torch.bincount(data.test.labels).tolist() == [800] * 10
    assert data.classes == 10


def test_the_same_images_are_drawn_whatever_else_was_drawn_before(tmp_path):
    first = draw(tmp_path, train_size=150, test_size=150)
    torch.manual_seed(5)
    torch.rand(7)
    second = draw(tmp_path, train_size=150, test_size=150)
    assert torch.equal(first.train.images, second.train.images)
    assert torch.equal(first.test.labels, second.test.labels)


def test_drawing_leaves_the_random_numbers_of_an_experiment_alone(tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    draw(tmp_path, train_size=10, test_size=10)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("size", [1, 40, 100, 130])
def test_the_first_images_are_the_same_however_many_are_drawn(size, tmp_path):
    few, many = draw(tmp_path, train_size=size, test_size=size), draw(tmp_path, train_size=250, test_size=250)
    assert torch.equal(few.train.images, many.train.images[:size])
    assert torch.equal(few.test.labels, many.test.labels[:size])


def test_the_first_forty_hold_every_class(tmp_path):
    data = draw(tmp_path, train_size=40, test_size=40)
    assert len(data.train.labels.unique()) == len(data.test.labels.unique()) == 10


def test_no_image_comes_twice_and_none_to_train_on_is_a_test_image(tmp_path):
    data = draw(tmp_path, train_size=500, test_size=500)
    images = {image.numpy().tobytes() for image in torch.cat([data.train.images, data.test.images])}
    assert len(images) == 1000


def test_another_size_draws_the_same_scenes(tmp_path):
    large, small = draw(tmp_path, 96, 50, 10).train, draw(tmp_path, 48, 50, 10).train
    assert torch.equal(large.labels, small.labels)
    shrunk = nn.functional.avg_pool2d(large.images.float(), 2)
    assert (shrunk - small.images.float()).abs().mean() < 20  # the noise: another scene is off by 60


def test_more_images_than_there_are_are_refused(tmp_path):
    with pytest.raises(ValueError, match="5,000"):
        draw(tmp_path, train_size=5001)


def test_the_mean_colour_tells_next_to_nothing_of_the_class(tmp_path):
    data = draw(tmp_path, 32, 3000, 1000)
    train, test = (with_one(split.images.float().mean((2, 3)) / 255) for split in (data.train, data.test))
    weights = torch.linalg.lstsq(train, nn.functional.one_hot(data.train.labels, 10).float()).solution
    assert accuracy(test @ weights, data.test.labels) < 0.16


def test_a_small_network_learns_the_classes(tmp_path):
    data = draw(tmp_path, 32, 3000, 1000)
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
        assert accuracy(network.eval()(data.test.images / 255), data.test.labels) > 0.4  # 0.54 to 0.58, by the seed


def small_network():
    layers = []
    for channels, stride in ((3, 2), (24, 1), (24, 2), (24, 1)):
        layers += [nn.Conv2d(channels, 24, 3, stride, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10))


def with_one(features):
    return torch.cat([features, features**2, torch.ones(len(features), 1)], 1)


def accuracy(scores, labels):
    return (scores.argmax(1) == labels).float().mean().item()
