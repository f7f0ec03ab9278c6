"""How many images and steps a training has, from the fields of its spec."""

import math
from collections.abc import Mapping
from typing import Any

from normlab.spec.datasets import DATASETS


def training_images(spec: Mapping[str, Any]) -> int | None:
    """Return the number of training images, or None if a field is missing or only the files can tell."""
    if not {"dataset", "train_size"} <= spec.keys():
        return None
    given: int | None = spec["train_size"]
    return given or DATASETS[spec["dataset"]].train


def training_steps(spec: Mapping[str, Any]) -> int | None:
    """Return the number of training steps, or None if a field is missing or only the files can tell."""
    images = training_images(spec)
    if images is None or not {"epochs", "batch_size"} <= spec.keys():
        return None
    epochs: int = spec["epochs"]
    batch_size: int = spec["batch_size"]
    return epochs * math.ceil(images / batch_size)
