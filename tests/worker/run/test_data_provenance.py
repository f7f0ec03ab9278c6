"""The provenance of the data and of the source."""

import hashlib
import json
import subprocess

import pytest
import torch

from normlab.spec.provenance import DataResponse
from tests.worker.datasets.image_folders import load_folder, write_pets
from worker.datasets import ImageData, Split, load
from worker.run.commit import commit_of, product_commit
from worker.run.data_provenance import data_sha256, describe


@pytest.fixture
def pets(tmp_path):
    return write_pets(tmp_path / "pets")


class TestDescribe:
    def test_folder_with_its_classes_and_counts(self, pets):
        """The provenance of a folder has its classes with their images, a hash, and how the images were prepared."""
        (pets / "train/cat/notes.txt").touch()
        (pets / "train/cat/1.png").write_bytes(b"not an image")
        data = describe(load_folder(pets.parent, skip_damaged=True))
        assert data["by_class"] == [{"name": "cat", "train": 2, "test": 1}, {"name": "dog", "train": 2, "test": 1}]
        assert (data["classes"], data["train"], data["test"], data["image_size"]) == (2, 4, 2, 16)
        assert (data["resize"], data["crop"]) == ("bilinear, antialiased", "the middle square")
        assert data["folder"] == {
            "background": "#ffffff", "held_out": None, "skipped": 1, "first_skipped": ("pets/train/cat/1.png",),
            "ignored": {".txt": 1},
        }  # fmt: skip
        assert DataResponse.model_validate(data)

    def test_named_data_set(self, tmp_path):
        """A named data set has counts and a hash too, and its classes have numbers."""
        data = describe(load("digits", data_dir=tmp_path, image_size=8, train_size=None, test_size=None))
        assert [each["name"] for each in data["by_class"]] == list("0123456789")
        assert sum(each["train"] for each in data["by_class"]) == data["train"] == 1438
        assert data["folder"] is None

    def test_is_bounded_for_a_thousand_classes(self):
        """The description of 5,000 classes with long names lists 1,000 of them."""
        labels = torch.arange(5_000)
        split = Split(torch.zeros(5_000, 3, 1, 1, dtype=torch.uint8), labels)
        data = describe(ImageData(split, split, 5_000, tuple(f"{label:0250}" for label in range(5_000))))
        assert (data["classes"], len(data["by_class"])) == (5_000, 1_000)
        assert len(json.dumps(data)) < 300_000


class TestHash:
    def test_is_of_pixels_and_labels(self, pets):
        """The hash is the documented one, and changes with one pixel and with one label."""
        data = load_folder(pets.parent)
        expected = hashlib.sha256()
        for tensor in (data.train.images, data.train.labels, data.test.images, data.test.labels):
            expected.update(tensor.numpy().tobytes())
        assert data_sha256(data) == expected.hexdigest()
        data.train.images[0, 0, 0, 0] ^= 1
        assert data_sha256(data) != expected.hexdigest()
        data.train.images[0, 0, 0, 0] ^= 1
        data.test.labels[0] ^= 1
        assert data_sha256(data) != expected.hexdigest()

    def test_does_not_depend_on_the_memory_layout(self):
        """Three channels that share their memory have the hash of three equal channels."""
        grey, labels = torch.arange(8, dtype=torch.uint8).view(2, 1, 2, 2), torch.tensor([0, 1])
        shared, own = (Split(images, labels) for images in (grey.expand(-1, 3, -1, -1), grey.repeat(1, 3, 1, 1)))
        assert data_sha256(ImageData(shared, shared, 2)) == data_sha256(ImageData(own, own, 2))


class TestCommit:
    def test_is_that_of_the_checkout(self, tmp_path):
        """A checkout has its commit, and -dirty after it once a file was changed."""
        for command in (
            ["init", "-q"],
            ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--allow-empty", "-m", "x"],
        ):
            subprocess.run(["git", *command], cwd=tmp_path, check=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
        assert commit_of(tmp_path, tmp_path / "absent") == head.stdout.strip()
        (tmp_path / "new").touch()
        subprocess.run(["git", "add", "new"], cwd=tmp_path, check=True)
        assert commit_of(tmp_path, tmp_path / "absent") == head.stdout.strip() + "-dirty"

    def test_is_what_the_build_has_written(self, tmp_path):
        """Without .git, the commit is what the build has written, else unknown."""
        (tmp_path / "commit.txt").write_text("abc123\n")
        assert commit_of(tmp_path, tmp_path / "commit.txt") == "abc123"
        assert commit_of(tmp_path, tmp_path / "absent") is None

    def test_is_never_an_error(self, tmp_path):
        """A .git that is no repository gives an unknown commit."""
        (tmp_path / ".git").mkdir()
        assert commit_of(tmp_path, tmp_path / "absent") is None
        assert product_commit() is None or len(product_commit()) >= 40
