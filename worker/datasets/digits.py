"""Hand-written digits: 1,797 grey images of 8×8 in ten classes. They are part of this package and need no network.

digits.npz holds the test set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, 1998, https://doi.org/10.24432/C50P49, as returned by scikit-learn's load_digits. Its values are
0 … 16, in UCI's order, unchanged. Licence: CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/).
"""

from pathlib import Path

import numpy as np
import torch

from worker.datasets.splits import ImageData, Request, make_split

CLASSES = 10
WHITE = 16  # the largest value in the file


def load(request: Request) -> ImageData:
    """Return both splits. Every fifth image is a test image: 1,438 training and 359 test images."""
    with np.load(Path(__file__).with_name("digits.npz")) as arrays:
        pixels, labels = arrays["images"], torch.from_numpy(arrays["labels"])
    images = torch.from_numpy(np.rint(pixels * (255 / WHITE)).astype(np.uint8)).unsqueeze(1)
    test = torch.arange(len(labels)) % 5 == 4
    return ImageData(
        train=make_split(images[~test], labels[~test], request.train_size, request.image_size),
        test=make_split(images[test], labels[test], request.test_size, request.image_size),
        classes=CLASSES,
    )
