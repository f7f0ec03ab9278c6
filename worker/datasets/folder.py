"""The user's own images: data_dir/folder/{train,test}/class/image.png, or data_dir/folder/class/image.png.

normlab.image_folder lists the files, read_image reads each. Everything that is wrong is reported in one message.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normlab.image_folder import Fault, Images, Listing, faults_message, faults_text, list_folder, printable
from worker.datasets.downloads import DatasetUnavailable
from worker.datasets.quiet_pillow import quiet_pillow
from worker.datasets.read_image import UnreadableImage, read_image
from worker.datasets.splits import FolderDetails, ImageData, Request, Split, in_fixed_order
from worker.errors import InvalidExperiment

log = logging.getLogger(__name__)

MAX_PATHS = 20  # of skipped files that the provenance lists


def load(request: Request) -> ImageData:
    """Return both splits. Only the chosen images are opened.

    The classes are the names of the folders, numbered in the order of their code points.

    Raises: InvalidExperiment if no folder is named or it is outside data_dir; DatasetUnavailable with everything that
    is wrong with the folder. With skip_damaged, files that cannot be read are left out, and others take their turn.
    """
    if not request.folder:
        raise InvalidExperiment("the data set 'folder' needs the field folder: a path relative to the data directory")
    try:
        listing = list_folder(
            request.data_dir, request.folder, test_fraction=request.test_fraction, train_size=request.train_size,
            test_size=request.test_size,
        )  # fmt: skip
    except ValueError as error:
        raise InvalidExperiment(str(error)) from None
    faults = list(listing.faults)
    with quiet_pillow():
        train = _Reader(request, listing.classes, faults).read(listing.train, request.train_size, "train")
        test = _Reader(request, listing.classes, faults).read(listing.test, request.test_size, "test")
    skipped = [fault for fault in faults if fault.can_skip] if request.skip_damaged else []
    if len(faults) > len(skipped):
        raise DatasetUnavailable(faults_message(request.folder, faults))
    details = _details(request, listing, skipped)
    _log_left_out(request.folder, details.ignored, skipped)
    return ImageData(train, test, len(listing.classes), listing.classes, details)


class _Reader:
    """The reading of one split. It appends to faults what is wrong."""

    def __init__(self, request: Request, classes: Sequence[str], faults: list[Fault]) -> None:
        self._request, self._classes, self._faults = request, classes, faults

    def read(self, files: Images, size: int | None, part: str) -> Split:
        """Return the images of a split, in the order of the files. size: how many, None for all."""
        labels = np.asarray(files.labels, dtype=np.int64)
        order = in_fixed_order(labels).tolist()
        wanted = len(order) if size is None else min(size, len(order))
        spare = order[wanted:][::-1] if self._request.skip_damaged else []
        images = torch.empty(wanted, 3, self._request.image_size, self._request.image_size, dtype=torch.uint8)
        kept: list[int] = []
        for chosen in sorted(order[:wanted]):
            index: int | None = chosen
            while index is not None and not self._read_into(images[len(kept)], files.paths[index]):
                index = spare.pop() if spare else None
            if index is not None:
                kept.append(index)
        if self._request.skip_damaged:
            self._check_kept(labels[kept], labels[order[:wanted]], size, part)
        return Split(*_in_file_order(images[: len(kept)], labels, kept))

    def _read_into(self, out: Tensor, path: Path) -> bool:
        try:
            out.copy_(read_image(path, self._request.image_size, self._request.background))
        except UnreadableImage as unreadable:
            shown = path.relative_to(self._request.data_dir).as_posix()
            self._faults.append(Fault(shown, str(unreadable), can_skip=True))
            return False
        return True

    def _check_kept(self, kept: np.ndarray, wanted: np.ndarray, size: int | None, part: str) -> None:
        """Add a fault if the images that can be read are too few, or none of a class."""
        folder = str(self._request.folder)
        if size is not None and len(kept) < len(wanted):
            self._faults.append(
                Fault(folder, f"has {len(kept):,} {part} images that can be read, {part}_size is {size:,}")
            )
        for label in np.setdiff1d(wanted, kept):
            self._faults.append(Fault(folder, f"has no {part} image of {self._classes[label]} that can be read"))


def _in_file_order(images: Tensor, labels: np.ndarray, kept: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return images and labels sorted by index. They are unsorted only if an image took the turn of a damaged one."""
    order = np.argsort(kept, kind="stable") if len(kept) else np.empty(0, dtype=np.int64)
    in_order = bool((order == np.arange(len(order))).all())
    sorted_labels = torch.from_numpy(labels[np.asarray(kept, dtype=np.int64)[order]])
    return images if in_order else images[torch.from_numpy(order)], sorted_labels


def _details(request: Request, listing: Listing, skipped: Sequence[Fault]) -> FolderDetails:
    most_common = Counter(listing.ignored).most_common(MAX_PATHS)
    return FolderDetails(
        background=request.background,
        held_out=listing.held_out,
        skipped=sum(fault.files for fault in skipped),
        first_skipped=tuple(printable(fault.path) for fault in skipped[:MAX_PATHS]),
        ignored={printable(name): count for name, count in most_common},
    )


def _log_left_out(folder: str, ignored: Mapping[str, int], skipped: Sequence[Fault]) -> None:
    if ignored:
        counts = ", ".join(f"{count:,} {name or 'without an ending'}" for name, count in ignored.items())
        log.warning("folder %s: files that are no images of a class are left out: %s", printable(folder), counts)
    if skipped:
        files = sum(fault.files for fault in skipped)
        log.warning("folder %s: skip_damaged leaves out %d files: %s", printable(folder), files, faults_text(skipped))
