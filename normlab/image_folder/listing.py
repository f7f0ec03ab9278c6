"""The listing of an image folder: its classes, the images of each part, and everything that its names show to be wrong.

There are two layouts: folder/train/CLASS/IMAGE and folder/test/CLASS/IMAGE, or folder/CLASS/IMAGE, of which a part is
held out for the test.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from normlab.image_folder.faults import Fault, names_text
from normlab.image_folder.hold_out import hold_out
from normlab.image_folder.names import class_name, is_part
from normlab.image_folder.walk import Walk, is_folder, subfolders

DEFAULT_TEST_FRACTION = 0.2
LAYOUT = "put the images of each class into a folder, such as {0}/cat/1.jpg and {0}/dog/1.jpg"
PARTED = "{0}/train/cat/1.jpg and {0}/test/cat/1.jpg"

_ByClass = dict[str, list[Path]]  # images, or folders, by the name of their class


@dataclass(frozen=True)
class Images:
    """The images of one part, sorted by class, then by path. labels: the class of each, an index in the classes."""

    paths: tuple[Path, ...] = ()
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What the names in a folder say.

    classes: their names, sorted, in Unicode's NFC. held_out: the fraction of the images that was held out for the test;
    None if the folder has a part `test`. faults: what is wrong. ignored: how many files are no images of a class, by
    the ending of their names; unused parts, such as `val/`, are in it too.
    """

    classes: tuple[str, ...]
    train: Images
    test: Images
    held_out: float | None
    faults: tuple[Fault, ...]
    ignored: Mapping[str, int]


def list_folder(
    data_dir: Path,
    folder: str,
    *,
    test_fraction: float | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    max_entries: int | None = None,
) -> Listing:
    """Return the listing of a folder in the data directory. No image is opened.

    test_fraction: of the images to hold out, if there is no part `test`; None: 0.2. train_size, test_size: how many
    images are needed of each part. max_entries: how many files and folders to list.

    Raises: ValueError if the folder is outside the data directory; TooManyFiles if there are more than max_entries.
    """
    path = data_dir / folder
    # Not Path.resolve, which raises RuntimeError for a link to itself.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(data_dir)):
        raise ValueError(f"the folder {folder!r} is outside the data directory (NORMLAB_DATA_DIR): name one inside it")
    listing = _Lister(Walk(data_dir, max_entries), path, test_fraction).listing()
    return replace(listing, faults=(*listing.faults, *_size_faults(listing, folder, train_size, test_size)))


class _Lister:
    """The steps of one listing."""

    def __init__(self, walk: Walk, folder: Path, test_fraction: float | None) -> None:
        self._walk, self._folder, self._test_fraction = walk, folder, test_fraction
        self._shown = walk.shown(folder)

    def listing(self) -> Listing:
        train: _ByClass = {}
        test: _ByClass = {}
        held_out = None
        if not is_folder(self._folder):
            self._walk.add_fault(self._folder, "is not a folder in the data directory (NORMLAB_DATA_DIR)")
        elif self._walk.enter(self._folder):
            folders, files = self._walk.entries(self._folder)
            self._walk.ignore(files)
            if {"train", "test"} & {each.name for each in folders}:
                train, test = self._list_parts(folders)
            else:
                held_out = DEFAULT_TEST_FRACTION if self._test_fraction is None else self._test_fraction
                train, test = self._list_classes(folders, held_out)
        classes = tuple(sorted(train.keys() | test.keys()))
        return Listing(
            classes, _numbered(train, classes), _numbered(test, classes), held_out, tuple(self._walk.faults),
            dict(self._walk.ignored),
        )  # fmt: skip

    def _list_parts(self, folders: Sequence[Path]) -> tuple[_ByClass, _ByClass]:
        """Return the images of the parts `train` and `test`, which must have the same classes."""
        parts = {each.name: each for each in folders}
        if self._test_fraction is not None:
            self._fault("has its own parts train and test: leave test_fraction out")
        for missing in sorted({"train", "test"} - parts.keys()):
            self._fault(f"has no part {missing}: add it, as in {PARTED.format(self._shown)}")
        others = parts.keys() - {"train", "test"}
        if classes := {name for name in others if not is_part(name)}:
            self._fault(f"has folders beside train and test that are no parts, {names_text(classes)}: move them")
        self._walk.ignored.update(f"{name}/" for name in others - classes)
        # The folders of all classes are entered before any is walked through, so that a link to one is called the link.
        grouped = [self._enter_part(parts.get(name)) for name in ("train", "test")]
        train, test = (self._walk_classes(group) for group in grouped)
        if all(grouped):
            self._compare(set(train), set(test))
        return train, test

    def _list_classes(self, folders: Sequence[Path], fraction: float) -> tuple[_ByClass, _ByClass]:
        """Return the images of the classes, of which a fraction is held out for the test."""
        for part in folders:
            if is_part(part.name):
                layout = PARTED.format(self._shown)
                self._walk.add_fault(part, f"has the name of a part, not of a class: name them as in {layout}")
            elif len(folders) > 1 and (nested := sorted(each.name for each in subfolders(part) if is_part(each.name))):
                layout = PARTED.format(self._shown)
                self._walk.add_fault(
                    part, f"has the parts {names_text(nested)} inside a class: name them as in {layout}"
                )
        self._require_two(folders, self._folder)
        train: _ByClass = {}
        test: _ByClass = {}
        for name, images in self._walk_classes(self._enter_classes(folders)).items():
            if len(images) == 1:
                self._walk.add_fault(images[0].parent, "has one image: a class needs one to train and one to test")
            train[name], test[name] = hold_out(images, self._folder, fraction) if len(images) > 1 else (images, [])
        return train, test

    def _enter_part(self, part: Path | None) -> _ByClass:
        """Return the folders of each class in a part."""
        if part is None or not self._walk.enter(part):
            return {}
        folders, files = self._walk.entries(part)
        self._walk.ignore(files)
        self._require_two(folders, part)
        return self._enter_classes(folders)

    def _enter_classes(self, folders: Sequence[Path]) -> _ByClass:
        grouped: _ByClass = {}
        for each in folders:
            if self._walk.enter(each):
                grouped.setdefault(class_name(each.name), []).append(each)
        return grouped

    def _walk_classes(self, grouped: Mapping[str, Sequence[Path]]) -> _ByClass:
        by_class: _ByClass = {}
        for name, folders in grouped.items():
            by_class[name] = sorted((image for each in folders for image in self._walk.images(each)), key=str)
            if not by_class[name]:
                self._walk.add_fault(folders[0], "has no image that can be read")
        return by_class

    def _require_two(self, folders: Sequence[Path], part: Path) -> None:
        number = len({class_name(each.name) for each in folders})
        if number < 2:
            has = "has no class" if number == 0 else f"has one class, {names_text(each.name for each in folders)}"
            nested = [each for each in folders if is_folder(each / "train") or is_folder(each / "test")]
            hint = f"; or set folder to {self._walk.shown(nested[0])}" if nested else ""
            self._walk.add_fault(part, f"{has}: {LAYOUT.format(self._walk.shown(part))}{hint}")

    def _compare(self, train: set[str], test: set[str]) -> None:
        only = [(part, names) for part, names in (("train", train - test), ("test", test - train)) if names]
        if only:
            listed = "; ".join(f"only {part} has {names_text(names)}" for part, names in only)
            folded = {name.casefold() for name in train - test} & {name.casefold() for name in test - train}
            hint = f" (names that differ in case: {names_text(folded)})" if folded else ""
            self._fault(f"must have the same classes in train and test, but {listed}{hint}")

    def _fault(self, reason: str) -> None:
        self._walk.add_fault(self._folder, reason)


def _numbered(by_class: _ByClass, classes: Sequence[str]) -> Images:
    pairs = [(path, label) for label, name in enumerate(classes) for path in by_class.get(name, ())]
    return Images(tuple(path for path, _ in pairs), tuple(label for _, label in pairs))


def _size_faults(listing: Listing, folder: str, train_size: int | None, test_size: int | None) -> list[Fault]:
    return [
        Fault(folder, f"has {len(images.paths):,} {part} images, fewer than {part}_size, which is {size:,}")
        for part, images, size in (("train", listing.train, train_size), ("test", listing.test, test_size))
        if size is not None and size > len(images.paths) > 0
    ]
