"""What many tests arrange: histograms, captures, metrics and records of random values, and two networks."""

import hashlib

import numpy as np

from normlab.store.histograms import Histogram
from normlab.store.records import Capture, Checkpoint, EpochMetrics, Record

SORTED_VALUES, KERNEL_BITS = 16_384, 10  # how normcore counts: tests/normcore/histograms compares them


def histogram_of(values):
    """The histogram of an array as it is stored, counted by numpy."""
    values = np.asarray(values, dtype=np.float32).ravel()
    finite = values[np.isfinite(values)]
    patterns, counts = np.unique(finite[finite != 0].view(np.uint32), return_counts=True)
    mantissa_bits = 23 if values.size <= SORTED_VALUES else KERNEL_BITS
    return Histogram.compact(
        patterns,
        counts,
        mantissa_bits,
        finite=finite.size,
        zeros=int((finite == 0).sum()),
        nans=int(np.isnan(values).sum()),
        positive_infinities=int(np.isposinf(values).sum()),
        negative_infinities=int(np.isneginf(values).sum()),
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
        **moments_of(finite),
    )


def moments_of(values):
    """The mean and the sum of the squared deviations from it, in two passes with more digits than float64's."""
    if not values.size:
        return {"mean": None, "squared_deviations": 0.0}
    values = values.astype(np.longdouble)
    mean = values.mean()
    deviations = values - mean
    squares = (deviations**2).sum() - deviations.sum() ** 2 / values.size
    return {"mean": float(mean), "squared_deviations": float(squares)}


MIXED = [  # a network of the layers that the study's network does not have
    {"kind": "convolution", "channels": 6, "bias": True}, {"kind": "relu"}, {"kind": "max_pool"},
    {"kind": "convolution", "channels": 12, "groups": 2}, {"kind": "average_pool", "size": 3},
    {"kind": "linear", "features": 20}, {"kind": "activation"}, {"kind": "dropout", "rate": 0.2},
    {"kind": "linear", "features": 10, "bias": False},
]  # fmt: skip

RESIDUAL = [  # two blocks of a small ResNet. The second halves the maps, and its shortcut is a convolution
    {"kind": "convolution", "channels": 8, "stride": 2}, {"kind": "normalization"}, {"kind": "activation"},
    {"kind": "convolution", "channels": 8}, {"kind": "normalization"}, {"kind": "activation"},
    {"kind": "convolution", "channels": 8}, {"kind": "normalization"}, {"kind": "add", "shortcut": 2},
    {"kind": "activation"},
    {"kind": "convolution", "channels": 12, "stride": 2}, {"kind": "normalization"}, {"kind": "activation"},
    {"kind": "convolution", "channels": 12}, {"kind": "normalization"},
    {"kind": "convolution", "channels": 12, "kernel_size": 1, "stride": 2, "input": 9}, {"kind": "normalization"},
    {"kind": "add", "shortcut": 14}, {"kind": "activation"},
    {"kind": "global_average_pool"}, {"kind": "linear", "features": 10},
]  # fmt: skip

rng = np.random.default_rng(11)


def capture_of(epoch, *, step=None, layers=range(1, 7), quantities=("weight_gradient",), zero_fraction=0.3):
    """A capture of random values in each layer. zero_fraction: of the values, about."""
    histograms = {}
    for layer in layers:
        for quantity in quantities:
            values = rng.normal(size=500) * 10.0**-layer
            histograms[layer, quantity] = histogram_of(np.where(rng.random(500) < zero_fraction, 0, values))
    return Capture(epoch, epoch + 1 if step is None else step, histograms)


def metrics_of(epoch, **changed):
    """The metrics of an epoch, better than those of the epoch before."""
    values = {
        "epoch": epoch, "train_loss": 2 / (epoch + 1), "train_accuracy": 1 - 0.9 / (epoch + 1),
        "test_loss": 2.2 / (epoch + 1), "test_accuracy": 1 - 0.95 / (epoch + 1),
        "train_seconds": 1.0, "test_seconds": 0.5, "images_per_second": 1000.0,
    }  # fmt: skip
    return EpochMetrics(**(values | changed))


def record_of(epoch, **options):
    """The record of a whole epoch."""
    content = f"state after {epoch}".encode()
    checkpoint = Checkpoint(epoch + 1, content, hashlib.sha256(content).hexdigest())
    return Record(metrics_of(epoch), (capture_of(epoch, **options),), checkpoint)
