"""Real images for small trainings."""

import pytest

from worker import datasets


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """UCI's digits of 16×16: 90 to train on and 40 to test."""
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=20, train_size=90, test_size=40)


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """UCI's digits of 32×32: 100 to train on and 40 to test."""
    return datasets.load("digits", data_dir=tmp_path_factory.mktemp("x"), image_size=32, train_size=100, test_size=40)
