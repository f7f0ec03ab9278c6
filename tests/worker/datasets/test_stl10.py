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


def test_images_stand_upright_in_their_colours_and_labels_start_at_zero(tmp_path):
    written = write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
    data = load_here(tmp_path)
    assert torch.equal(data.train.images, torch.from_numpy(written["train"]))
    assert torch.equal(data.test.images, torch.from_numpy(written["test"]))
    assert data.train.labels.tolist() == [label - 1 for label in TRAIN_LABELS]
    assert data.test.labels.tolist() == [9, 8, 0]
    assert data.classes == 10


def test_they_are_resized_to_the_size_asked(tmp_path):
    write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
    image = load_here(tmp_path, image_size=32, train_size=10).train.images[0]
    assert image[:, 4, 4].tolist() == [250, 0, 0]
    assert image[:, 4, 28].tolist() == [0, 150, 0]
    assert image[:, 28, 4].tolist() == [0, 0, 50]


def test_the_unlabelled_images_are_not_asked_for(tmp_path):
    write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
    assert not (tmp_path / STL10_FOLDER / "unlabeled_X.bin").exists()
    assert len(load_here(tmp_path).train.labels) == 12


def test_without_files_and_network_the_message_says_which_files_to_put_where(tmp_path, nowhere):
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
def test_a_file_cut_short_or_missing_counts_as_not_there(name, tmp_path, nowhere):
    write_stl10(tmp_path, TRAIN_LABELS, TEST_LABELS)
    file = tmp_path / STL10_FOLDER / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DatasetUnavailable, match=name):
        load_stl10(Request(tmp_path, 96), served_at(nowhere))
    file.unlink()
    with pytest.raises(DatasetUnavailable, match=name):
        load_stl10(Request(tmp_path, 96), served_at(nowhere))


def test_labels_that_are_not_stl10s_are_refused(tmp_path):
    write_stl10(tmp_path, [0, *TRAIN_LABELS], TEST_LABELS)
    with pytest.raises(DatasetUnavailable, match=r"train_y\.bin are not all 1 … 10"):
        load_here(tmp_path)


def test_the_first_use_downloads_and_unpacks_the_archive_and_the_second_needs_no_network(tmp_path, web, nowhere):
    archive = pack(tmp_path, web.folder)
    data_dir = tmp_path / "data"
    first = load_stl10(Request(data_dir, 96), served_at(web.url, md5_of(archive)))
    second = load_stl10(Request(data_dir, 96), served_at(nowhere, md5_of(archive)))
    assert first.train.labels.tolist() == [label - 1 for label in TRAIN_LABELS]
    assert torch.equal(first.test.images, second.test.images)


def test_two_workers_who_need_it_at_once_download_it_once(tmp_path, web):
    archive = pack(tmp_path, web.folder)
    request, published = Request(tmp_path / "data", 96), served_at(web.url, md5_of(archive))
    with ThreadPoolExecutor(4) as workers:
        loaded = list(workers.map(lambda _: load_stl10(request, published), range(4)))
    assert all(torch.equal(data.train.images, loaded[0].train.images) for data in loaded)
    assert web.fetched == ["/stl10_binary.tar.gz"] * 2  # torchvision asks once for redirections, once for the file


def test_an_archive_put_there_by_hand_is_unpacked_without_a_network(tmp_path, nowhere):
    archive = pack(tmp_path, tmp_path)
    data = load_stl10(Request(tmp_path, 96), served_at(nowhere, md5_of(archive)))
    assert data.test.labels.tolist() == [9, 8, 0]


def test_a_download_with_another_checksum_is_never_unpacked(tmp_path, web):
    pack(tmp_path, web.folder)
    data_dir = tmp_path / "data"
    with pytest.raises(DatasetUnavailable, match="corrupted"):
        load_stl10(Request(data_dir, 96), served_at(web.url, md5="0" * 32))
    assert not (data_dir / STL10_FOLDER).exists()


def pack(tmp_path, into):
    """A small stl10_binary.tar.gz."""
    write_stl10(tmp_path / "made", TRAIN_LABELS, TEST_LABELS)
    archive = into / "stl10_binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / STL10_FOLDER, STL10_FOLDER)
    return archive


def served_at(address, md5="0" * 32):
    """STL-10 as somebody else might publish it: another address, another archive."""

    class Elsewhere(LabelledSTL10):
        url, tgz_md5 = f"{address}stl10_binary.tar.gz", md5

    return Elsewhere
