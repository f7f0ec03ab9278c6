"""CIFAR-10, from small batches in its own layout. Its pickles are opened only if their MD5 is right."""

import pickle

import pytest
import torch
from torchvision.datasets import CIFAR10

from tests.worker.datasets.layouts import CIFAR10_FOLDER, md5_of, write_cifar10
from worker.datasets import DatasetUnavailable
from worker.datasets.cifar10 import load as load_cifar10
from worker.datasets.splits import Request

BATCHES = {f"data_batch_{number}": [number, number + 4] for number in range(1, 6)} | {"test_batch": [0, 9, 4]}


class TestLoad:
    def test_returns_all_batches_upright_and_in_colour(self, tmp_path, nowhere):
        """Images of all batches come in order, not flipped, turned or with swapped channels."""
        written = write_cifar10(tmp_path, BATCHES)
        data = load_cifar10(Request(tmp_path, 32), small_cifar10(tmp_path, nowhere))
        train = [torch.from_numpy(written[f"data_batch_{number}"]) for number in range(1, 6)]
        assert torch.equal(data.train.images, torch.cat(train))
        assert torch.equal(data.test.images, torch.from_numpy(written["test_batch"]))
        assert data.train.labels.tolist() == [1, 5, 2, 6, 3, 7, 4, 8, 5, 9]
        assert data.test.labels.tolist() == [0, 9, 4]
        assert data.classes == 10

    def test_never_opens_another_pickle(self, tmp_path, nowhere):
        """A file whose MD5 is not CIFAR-10's is not unpickled, because a pickle can run any program."""
        write_cifar10(tmp_path, BATCHES)
        known = small_cifar10(tmp_path, nowhere)
        created = tmp_path / "created"
        (tmp_path / CIFAR10_FOLDER / "data_batch_1").write_bytes(pickle.dumps(Trap(created)))
        with pytest.raises(DatasetUnavailable, match="data_batch_1 has the wrong checksum: its MD5 is"):
            load_cifar10(Request(tmp_path, 32), known)
        assert not created.exists()

    def test_without_files_and_network_says_what_to_do(self, tmp_path, nowhere):
        """If the download fails, the message names the files, their MD5s and the folder."""

        class Elsewhere(CIFAR10):
            url = f"{nowhere}cifar-10-python.tar.gz"

        with pytest.raises(DatasetUnavailable) as raised:
            load_cifar10(Request(tmp_path, 32), Elsewhere)
        message = str(raised.value)
        assert f"cifar-10-python.tar.gz (MD5 c58f30108f718f92721af3b95e74349a) into {tmp_path}" in message
        assert "data_batch_5 (MD5 482c414d41f54cd18b22e5b47cb7c3cb), test_batch (MD5" in message
        assert "batches.meta (MD5 5ff9c542aee3614f3951f8cda6e48888)" in message
        assert str(tmp_path / "cifar-10-batches-py") in message


class Trap:
    """An object whose pickle runs a program when it is opened."""

    def __init__(self, created):
        self.created = created

    def __reduce__(self):
        return type(self.created).touch, (self.created,)


def small_cifar10(data_dir, address):
    """Return CIFAR-10 with the MD5s of the files written here."""
    folder = data_dir / CIFAR10_FOLDER

    class SmallCIFAR10(CIFAR10):
        url = f"{address}cifar-10-python.tar.gz"
        train_list = tuple((f"data_batch_{number}", md5_of(folder / f"data_batch_{number}")) for number in range(1, 6))
        test_list = (("test_batch", md5_of(folder / "test_batch")),)
        meta = CIFAR10.meta | {"md5": md5_of(folder / "batches.meta")}

    return SmallCIFAR10
