"""Fashion-MNIST, from small IDX files where torchvision and Debian keep the real ones, and from a real web server."""

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
PLAIN, TORCHVISIONS = "fashion-mnist", "FashionMNIST/raw"


def load_here(data_dir, image_size=28):
    return load("fashion_mnist", data_dir=data_dir, image_size=image_size, train_size=None, test_size=None)


@pytest.mark.parametrize("folder", [PLAIN, TORCHVISIONS])
@pytest.mark.parametrize("suffix", [".gz", ""], ids=["gzipped", "unpacked"])
def test_files_are_found_in_either_folder_gzipped_or_not(folder, suffix, tmp_path):
    written = write_fashion_mnist(tmp_path / folder, TRAIN_LABELS, TEST_LABELS, suffix)
    data = load_here(tmp_path)
    assert torch.equal(data.train.images, torch.from_numpy(written["train"])[:, None].expand(-1, 3, -1, -1))
    assert torch.equal(data.test.images, torch.from_numpy(written["t10k"])[:, None].expand(-1, 3, -1, -1))
    assert data.train.labels.tolist() == TRAIN_LABELS
    assert data.test.labels.tolist() == TEST_LABELS
    assert data.classes == 10


def test_a_link_to_the_folder_of_debians_package_will_do(tmp_path):
    package = tmp_path / "usr/share/datasets/fashion-mnist"
    write_fashion_mnist(package, TRAIN_LABELS, TEST_LABELS)
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / PLAIN).symlink_to(package)
    assert load_here(data_dir).test.labels.tolist() == TEST_LABELS


def test_torchvisions_own_reader_reads_the_same(tmp_path):
    write_fashion_mnist(tmp_path / TORCHVISIONS, TRAIN_LABELS, TEST_LABELS, suffix="")
    theirs = FashionMNIST(tmp_path, train=True)
    ours = load_here(tmp_path).train
    assert torch.equal(ours.images[:, 0], theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


def test_grey_images_are_resized_in_three_channels_alike(tmp_path):
    write_fashion_mnist(tmp_path / PLAIN, TRAIN_LABELS, TEST_LABELS)
    images = load_here(tmp_path, image_size=96).train.images
    assert images.shape == (12, 3, 96, 96)
    assert torch.equal(images[:, 0], images[:, 2])


def test_the_first_use_downloads_the_files_and_the_second_needs_no_network(tmp_path, web, nowhere):
    write_fashion_mnist(web.folder, TRAIN_LABELS, TEST_LABELS)
    first = load_fashion_mnist(Request(tmp_path, 28), served_at(web.url, web.folder))
    second = load_fashion_mnist(Request(tmp_path, 28), served_at(nowhere, web.folder))
    assert first.train.labels.tolist() == TRAIN_LABELS
    assert torch.equal(first.test.images, second.test.images)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_download_with_another_checksum_is_not_taken_for_the_file(tmp_path, web):
    write_fashion_mnist(web.folder, TRAIN_LABELS, TEST_LABELS)
    published = served_at(web.url, web.folder)
    write_idx(web.folder / "t10k-labels-idx1-ubyte.gz", np.array([0, 0, 0]))
    with pytest.raises(DatasetUnavailable, match="corrupted"):
        load_fashion_mnist(Request(tmp_path, 28), published)
    assert not (tmp_path / TORCHVISIONS / "t10k-labels-idx1-ubyte.gz").exists()


def test_without_files_and_network_the_message_says_which_files_to_put_where(tmp_path, nowhere):
    class Elsewhere(FashionMNIST):
        mirrors = (nowhere,)

    with pytest.raises(DatasetUnavailable) as raised:
        load_fashion_mnist(Request(tmp_path, 28), Elsewhere)
    message = str(raised.value)
    assert "train-images-idx3-ubyte.gz (MD5 8d4fb7e6c68d591d4c3dfef9ec88bf0d), train-labels" in message
    assert f"into {tmp_path / PLAIN} or {tmp_path / TORCHVISIONS}" in message
    assert f"ln -s /usr/share/datasets/fashion-mnist {tmp_path / PLAIN}" in message


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes(12))[:-9], "not a whole gzip file"),
        (b"<html>", "not a whole gzip file"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes(5)), "holds 5 values; its header promises 12"),
        (gzip.compress(b"\0\0\x08\x03" + bytes(12)), "begins with 00000803: expected an IDX file of 1 axes"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x0b" + bytes(11)), "should label 12 images"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x0c" + bytes([10] * 12)), "should label 12 images 0 … 9"),
    ],
    ids=["cut", "not-gzip", "too-few", "axes", "too-few-labels", "labels-too-large"],
)
def test_a_broken_file_is_named_with_what_is_wrong(broken, complaint, tmp_path):
    write_fashion_mnist(tmp_path / PLAIN, TRAIN_LABELS, TEST_LABELS)
    (tmp_path / PLAIN / "train-labels-idx1-ubyte.gz").write_bytes(broken)
    with pytest.raises(DatasetUnavailable, match=rf"train-labels-idx1-ubyte\.gz.*{complaint}.*Remove it"):
        load_here(tmp_path)


def served_at(address, folder):
    """Fashion-MNIST as somebody else might publish it: other files at another address."""

    class Elsewhere(FashionMNIST):
        mirrors = (address,)
        resources = tuple((file.name, md5_of(file)) for file in sorted(folder.iterdir()))

    return Elsewhere
