"""STL-10, from small files in its own layout and from a small archive on a real web server."""

import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.worker.datasets.layouts import STL10_FOLDER, md5_of, write_stl10
from worker.datasets import DatasetUnavailable, load
from worker.datasets.splits import Request
from worker.datasets.stl10 import LabelledSTL10
from worker.datasets.stl10 import load as load_stl10

TRAIN_LABELS, TEST_LABELS = [1, 10, 3, 2, 5, 4, 7, 6, 9, 8, 1, 10], [10, 9, 1]


def load_here(data_dir, **options):
    return load("stl10", data_dir=data_dir, **{"image_size": 96, "train_size": None, "test_size": None} | options)


class TestLoad:
    def test_returns_upright_images_and_labels_from_zero(self, tmp_path):
        """Images are not flipped, turned or with swapped channels, and labels start at 0."""
        written = write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
        data = load_here(tmp_path)
        assert torch.equal(data.train.images, torch.from_numpy(written["train"]))
        assert torch.equal(data.test.images, torch.from_numpy(written["test"]))
        assert data.train.labels.tolist() == [label - 1 for label in TRAIN_LABELS]
        assert data.test.labels.tolist() == [9, 8, 0]
        assert data.classes == 10

    def test_resizes_images(self, tmp_path):
        """Images are resized to the requested size."""
        write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
        image = load_here(tmp_path, image_size=32, train_size=10).train.images[0]
        assert image[:, 4, 4].tolist() == [250, 0, 0]
        assert image[:, 4, 28].tolist() == [0, 150, 0]
        assert image[:, 28, 4].tolist() == [0, 0, 50]

    def test_does_not_need_the_unlabelled_images(self, tmp_path):
        """The four labelled files are enough."""
        write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
        assert not (tmp_path / STL10_FOLDER / "unlabeled_X.bin").exists()
        assert len(load_here(tmp_path).train.labels) == 12

    def test_refuses_labels_that_are_not_of_stl10(self, tmp_path):
        """A label outside 1 … 10 is refused."""
        write_stl10(tmp_path, [0, *TRAIN_LABELS], TEST_LABELS)
        with pytest.raises(DatasetUnavailable, match=r"train_y\.bin: expected labels 1 … 10"):
            load_here(tmp_path)


class TestDownload:
    def test_that_fails_says_what_to_do(self, tmp_path, nowhere):
        """If the download fails, the message names the files, their MD5s and the folder."""
        data_dir = tmp_path / "not yet there"
        with pytest.raises(DatasetUnavailable) as raised:
            load_stl10(Request(data_dir, 96), served_at(nowhere, md5=LabelledSTL10.tgz_md5))
        message = str(raised.value)
        assert f"stl10_binary.tar.gz (MD5 91f7769df0f17e558f3565bffb0c7dfb) into {data_dir}" in message
        assert "train_X.bin (MD5 918c2871b30a85fa023e0c44e0bee87f), train_y.bin (MD5" in message
        assert f"into {data_dir / 'stl10_binary'}" in message
        assert "refused" in message
        assert "unlabeled" not in message

    @pytest.mark.parametrize("name", ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"])
    def test_replaces_incomplete_and_missing_files(self, name, tmp_path, nowhere):
        """An incomplete file is treated like a missing one."""
        write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
        file = tmp_path / STL10_FOLDER / name
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(DatasetUnavailable, match=name):
            load_stl10(Request(tmp_path, 96), served_at(nowhere))
        file.unlink()
        with pytest.raises(DatasetUnavailable, match=name):
            load_stl10(Request(tmp_path, 96), served_at(nowhere))

    def test_happens_once(self, tmp_path, web, nowhere):
        """The first use downloads and unpacks the archive, and the second needs no network."""
        archive = pack(tmp_path, web.folder)
        data_dir = tmp_path / "data"
        first = load_stl10(Request(data_dir, 96), served_at(web.url, md5_of(archive)))
        second = load_stl10(Request(data_dir, 96), served_at(nowhere, md5_of(archive)))
        assert first.train.labels.tolist() == [label - 1 for label in TRAIN_LABELS]
        assert torch.equal(first.test.images, second.test.images)

    def test_happens_once_for_several_workers(self, tmp_path, web):
        """If several workers need the files at the same time, one of them downloads them."""
        archive = pack(tmp_path, web.folder)
        request, published = Request(tmp_path / "data", 96), served_at(web.url, md5_of(archive))
        with ThreadPoolExecutor(4) as workers:
            loaded = list(workers.map(lambda _: load_stl10(request, published), range(4)))
        assert all(torch.equal(data.train.images, loaded[0].train.images) for data in loaded)
        assert (
            web.fetched == ["/stl10_binary.tar.gz"] * 2
        )  # torchvision requests it twice: for redirections, and for the file

    def test_is_not_needed_with_an_archive_in_the_folder(self, tmp_path, nowhere):
        """An archive that a user puts into the data directory is unpacked."""
        archive = pack(tmp_path, tmp_path)
        data = load_stl10(Request(tmp_path, 96), served_at(nowhere, md5_of(archive)))
        assert data.test.labels.tolist() == [9, 8, 0]

    def test_with_another_archive_in_the_folder_says_so(self, tmp_path, nowhere):
        """An archive in the data directory whose MD5 differs is called wrong, not missing."""
        archive = pack(tmp_path, tmp_path)
        with pytest.raises(DatasetUnavailable, match=rf"stl10_binary\.tar\.gz has the .*{md5_of(archive)}, not 0000"):
            load_stl10(Request(tmp_path, 96), served_at(nowhere, md5="0" * 32))

    def test_with_a_wrong_checksum_is_refused(self, tmp_path, web):
        """An archive whose MD5 differs is not unpacked."""
        pack(tmp_path, web.folder)
        data_dir = tmp_path / "data"
        with pytest.raises(DatasetUnavailable, match="corrupted"):
            load_stl10(Request(data_dir, 96), served_at(web.url, md5="0" * 32))
        assert not (data_dir / STL10_FOLDER).exists()


def pack(tmp_path, into):
    """Write a small stl10_binary.tar.gz and return its path."""
    write_stl10(tmp_path / "made", TRAIN_LABELS, TEST_LABELS)
    archive = into / "stl10_binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / STL10_FOLDER, STL10_FOLDER)
    return archive


def served_at(address, md5="0" * 32):
    """Return STL-10 with another address and another MD5 of its archive."""

    class Elsewhere(LabelledSTL10):
        url, tgz_md5 = f"{address}stl10_binary.tar.gz", md5

    return Elsewhere
