"""What several tests arrange: histograms of numpy values, captures of random layers."""

import numpy as np

from service.experiments.histograms import SHIFT, Histogram


def histogram_of(values):
    """The histogram of an array, counted by numpy: the slow and obvious way."""
    values = np.asarray(values, dtype=np.float32).ravel()
    finite = values[np.isfinite(values)]
    codes, counts = np.unique((finite[finite != 0].view(np.uint32) >> SHIFT).astype(np.uint16), return_counts=True)
    exact = finite.astype(np.float64)
    return Histogram(
        codes=codes,
        counts=counts.astype(np.int64),
        zeros=int((finite == 0).sum()),
        nans=int(np.isnan(values).sum()),
        positive_infinities=int(np.isposinf(values).sum()),
        negative_infinities=int(np.isneginf(values).sum()),
        minimum=float(finite.min()) if finite.size else None,
        maximum=float(finite.max()) if finite.size else None,
        total=float(exact.sum()),
        total_of_squares=float((exact**2).sum()),
    )
