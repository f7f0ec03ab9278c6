"""Dropout's masks for the reference network, computed by numpy in 32-bit integers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlab.spec.experiment import ExperimentSpec
from normlab.spec.layer_shape import LayerShape

WORD = 2**32


def dropout_mask(spec: ExperimentSpec, index: int, shape: LayerShape, x: Tensor, calls: Tensor) -> Tensor:
    """Return the mask of the next batch after so many calls, of x's shape: 1/(1 − rate) for a kept value, else 0.

    The mask of an element is a hash of the experiment's seed, the layer's index, the number of the call and the
    element's index.
    """
    assert shape.rate is not None
    seed = (spec.seed << 8) + index
    key = _lowbias32(np.array([((int(calls) + 1) * 0x9E3779B1 + seed) % WORD], np.uint32))
    hashes = _lowbias32(np.arange(x.numel(), dtype=np.uint32) ^ key)
    kept = torch.from_numpy(hashes.astype(np.float64) >= round(shape.rate * WORD)).to(x.device)
    return kept.reshape(x.shape).to(x.dtype) / (1 - shape.rate)


def _lowbias32(words: Any) -> Any:
    """Return a hash of each 32-bit word. Source: C. Wellons, 2018, nullprogram.com/blog/2018/07/31."""
    words = words ^ (words >> np.uint32(16))
    words = words * np.uint32(0x7FEB352D)  # products of unsigned words keep their lower 32 bits
    words = words ^ (words >> np.uint32(15))
    words = words * np.uint32(0x846CA68B)
    return words ^ (words >> np.uint32(16))
