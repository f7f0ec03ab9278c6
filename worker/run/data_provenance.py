"""The provenance of the data: classes, counts and a hash of the images and labels as they are trained on."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from normlab.image_folder import printable
from worker.datasets import ImageData, Split
from worker.datasets.splits import CHUNK
from worker.errors import InvalidExperiment

MAX_CLASSES = 1000  # that are listed


OTHER_DATA = "restore them, or retry with from_start=true"


def require_same_data(data: Mapping[str, Any], began_with: Mapping[str, Any] | None) -> None:
    """Raise InvalidExperiment if a training began with other images or labels than these.

    data: as `describe` returns it. began_with: what the training began with; its data are unknown if an older release
    stored it.
    """
    if (began_with or {}).get("data_sha256", data["sha256"]) != data["sha256"]:
        raise InvalidExperiment(
            f"the images or labels are not those that the training began with (their SHA-256 differs): {OTHER_DATA}"
        )


def describe(data: ImageData) -> dict[str, Any]:
    """Return the fields of DataResponse in normlab.spec.provenance, as JSON values."""
    names = data.names or [str(label) for label in range(data.classes)]
    counts = [torch.bincount(split.labels, minlength=data.classes).tolist() for split in (data.train, data.test)]
    return {
        "classes": data.classes,
        "train": len(data.train.labels),
        "test": len(data.test.labels),
        "by_class": [
            {"name": printable(name), "train": train, "test": test}
            for name, train, test in list(zip(names, *counts, strict=True))[:MAX_CLASSES]
        ],
        "sha256": data_sha256(data),
        "image_size": data.train.images.shape[-1],
        "resize": "bilinear, antialiased",
        "crop": None if data.folder is None else "the middle square",
        "folder": None if data.folder is None else asdict(data.folder),
    }


def data_sha256(data: ImageData) -> str:
    """Return the SHA-256, in hex, of the training images and labels, then of the test images and labels.

    Images are hashed as uint8 in the order N C H W, labels as little-endian int64.
    """
    digest = hashlib.sha256()
    for split in (data.train, data.test):
        _update(digest, split)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", split: Split) -> None:
    for images in torch.split(split.images, CHUNK):  # in parts, because the channels of grey images share their memory
        digest.update(images.contiguous().numpy().data)
    digest.update(split.labels.numpy().astype("<i8").tobytes())
