"""CIFAR-10, from small batches in its own layout; its pickles are opened only by their checksum."""

import pickle

import pytest
import torch
from torchvision.datasets import CIFAR10

from tests.worker.datasets.layouts import CIFAR10_FOLDER, md5_of, write_cifar10
from worker.datasets import DatasetUnavailable
from worker.datasets.cifar10 import load as load_cifar10
from worker.datasets.splits import Request

BATCHES = {f"data_batch_{number}": [number, number + 4] for number in range(1, 6)} | {"test_batch": [0, 9, 4]}


def test_images_of_all_batches_stand_upright_in_their_colours(tmp_path, nowhere):
    written = write_cifar10(tmp_path, BATCHES)
    data = load_cifar10(Request(tmp_path, 32), small_cifar10(tmp_path, nowhere))
    train = [torch.from_numpy(written[f"data_batch_{number}"]) for number in range(1, 6)]
    assert torch.equal(data.train.images, torch.cat(train))
    assert torch.equal(data.test.images, torch.from_numpy(written["test_batch"]))
    assert data.train.labels.tolist() == [1, 5, 2, 6, 3, 7, 4, 8, 5, 9]
    assert data.test.labels.tolist() == [0, 9, 4]
    assert data.classes == 10


class Trap:
    """What a pickle can do to whoever opens it."""

    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return type(self.sprung).touch, (self.sprung,)


def test_a_pickle_that_is_not_cifar10s_is_never_opened(tmp_path, nowhere):
    write_cifar10(tmp_path, BATCHES)
    known = small_cifar10(tmp_path, nowhere)
    sprung = tmp_path / "sprung"
    (tmp_path / CIFAR10_FOLDER / "data_batch_1").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(DatasetUnavailable):
        load_cifar10(Request(tmp_path, 32), known)
    assert not sprung.exists()


def test_without_files_and_network_the_message_says_which_files_to_put_where(tmp_path, nowhere):
    class Elsewhere(CIFAR10):
        url = f"{nowhere}cifar-10-python.tar.gz"

    with pytest.raises(DatasetUnavailable) as raised:
        load_cifar10(Request(tmp_path, 32), Elsewhere)
    message = str(raised.value)
    assert f"cifar-10-python.tar.gz (MD5 c58f30108f718f92721af3b95e74349a) into {tmp_path}" in message
    assert "data_batch_5 (MD5 482c414d41f54cd18b22e5b47cb7c3cb), test_batch (MD5" in message
    assert "batches.meta (MD5 5ff9c542aee3614f3951f8cda6e48888)" in message
    assert str(tmp_path / "cifar-10-batches-py") in message


def small_cifar10(data_dir, address):
    """CIFAR-10 as if the files written here were the published ones, the way torchvision defines CIFAR-100."""
    folder = data_dir / CIFAR10_FOLDER

    class SmallCIFAR10(CIFAR10):
        url = f"{address}cifar-10-python.tar.gz"
        train_list = tuple((f"data_batch_{number}", md5_of(folder / f"data_batch_{number}")) for number in range(1, 6))
        test_list = (("test_batch", md5_of(folder / "test_batch")),)
        meta = CIFAR10.meta | {"md5": md5_of(folder / "batches.meta")}

    return SmallCIFAR10
