"""Small data sets in the file layouts of the real ones, and an image that shows any flip, rotation or swap."""

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

STL10_FOLDER, CIFAR10_FOLDER = "stl10_binary", "cifar-10-batches-py"


def compass(size, channels=3):
    """Return an image, C H W uint8, that every flip or rotation changes: red, green and blue in three corners."""
    image = np.zeros((3, size, size), dtype=np.uint8)
    half = size // 2
    image[0, :half, :half], image[1, :half, half:], image[2, half:, :half] = 250, 150, 50
    return image if channels == 3 else image.sum(0, dtype=np.uint8)[None]


def compasses(count, size, channels=3):
    """Return `count` such images, N C H W, each a little brighter than the one before."""
    return compass(size, channels)[None] + np.arange(count, dtype=np.uint8)[:, None, None, None] % 5


def write_stl10(data_dir, train_labels, test_labels):
    """Write the files of STL-10's archive: columns first, labels from 1. Return the images, N 3 96 96, by split."""
    folder = data_dir / STL10_FOLDER
    folder.mkdir(parents=True)
    written = {}
    for split, labels in (("train", train_labels), ("test", test_labels)):
        written[split] = compasses(len(labels), 96)
        (folder / f"{split}_X.bin").write_bytes(written[split].transpose(0, 1, 3, 2).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(labels))
    (folder / "class_names.txt").write_text("airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n")
    return written


def write_idx(path, values):
    """Write an IDX file of uint8, gzipped if the name ends in .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion_mnist(folder, train_labels, test_labels, suffix=".gz"):
    """Write the four files. Return the images, N 28 28, by split."""
    written = {}
    for split, labels in (("train", train_labels), ("t10k", test_labels)):
        written[split] = compasses(len(labels), 28, channels=1)[:, 0]
        write_idx(folder / f"{split}-images-idx3-ubyte{suffix}", written[split])
        write_idx(folder / f"{split}-labels-idx1-ubyte{suffix}", np.array(labels))
    return written


def write_cifar10(data_dir, labels_by_batch):
    """Write CIFAR-10's batches, each a pickle of rows of 3,072 bytes. Return the images, N 3 32 32, by batch."""
    folder = data_dir / CIFAR10_FOLDER
    folder.mkdir(parents=True)
    written = {}
    for name, labels in labels_by_batch.items():
        written[name] = compasses(len(labels), 32)
        batch = {"data": written[name].reshape(len(labels), -1), "labels": list(labels)}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {label}" for label in range(10)]}))
    return written


def write_image(path, image):
    """Write an image, 3 H W uint8, in the format of the file name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.transpose(1, 2, 0)).save(path)


def md5_of(path):
    return hashlib.md5(Path(path).read_bytes(), usedforsecurity=False).hexdigest()
