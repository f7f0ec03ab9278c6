"""Fashion-MNIST, from small IDX files in the folders of torchvision and Debian, and from a real web server."""

import gzip

import numpy as np
import pytest
import torch
from torchvision.datasets import FashionMNIST

from tests.worker.datasets.layouts import md5_of, write_fashion_mnist, write_idx
from worker.datasets import DatasetUnavailable, load
from worker.datasets.fashion_mnist import load as load_fashion_mnist
from worker.datasets.splits import Request

TRAIN_LABELS, TEST_LABELS = [*range(10), 9, 9], [3, 1, 4]
DEBIAN, TORCHVISION = "fashion-mnist", "FashionMNIST/raw"


def load_here(data_dir, image_size=28):
    return load("fashion_mnist", data_dir=data_dir, image_size=image_size, train_size=None, test_size=None)


class TestLoad:
    @pytest.mark.parametrize("folder", [DEBIAN, TORCHVISION])
    @pytest.mark.parametrize("suffix", [".gz", ""], ids=["gzipped", "unpacked"])
    def test_finds_files_in_either_folder_gzipped_or_not(self, folder, suffix, tmp_path):
        """The files are read from Debian's or torchvision's folder, gzipped or unpacked."""
        written = write_fashion_mnist(tmp_path / folder, TRAIN_LABELS, TEST_LABELS, suffix)
        data = load_here(tmp_path)
        assert torch.equal(data.train.images, torch.from_numpy(written["train"])[:, None].expand(-1, 3, -1, -1))
        assert torch.equal(data.test.images, torch.from_numpy(written["t10k"])[:, None].expand(-1, 3, -1, -1))
        assert data.train.labels.tolist() == TRAIN_LABELS
        assert data.test.labels.tolist() == TEST_LABELS
        assert data.classes == 10

    def test_follows_a_link_to_the_folder_of_debian(self, tmp_path):
        """A symbolic link to the folder of Debian's package is followed."""
        package = tmp_path / "usr/share/datasets/fashion-mnist"
        write_fashion_mnist(package, TRAIN_LABELS, TEST_LABELS)
        data_dir = tmp_path / "data"
        data_dir.mkdir()
        (data_dir / DEBIAN).symlink_to(package)
        assert load_here(data_dir).test.labels.tolist() == TEST_LABELS

    def test_equals_torchvision(self, tmp_path):
        """torchvision reads the same images and labels from the same files."""
        write_fashion_mnist(tmp_path / TORCHVISION, TRAIN_LABELS, TEST_LABELS, suffix="")
        expected = FashionMNIST(tmp_path, train=True)
        actual = load_here(tmp_path).train
        assert torch.equal(actual.images[:, 0], expected.data)
        assert torch.equal(actual.labels, expected.targets)

    def test_resizes_grey_images_to_three_equal_channels(self, tmp_path):
        """A grey image becomes three equal channels at the requested size."""
        write_fashion_mnist(tmp_path / DEBIAN, TRAIN_LABELS, TEST_LABELS)
        images = load_here(tmp_path, image_size=96).train.images
        assert images.shape == (12, 3, 96, 96)
        assert torch.equal(images[:, 0], images[:, 2])


class TestDownload:
    def test_happens_once(self, tmp_path, web, nowhere):
        """The first use downloads the files, and the second needs no network."""
        write_fashion_mnist(web.folder, TRAIN_LABELS, TEST_LABELS)
        first = load_fashion_mnist(Request(tmp_path, 28), served_at(web.url, web.folder))
        second = load_fashion_mnist(Request(tmp_path, 28), served_at(nowhere, web.folder))
        assert first.train.labels.tolist() == TRAIN_LABELS
        assert torch.equal(first.test.images, second.test.images)
        assert not list(tmp_path.rglob("*.partial"))

    def test_with_a_wrong_checksum_is_refused(self, tmp_path, web):
        """A file whose MD5 differs is not stored under the name of the expected file."""
        write_fashion_mnist(web.folder, TRAIN_LABELS, TEST_LABELS)
        published = served_at(web.url, web.folder)
        write_idx(web.folder / "t10k-labels-idx1-ubyte.gz", np.array([0, 0, 0]))
        with pytest.raises(DatasetUnavailable, match="corrupted"):
            load_fashion_mnist(Request(tmp_path, 28), published)
        assert not (tmp_path / TORCHVISION / "t10k-labels-idx1-ubyte.gz").exists()

    def test_with_another_archive_in_the_folder_says_so(self, tmp_path, nowhere):
        """A file in the data directory whose MD5 differs is called wrong, not missing."""
        write_idx(tmp_path / TORCHVISION / "t10k-labels-idx1-ubyte.gz", np.array([0]))

        class Elsewhere(FashionMNIST):
            mirrors = (nowhere,)

        with pytest.raises(DatasetUnavailable, match=r"t10k-labels-idx1-ubyte\.gz has the wrong checksum: its MD5 is"):
            load_fashion_mnist(Request(tmp_path, 28), Elsewhere)

    def test_that_fails_says_what_to_do(self, tmp_path, nowhere):
        """If the download fails, the message names the files, their MD5s and both folders."""

        class Elsewhere(FashionMNIST):
            mirrors = (nowhere,)

        with pytest.raises(DatasetUnavailable) as raised:
            load_fashion_mnist(Request(tmp_path, 28), Elsewhere)
        message = str(raised.value)
        assert "train-images-idx3-ubyte.gz (MD5 8d4fb7e6c68d591d4c3dfef9ec88bf0d), train-labels" in message
        assert f"into {tmp_path / DEBIAN} or {tmp_path / TORCHVISION}" in message
        assert f"ln -s /usr/share/datasets/fashion-mnist {tmp_path / DEBIAN}" in message


class TestBrokenFile:
    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            (gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes(12))[:-9], "not a complete gzip file"),
            (b"<html>", "not a complete gzip file"),
            (gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes(5)), "expected 12 values by its header, got 5"),
            (gzip.compress(b"\0\0\x08\x03" + bytes(12)), "expected an IDX file of 1 axes .* begins with 00000803"),
            (gzip.compress(b"\0\0\x08\x01\0\0\0\x0b" + bytes(11)), "expected 12 labels 0 … 9, got 11 labels"),
            (
                gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes([10] * 12)),
                "0 … 9, got 12 labels 0 … 10",
            ),
        ],
        ids=["cut", "not-gzip", "too-few", "axes", "too-few-labels", "labels-too-large"],
    )
    def test_is_named_with_what_was_expected(self, broken, message, tmp_path):
        """The message names the broken file, says what was expected and what it has."""
        write_fashion_mnist(tmp_path / DEBIAN, TRAIN_LABELS, TEST_LABELS)
        (tmp_path / DEBIAN / "train-labels-idx1-ubyte.gz").write_bytes(broken)
        with pytest.raises(DatasetUnavailable, match=rf"train-labels-idx1-ubyte\.gz.*{message}.*Remove it"):
            load_here(tmp_path)


def served_at(address, folder):
    """Return Fashion-MNIST with the files of a folder, published at an address."""

    class Elsewhere(FashionMNIST):
        mirrors = (address,)
        resources = tuple((file.name, md5_of(file)) for file in sorted(folder.iterdir()))

    return Elsewhere
