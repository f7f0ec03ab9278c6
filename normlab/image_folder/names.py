"""What the names of files and folders say: which are hidden, which are images, which are the same class."""

import unicodedata

READABLE = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff"}
    | {".webp"}
)
# Images that a user expects to be trained on. Any other file, such as a list of labels, is counted and left out.
UNREADABLE = frozenset(
    {".arw", ".avif", ".cr2", ".cr3", ".dng", ".eps", ".exr", ".hdr", ".heic", ".heif", ".hif", ".ico", ".j2k", ".jp2"}
    | {".jxl", ".nef", ".orf", ".pdf", ".psd", ".raf", ".raw", ".rw2", ".svg", ".svgz", ".xcf"}
    | {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}
)
# Folders and files that an operating system, an archive or an editor adds. A name that begins with a dot is hidden too.
HIDDEN = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
)
# A folder with such a name beside the classes is a part of the data, not a class.
PARTS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation", "dev"})


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is neither an image nor a class."""
    return name.startswith(".") or name.casefold() in HIDDEN


def is_part(name: str) -> bool:
    """Return whether a folder of this name is meant as a part of the data, such as `Validation`."""
    return name.casefold() in PARTS


def suffix_of(name: str) -> str:
    """Return the ending of a file name in lower case, such as .jpg, or "" if it has none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if stem and dot else ""


def class_name(name: str) -> str:
    """Return the class of a folder of this name.

    macOS writes é as two characters and Linux as one. Both are one class (Unicode's NFC). Case is kept: `a` and `A` may
    be two letters.
    """
    return unicodedata.normalize("NFC", name)
