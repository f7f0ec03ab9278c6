"""The image files below folders, each reached once. Links are followed inside the data directory, and never twice."""

import os
from collections import Counter
from pathlib import Path

from normlab.image_folder.faults import Fault, printable
from normlab.image_folder.names import READABLE, UNREADABLE, is_hidden, suffix_of


class TooManyFiles(Exception):
    """There are more files than the caller wants to list."""


class Walk:
    """One walk through the folders of a data set.

    Args:
        data_dir: The data directory, which no link may leave.
        max_entries: How many files and folders to list before TooManyFiles is raised. None: all.

    faults: what is wrong so far. ignored: how many files of other types there are, by the ending of their names.
    """

    def __init__(self, data_dir: Path, max_entries: int | None = None) -> None:
        self._data_dir, self._root, self._max_entries = data_dir, os.path.realpath(data_dir), max_entries
        self._folders: dict[str, Path] = {}  # each folder that was entered, by its real path
        self._files: dict[str, Path] = {}  # each image, by its real path
        self._unreadable: dict[str, Fault] = {}  # by ending
        self._entries = 0
        self._faults: list[Fault] = []
        self.ignored: Counter[str] = Counter()

    @property
    def faults(self) -> list[Fault]:
        """All faults so far. Images of a type that cannot be read are one fault per type."""
        return [*self._faults, *self._unreadable.values()]

    def add_fault(self, path: Path, reason: str, *, can_skip: bool = False) -> None:
        """Add a fault of a file or folder below the data directory."""
        self._faults.append(Fault(self.shown(path), reason, can_skip=can_skip))

    def shown(self, path: Path) -> str:
        """Return a path as messages show it: relative to the data directory."""
        return path.relative_to(self._data_dir).as_posix()

    def enter(self, folder: Path) -> bool:
        """Return whether a folder can be used: it is inside the data directory, and this is the first visit to it."""
        return self._is_first_visit(folder, os.path.realpath(folder), self._folders, "folder")

    def entries(self, folder: Path) -> "tuple[list[Path], list[os.DirEntry[str]]]":
        """Return the folders and the files in a folder, sorted by name, without the hidden ones."""
        folders: list[os.DirEntry[str]] = []
        files: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as scanned:
                for entry in scanned:
                    self._count_entry()
                    if not is_hidden(entry.name):
                        (folders if _is_folder(entry) else files).append(entry)
        except OSError as error:
            self.add_fault(folder, f"cannot be read: {error.strerror}")
        return sorted(Path(each.path) for each in folders), sorted(files, key=lambda entry: entry.name)

    def images(self, folder: Path) -> list[Path]:
        """Return the images in a folder that was entered, and in the folders below it."""
        images, waiting = [], [folder]
        while waiting:
            current = waiting.pop()
            folders, files = self.entries(current)
            real = os.path.realpath(current)
            images += [Path(file.path) for file in files if self._is_image(file, real)]
            waiting += [each for each in folders if self.enter(each)]
        return images

    def ignore(self, files: "list[os.DirEntry[str]]") -> None:
        """Count files that belong to no class."""
        self.ignored.update(suffix_of(file.name) for file in files)

    def _is_image(self, file: "os.DirEntry[str]", real_folder: str) -> bool:
        suffix, path = suffix_of(file.name), Path(file.path)
        if suffix in UNREADABLE:
            self._count_unreadable(path, suffix)
        elif suffix not in READABLE:
            self.ignored[suffix] += 1
        elif not _is_file(file):
            self.add_fault(path, "is a broken link" if file.is_symlink() else "is not a regular file", can_skip=True)
        else:
            real = os.path.realpath(path) if file.is_symlink() else f"{real_folder}/{file.name}"
            return self._is_first_visit(path, real, self._files, "file")
        return False

    def _is_first_visit(self, path: Path, real: str, visited: dict[str, Path], kind: str) -> bool:
        if not _is_inside(real, self._root):
            self.add_fault(path, f"is a link to a {kind} outside the data directory: copy the {kind} instead")
        elif real in visited:
            same = printable(self.shown(visited[real]))
            self.add_fault(path, f"is the same {kind} as {same}, and would count twice: remove the link")
        else:
            visited[real] = path
            return True
        return False

    def _count_unreadable(self, file: Path, suffix: str) -> None:
        first = self._unreadable.get(suffix)
        files = 1 if first is None else first.files + 1
        kind = f"is one of {files:,} {suffix} files" if files > 1 else f"is a {suffix} file"
        path = self.shown(file) if first is None else first.path
        reason = f"{kind}, a type that cannot be read: convert to JPEG or PNG"
        self._unreadable[suffix] = Fault(path, reason, files=files, can_skip=True)

    def _count_entry(self) -> None:
        self._entries += 1
        if self._max_entries is not None and self._entries > self._max_entries:
            raise TooManyFiles


def is_folder(path: Path) -> bool:
    """Return whether there is a folder at this path. A path that the system refuses, such as a long one, is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def subfolders(path: Path) -> list[Path]:
    """Return the folders in this one; none if it cannot be read."""
    try:
        return [each for each in path.iterdir() if is_folder(each)]
    except OSError:
        return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; as a file it is a broken link
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a regular file. A pipe or a device would be read without end."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_inside(real: str, root: str) -> bool:
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)
