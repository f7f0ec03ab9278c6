"""The images of a spec, as the training process loads them."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from normlab.spec.experiment import ExperimentSpec
from worker import datasets
from worker.datasets import ImageData


def load_data(spec: ExperimentSpec, data_dir: Path) -> ImageData:
    """Return the images of a spec. Those of the last data set are kept in memory, unless it is a folder."""
    common: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": spec.image_size,
        "train_size": spec.train_size,
        "test_size": spec.test_size,
    }
    if spec.dataset != "folder":
        return _load_cached(spec.dataset, **common)
    return datasets.load(  # not cached: the images may have changed
        "folder", folder=spec.folder, background=spec.background, skip_damaged=spec.skip_damaged,
        test_fraction=spec.test_fraction, **common,
    )  # fmt: skip


_load_cached = lru_cache(maxsize=1)(datasets.load)  # because consecutive experiments often use the same images
