"""The user's own images, and that no experiment reads a file outside the data directory."""

import os
import unicodedata

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from tests.worker.datasets.image_folders import load_folder, save, write_pets
from tests.worker.datasets.layouts import compass, write_image
from worker.datasets import DatasetUnavailable


@pytest.fixture
def pets(tmp_path):
    """Write images of cats and dogs: three and two for training, one of each for testing."""
    return write_pets(tmp_path / "data" / "pets")


def refusal(data_dir, **options):
    """Return the message with which the folder `pets` is refused."""
    with pytest.raises(DatasetUnavailable) as raised:
        load_folder(data_dir, **options)
    return str(raised.value)


class TestImages:
    def test_are_upright_with_classes_in_alphabetical_order(self, pets):
        """Labels follow the alphabetical order of the folders, and images are not flipped or turned."""
        data = load_folder(pets.parent)
        assert data.classes == 2
        assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
        assert data.test.labels.tolist() == [0, 1]
        expected = torch.stack([torch.from_numpy(compass(16) + np.uint8(number)) for number in range(5)])
        assert torch.equal(data.train.images, expected)
        assert (data.train.images.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)

    def test_are_cropped_to_their_middle_square(self, pets):
        """The shorter side is resized to the image size, and the middle square is taken."""
        wide = np.zeros((3, 32, 96), dtype=np.uint8)
        wide[:, :, 32:64] = compass(32)
        write_image(pets / "train/cat/1.png", wide)
        write_image(pets / "train/cat/2.png", np.ascontiguousarray(wide.transpose(0, 2, 1)))
        train = load_folder(pets.parent).train
        assert train.images.shape == (5, 3, 16, 16)
        for image, corner in ((train.images[0], (3, 12)), (train.images[1], (12, 3))):
            assert image[:, 3, 3].tolist() == [250, 0, 0]
            assert image[(slice(None), *corner)].tolist() == [0, 150, 0]

    def test_outside_the_subset_are_not_opened(self, pets):
        """Only the images of the requested subset are read."""
        files = sorted(pets.glob("train/*/*.png"))
        for grey, file in enumerate(files):
            write_image(file, np.full((3, 16, 16), grey, dtype=np.uint8))
        chosen = load_folder(pets.parent, train_size=2).train
        for grey in set(range(5)) - set(chosen.images[:, 0, 0, 0].tolist()):
            files[grey].write_bytes(b"not an image")
        assert torch.equal(load_folder(pets.parent, train_size=2).train.images, chosen.images)

    @pytest.mark.parametrize("cut", [0, 20, 60])
    def test_that_cannot_be_read_are_named(self, cut, pets):
        """The message names an image that cannot be read."""
        file = pets / "train/dog/2.png"
        file.write_bytes(file.read_bytes()[:cut])
        with pytest.raises(DatasetUnavailable, match=r"pets/train/dog/2\.png cannot be read as an image"):
            load_folder(pets.parent)


class TestDataDirectory:
    @pytest.mark.parametrize("folder", ["../secret", "pets/../../secret", "/etc", "link"])
    def test_folder_outside_is_refused(self, folder, pets):
        """A path, a relative path or a link that leaves the data directory is refused."""
        data_dir = pets.parent
        pets.rename(data_dir.parent / "secret")
        (data_dir / "link").symlink_to(data_dir.parent / "secret")
        with pytest.raises(ValueError, match="outside the data directory"):
            load_folder(data_dir, folder)

    @pytest.mark.parametrize(
        ("linked", "kind"), [("train", "folder"), ("train/dog", "folder"), ("train/dog/1.png", "file")]
    )
    def test_link_to_a_file_outside_is_refused(self, linked, kind, pets):
        """A link inside the folder that leaves the data directory is refused by name."""
        elsewhere = pets.parent.parent / "elsewhere"
        (pets / linked).rename(elsewhere)
        (pets / linked).symlink_to(elsewhere)
        assert f"pets/{linked} is a link to a {kind} outside the data directory" in refusal(pets.parent)

    def test_link_to_another_folder_inside_is_followed(self, pets):
        """A link within the data directory is followed."""
        (pets.parent / "friends").symlink_to(pets)
        assert load_folder(pets.parent, "friends").classes == 2


class TestLayout:
    @pytest.mark.parametrize("folder", [None, ""])
    def test_needs_the_name_of_the_folder(self, folder, pets):
        """The data set `folder` needs the field folder."""
        with pytest.raises(ValueError, match="needs the field folder"):
            load_folder(pets.parent, folder)

    def test_without_parts_is_split_by_the_paths(self, pets):
        """Class folders without parts are split: a fifth of each class, or test_fraction, is for the test."""
        folder = write_pets(
            pets.parent / "flat", [f"{name}/{number}" for name in ("cat", "dog") for number in range(10)]
        )
        data, half = load_folder(pets.parent, "flat"), load_folder(pets.parent, "flat", test_fraction=0.5)
        assert data.test.labels.tolist() == [0, 0, 1, 1]
        assert data.train.labels.bincount().tolist() == [8, 8]
        assert half.test.labels.bincount().tolist() == [5, 5]
        brightness = {int(image.max()) for split in (data.train, data.test) for image in split.images}
        assert len(brightness) == len(list(folder.rglob("*.png"))) == 20
        assert torch.equal(data.test.images, load_folder(pets.parent, "flat").test.images)


class TestFaults:
    def test_are_reported_together(self, pets):
        """Damaged images, an empty class, an unreadable type and a missing test class are in one message."""
        (pets / "train/cat/1.png").write_bytes(b"not an image")
        (pets / "test/dog/9.png").write_bytes((pets / "test/dog/9.png").read_bytes()[:60])
        (pets / "train/emu").mkdir()
        for number in range(3):
            (pets / f"train/cat/{number}.heic").touch()
        message = refusal(pets.parent)
        for part in (
            "the folder pets has 5 faults",
            "pets/train/cat/1.png cannot be read as an image: it is of another format, or damaged at its start",
            "pets/test/dog/9.png cannot be read as an image: ",
            "pets/train/emu has no image that can be read",
            "pets/train/cat/0.heic is one of 3 .heic files, a type that cannot be read: convert to JPEG or PNG",
            "must have the same classes in train and test, but only train has emu",
            "set skip_damaged to true",
        ):
            assert part in message
        assert str(pets.parent) not in message

    def test_message_has_a_bounded_length(self, tmp_path):
        """Of many damaged images the first 20 are named, and the others are counted."""
        folder = tmp_path / "pets"
        for name in ("train/cat", "train/dog", "test/cat", "test/dog"):
            (folder / name).mkdir(parents=True)
            for number in range(30):
                (folder / name / f"{number:02}{'x' * 200}.png").touch()
        message = refusal(tmp_path)
        assert "has 120 faults" in message
        assert message.count("cannot be read") == 20
        assert "; and 100 more." in message
        assert len(message) < 15_000


class TestSkipDamaged:
    def test_trains_on_the_others_and_counts(self, pets):
        """With skip_damaged, damaged images and unreadable types are left out, and counted with their first paths."""
        (pets / "train/cat/2.png").write_bytes(b"not an image")
        (pets / "train/cat/x.heic").touch()
        (pets / "train/cat/y.heic").touch()
        data = load_folder(pets.parent, skip_damaged=True)
        assert data.train.labels.tolist() == [0, 0, 1, 1]
        assert data.train.images[:, 0].amax((1, 2)).tolist() == [250, 252, 253, 254]
        assert (data.folder.skipped, data.folder.first_skipped) == (
            3,
            ("pets/train/cat/x.heic", "pets/train/cat/2.png"),
        )

    def test_takes_other_images_for_a_subset(self, pets):
        """A subset has its full size: the next images in the fixed order take the turn of damaged ones."""
        whole = load_folder(pets.parent, train_size=4).train
        missing = ({250, 251, 252, 253, 254} - set(whole.images[:, 0].amax((1, 2)).tolist())).pop()
        (chosen,) = [path for path in pets.glob("train/*/*.png") if Image.open(path).getextrema()[0][1] == 251]
        chosen.write_bytes(b"not an image")
        train = load_folder(pets.parent, train_size=4, skip_damaged=True).train
        brightness = train.images[:, 0].amax((1, 2)).tolist()
        assert sorted(brightness) == brightness
        assert set(brightness) == {250, 251, 252, 253, 254} - {251} | ({missing} - {251})
        assert train.labels.tolist() == [0, 0, 1, 1]

    def test_does_not_accept_a_class_without_images(self, pets):
        """If every image of a class is damaged, the folder is refused all the same."""
        for number in (1, 2):
            (pets / f"train/dog/{number}.png").write_bytes(b"not an image")
        assert "pets has no train image of dog that can be read" in refusal(pets.parent, skip_damaged=True)

    def test_does_not_accept_too_few_images(self, pets):
        """If train_size images cannot be read, the folder is refused."""
        (pets / "train/cat/1.png").write_bytes(b"not an image")
        message = refusal(pets.parent, skip_damaged=True, train_size=5)
        assert "pets has 4 train images that can be read, train_size is 5" in message


class TestWarnings:
    def test_of_pillow_do_not_leak(self, pets, capfd):
        """Pillow's warnings about a readable file reach neither the log nor standard error."""
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation], exif[ExifTags.Base.ImageDescription] = 6, "a description of the photograph"
        path = save(pets / "train/cat/1.jpg", Image.new("RGB", (16, 16)), exif=exif)
        content = bytearray(path.read_bytes())
        content[44] = 255  # the length of the description
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="Tag data larger than file"), Image.open(path) as image:
            image.getexif().get(ExifTags.Base.Orientation)
        load_folder(pets.parent)
        assert capfd.readouterr().err == ""


class TestMemory:
    def test_is_that_of_the_resized_images(self, pets):
        """Large photographs are held one at a time, not all at once."""
        photo = Image.new("RGB", (4000, 3000), (10, 200, 30))
        first = save(pets / "train/cat/photo0.jpg", photo)
        for number in range(1, 12):
            os.link(first, pets / f"train/cat/photo{number}.jpg")
        before = peak_kib()
        assert len(load_folder(pets.parent).train.labels) == 17
        assert peak_kib() - before < 300_000  # 12 such photographs are 432,000 KiB


def peak_kib():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class TestClassNames:
    def test_in_two_normal_forms_are_one_class(self, tmp_path):
        """A name that macOS and Linux write differently is one class in both parts."""
        composed, decomposed = unicodedata.normalize("NFC", "Björn"), unicodedata.normalize("NFD", "Björn")
        names = [f"train/{composed}/1", f"train/{decomposed}/2", "train/Anna/1", f"test/{decomposed}/1", "test/Anna/1"]
        write_pets(tmp_path / "pets", names)
        data = load_folder(tmp_path)
        assert data.names == ("Anna", composed)
        assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1, 1], [0, 1])
