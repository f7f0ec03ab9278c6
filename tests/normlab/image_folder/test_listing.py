"""The listing of an image folder by names alone: layouts, hidden files, links, and what is refused."""

import os
import sys

import pytest

from normlab.image_folder import TooManyFiles, list_folder, printable

SPLIT = ("train/cat/1.jpg", "train/dog/1.jpg", "test/cat/1.jpg", "test/dog/1.jpg")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    touch(folder, SPLIT)
    return folder


def touch(folder, names):
    """Create empty files with these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def faults(folder, **options):
    """List a folder and return its faults in words."""
    return [str(fault) for fault in list_folder(folder.parent, folder.name, **options).faults]


def names(images, folder):
    """Return the paths of images below the folder."""
    return [path.relative_to(folder).as_posix() for path in images.paths]


class TestHidden:
    def test_files_and_folders_are_left_out(self, photos):
        """What systems, archives and editors add is neither a class nor an image."""
        hidden = (
            ".ipynb_checkpoints/1.jpg",
            ".git/1.jpg",
            "__MACOSX/1.jpg",
            "@eaDir/1.jpg",
            "cat/.ipynb_checkpoints/1.jpg",
        )
        touch(photos / "train", (*hidden, "cat/._1.jpg", "cat/.DS_Store", "cat/Thumbs.db", "dog/desktop.ini"))
        touch(photos, ("__MACOSX/train/cat/1.jpg", ".DS_Store"))
        listing = list_folder(photos.parent, "photos")
        assert (listing.faults, listing.ignored) == ((), {})
        assert names(listing.train, photos) == ["train/cat/1.jpg", "train/dog/1.jpg"]


class TestImages:
    def test_of_every_suffix_and_case_are_listed(self, photos):
        """Suffixes count in upper case too, and other files are counted by their suffix."""
        touch(
            photos / "train/cat",
            ("2.JPG", "3.Jpeg", "4.PNG", "5.TIFF", "labels.csv", "notes.TXT", "more.txt", "README"),
        )
        listing = list_folder(photos.parent, "photos")
        assert [name[-5:] for name in names(listing.train, photos)] == [
            "1.jpg",
            "2.JPG",
            ".Jpeg",
            "4.PNG",
            ".TIFF",
            "1.jpg",
        ]
        assert listing.train.labels == (0, 0, 0, 0, 0, 1)
        assert listing.ignored == {".csv": 1, ".txt": 2, "": 1}

    def test_in_nested_folders_belong_to_the_class(self, photos):
        """Images in folders inside a class belong to it, sorted by path."""
        touch(photos / "train/cat", ("b/2.jpg", "a/3.jpg"))
        expected = ["train/cat/1.jpg", "train/cat/a/3.jpg", "train/cat/b/2.jpg", "train/dog/1.jpg"]
        assert names(list_folder(photos.parent, "photos").train, photos) == expected

    def test_of_unreadable_types_are_counted_once(self, photos):
        """Types that cannot be read are named once, with their number."""
        touch(photos / "train/cat", ("2.HEIC", "3.heic", "4.svg"))
        touch(photos / "test/dog", ("5.heic",))
        assert faults(photos) == [
            "photos/train/cat/2.HEIC is one of 3 .heic files, a type that cannot be read: convert to JPEG or PNG",
            "photos/train/cat/4.svg is a .svg file, a type that cannot be read: convert to JPEG or PNG",
        ]

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
    def test_that_are_no_regular_files_are_refused(self, photos):
        """A named pipe, whose reading would not end, and a link that leads nowhere are refused by name."""
        os.mkfifo(photos / "train/cat/pipe.jpg")
        (photos / "train/dog/link.jpg").symlink_to("absent.jpg")
        (photos / "train/dog/self.jpg").symlink_to("self.jpg")
        assert faults(photos) == [
            "photos/train/cat/pipe.jpg is not a regular file",
            "photos/train/dog/link.jpg is a broken link",
            "photos/train/dog/self.jpg is a broken link",
        ]


class TestLinks:
    @pytest.mark.parametrize("target", ["..", "../..", ".", "../dog", "../../test/cat"])
    def test_in_a_circle_or_to_another_class_are_found(self, photos, target):
        """A link to a folder that is listed already would count images twice, under a wrong class."""
        (photos / "train/cat/more").symlink_to(target)
        (fault,) = faults(photos)
        assert fault.startswith("photos/train/cat/more is the same folder as photos")
        assert fault.endswith("and would count twice: remove the link")

    def test_to_one_image_in_two_classes_are_found(self, photos):
        """An image that is in two classes or in both parts by a link is refused."""
        (photos / "train/dog/2.jpg").symlink_to("../cat/1.jpg")
        (photos / "test/dog/2.jpg").symlink_to("../../train/cat/1.jpg")
        same = "is the same file as photos/train/cat/1.jpg, and would count twice: remove the link"
        assert faults(photos) == [f"photos/train/dog/2.jpg {same}", f"photos/test/dog/2.jpg {same}"]

    def test_to_images_elsewhere_in_the_data_directory_are_followed(self, photos):
        """A folder of links to images that are listed nowhere else is a usual data set."""
        touch(photos.parent / "all", ("7.jpg",))
        (photos / "train/dog/7.jpg").symlink_to("../../../all/7.jpg")
        listing = list_folder(photos.parent, "photos")
        assert (listing.faults, listing.train.labels) == ((), (0, 1, 1))


REFUSED = {
    "no folder": ((), ["photos is not a folder in the data directory (NORMLAB_DATA_DIR)"]),
    "images without classes": (
        ("1.jpg", "2.jpg"),
        ["photos has no class: put the images of each class into a folder, such as photos/cat/1.jpg and photos/dog"],
    ),
    "one class": (("cat/1.jpg", "cat/2.jpg"), ["photos has one class, cat: put the images of each class"]),
    "no test": (
        ("train/cat/1.jpg", "train/dog/1.jpg"),
        ["photos has no part test: add it, as in photos/train/cat/1.jpg and photos/test/cat/1.jpg"],
    ),
    "parts by another name": (
        ("Training/cat/1.jpg", "Training/dog/2.jpg", "Validation/cat/1.jpg", "Validation/dog/1.jpg"),
        [
            "photos/Training has the name of a part, not of a class: name them as in photos/train/cat/1.jpg and",
            "photos/Validation has the name of a part",
        ],
    ),
    "a class beside the parts": (
        (*SPLIT, "bird/1.jpg"), ["photos has folders beside train and test that are no parts, bird: move them"],
    ),
    "other classes": (
        (*SPLIT, "train/Emu/1.jpg", "train/ox/1.jpg", "test/emu/1.jpg"),
        [
            "photos must have the same classes in train and test, but only train has Emu, ox; only test has emu (names "
            "that differ in case: emu)"
        ],
    ),
    "a folder in itself": (
        tuple(f"photos/{name}" for name in SPLIT), ["photos has one class, photos: "],
    ),
    "parts inside the classes": (
        tuple(f"{name}/{part}.jpg" for name in ("cat", "dog") for part in ("train/1", "train/2", "test/1", "test/2")),
        ["photos/cat has the parts test, train inside a class", "photos/dog has the parts test, train inside a class"],
    ),
    "one image of a class": (
        ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"), ["photos/dog has one image: a class needs one to train and one to"],
    ),
}  # fmt: skip


class TestRefusal:
    @pytest.mark.parametrize(("files", "expected"), REFUSED.values(), ids=REFUSED)
    def test_layout_is_refused_with_the_right_one(self, tmp_path, files, expected):
        """Each wrong layout is refused with what is wrong and how to arrange the images."""
        touch(tmp_path / "photos", files)
        actual = faults(tmp_path / "photos")
        assert len(actual) >= len(expected)
        for fault, start in zip(actual, expected, strict=False):
            assert fault.startswith(start)

    def test_folder_in_itself_names_the_inner_one(self, tmp_path):
        """An archive that was unpacked into a folder of its own name is recognized."""
        touch(tmp_path / "photos/photos", SPLIT)
        assert any("or set folder to photos/photos" in fault for fault in faults(tmp_path / "photos"))

    def test_sizes_are_compared(self, photos):
        """A subset that is larger than its part is refused."""
        assert faults(photos, train_size=3, test_size=2) == [
            "photos has 2 train images, fewer than train_size, which is 3"
        ]

    def test_fraction_of_parts_is_refused(self, photos):
        """test_fraction has no effect on a folder with its own test images, so it is refused there."""
        assert faults(photos, test_fraction=0.5) == ["photos has its own parts train and test: leave test_fraction out"]

    def test_folder_without_permission_is_named(self, photos):
        """A class folder that cannot be listed is refused with the reason."""
        if os.geteuid() == 0:
            pytest.skip("root may list every folder")
        (photos / "train/cat").chmod(0)
        try:
            assert "photos/train/cat cannot be read: Permission denied" in faults(photos)
        finally:
            (photos / "train/cat").chmod(0o700)

    def test_very_long_name_is_no_folder(self, tmp_path):
        """A name that no file system accepts is refused like an absent folder."""
        assert faults(tmp_path / ("é" * 200))[0].endswith("is not a folder in the data directory (NORMLAB_DATA_DIR)")

    def test_link_to_itself_is_no_folder(self, tmp_path):
        """A folder that is a link to itself is refused like an absent folder."""
        (tmp_path / "photos").symlink_to("photos")
        assert faults(tmp_path / "photos") == ["photos is not a folder in the data directory (NORMLAB_DATA_DIR)"]


class TestOtherParts:
    def test_are_counted(self, photos):
        """A validation part is not read, and the listing says so."""
        touch(photos, ("val/cat/1.jpg",))
        listing = list_folder(photos.parent, "photos")
        assert (listing.faults, listing.ignored) == ((), {"val/": 1})


class TestLimit:
    def test_stops_the_listing(self, photos):
        """A caller that must answer soon lists no more entries than it allows."""
        with pytest.raises(TooManyFiles):
            list_folder(photos.parent, "photos", max_entries=5)
        assert len(list_folder(photos.parent, "photos", max_entries=50).classes) == 2


class TestHoldOut:
    def test_moves_at_most_one_image_for_a_new_one(self, tmp_path):
        """The split depends on names alone: one more image moves at most one other."""
        folder = tmp_path / "photos"
        touch(folder, [f"{name}/{number}.jpg" for name in ("cat", "dog") for number in range(20)])
        before = set(names(list_folder(tmp_path, "photos").test, folder))
        touch(folder, ("cat/new.jpg",))
        after = set(names(list_folder(tmp_path, "photos").test, folder))
        assert len(before) == 8
        assert len(before - after) <= 1


class TestPrintable:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [("é\n\x1b", "é\\n\\x1b"), ("bad\udcff", "bad\\udcff"), ("x" * 999, "x" * 199 + "…"), ("\u202ea", "\\u202ea")],
    )
    def test_can_be_stored_and_shown(self, text, shown):
        """Control characters and bytes that are not UTF-8 are escaped, and long texts are cut."""
        assert printable(text) == shown
