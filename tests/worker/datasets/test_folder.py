"""The user's own images, and that no experiment reads a file outside the data directory."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.worker.datasets.layouts import compass, write_image
from worker.datasets import DatasetUnavailable, load


def load_here(data_dir, folder="pets", **options):
    defaults = {"image_size": 16, "train_size": None, "test_size": None}
    return load("folder", data_dir=data_dir, folder=folder, **defaults | options)


@pytest.fixture
def pets(tmp_path):
    """Write images of cats and dogs: three and two for training, one of each for testing."""
    folder = tmp_path / "data" / "pets"
    for name in ("train/cat/1", "train/cat/2", "train/cat/3", "train/dog/1", "train/dog/2", "test/cat/9", "test/dog/9"):
        write_image(folder / f"{name}.png", compass(16))
    return folder


class TestImages:
    def test_are_upright_with_classes_in_alphabetical_order(self, pets):
        """Labels follow the alphabetical order of the folders, and images are not flipped or turned."""
        data = load_here(pets.parent)
        assert data.classes == 2
        assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
        assert data.test.labels.tolist() == [0, 1]
        assert torch.equal(data.train.images, torch.from_numpy(compass(16)).expand(5, -1, -1, -1))
        assert (data.train.images.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)

    def test_are_cropped_to_their_middle_square(self, pets):
        """The shorter side is resized to the image size, and the middle square is taken."""
        wide = np.zeros((3, 32, 96), dtype=np.uint8)
        wide[:, :, 32:64] = compass(32)
        write_image(pets / "train/cat/1.png", wide)
        write_image(pets / "train/cat/2.png", np.ascontiguousarray(wide.transpose(0, 2, 1)))
        train = load_here(pets.parent).train
        assert train.images.shape == (5, 3, 16, 16)
        for image, corner in ((train.images[0], (3, 12)), (train.images[1], (12, 3))):
            assert image[:, 3, 3].tolist() == [250, 0, 0]
            assert image[(slice(None), *corner)].tolist() == [0, 150, 0]

    def test_of_any_mode_become_three_channels(self, pets):
        """Grey images, palettes and transparent images become RGB."""
        Image.fromarray(np.full((16, 16), 77, dtype=np.uint8)).save(pets / "train/cat/1.png")
        palette = Image.new("P", (16, 16), 1)
        palette.putpalette([0, 0, 0, 10, 20, 30])
        palette.save(pets / "train/cat/2.png", transparency=bytes([0, 128]))
        Image.new("RGBA", (16, 16), (1, 2, 3, 0)).save(pets / "train/cat/3.png")
        images = load_here(pets.parent).train.images
        assert images[:3, :, 5, 5].tolist() == [[77, 77, 77], [10, 20, 30], [1, 2, 3]]

    def test_outside_the_subset_are_not_opened(self, pets):
        """Only the images of the requested subset are read."""
        files = sorted(pets.glob("train/*/*.png"))
        for grey, file in enumerate(files):
            write_image(file, np.full((3, 16, 16), grey, dtype=np.uint8))
        chosen = load_here(pets.parent, train_size=2).train
        for grey in set(range(5)) - set(chosen.images[:, 0, 0, 0].tolist()):
            files[grey].write_bytes(b"not an image")
        assert torch.equal(load_here(pets.parent, train_size=2).train.images, chosen.images)

    @pytest.mark.parametrize("cut", [0, 20, 60])
    def test_that_cannot_be_read_are_named(self, cut, pets):
        """The message names an image that cannot be read."""
        file = pets / "train/dog/2.png"
        file.write_bytes(file.read_bytes()[:cut])
        with pytest.raises(DatasetUnavailable, match=r"train/dog/2\.png cannot be read as an image"):
            load_here(pets.parent)

    def test_of_16_bits_are_refused(self, pets):
        """An image of 16 bits is refused, because its values would be clipped to white."""
        Image.fromarray(np.full((16, 16), 40_000, dtype=np.uint16)).save(pets / "train/cat/2.png")
        with pytest.raises(DatasetUnavailable, match=r"cat/2\.png has more than 8 bits"):
            load_here(pets.parent)


class TestDataDirectory:
    @pytest.mark.parametrize("folder", ["../secret", "pets/../../secret", "/etc", "link"])
    def test_folder_outside_is_refused(self, folder, pets):
        """A path, a relative path or a link that leaves the data directory is refused."""
        data_dir = pets.parent
        pets.rename(data_dir.parent / "secret")
        (data_dir / "link").symlink_to(data_dir.parent / "secret")
        with pytest.raises(ValueError, match="outside the data directory"):
            load_here(data_dir, folder)

    @pytest.mark.parametrize("linked", ["train", "train/dog", "train/dog/1.png"])
    def test_link_to_a_file_outside_is_refused(self, linked, pets):
        """A link inside the folder that leaves the data directory is refused by name."""
        elsewhere = pets.parent.parent / "elsewhere"
        (pets / linked).rename(elsewhere)
        (pets / linked).symlink_to(elsewhere)
        with pytest.raises(DatasetUnavailable, match=r"train/.*1\.png is a link to a file outside the data directory"):
            load_here(pets.parent)

    def test_link_to_another_folder_inside_is_followed(self, pets):
        """A link within the data directory is followed."""
        (pets.parent / "friends").symlink_to(pets)
        assert load_here(pets.parent, "friends").classes == 2


class TestLayout:
    @pytest.mark.parametrize("folder", [None, ""])
    def test_needs_the_name_of_the_folder(self, folder, pets):
        """The data set `folder` needs the field folder."""
        with pytest.raises(ValueError, match="needs the field folder"):
            load_here(pets.parent, folder)

    def test_without_a_split_is_refused_with_an_example(self, pets):
        """The message names a missing split and shows the expected layout."""
        (pets / "test").rename(pets / "validation")
        with pytest.raises(DatasetUnavailable, match=r"pets/test is not a folder of images.*test/cat/1\.png"):
            load_here(pets.parent)

    def test_with_an_empty_class_is_refused(self, pets):
        """A class without images is named."""
        (pets / "train/emu").mkdir()
        with pytest.raises(DatasetUnavailable, match="emu"):
            load_here(pets.parent)

    def test_with_other_classes_in_the_test_split_is_refused(self, pets):
        """The message names the classes that only one split has."""
        (pets / "test/dog").rename(pets / "test/hen")
        with pytest.raises(DatasetUnavailable, match="only one of them has dog, hen"):
            load_here(pets.parent)
