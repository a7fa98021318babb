"""The four files of MNIST, with random images whose first pixel is their index."""

import gzip
import struct

import numpy as np

from rnnjax.data.tfds.idx import FILES

TRAIN, TEST = 20, 6
NAMES = [name for names in FILES.values() for name in names]


def idx(array):
    """The bytes of a gzipped idx file, written after the description of the format."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)  # else the bytes change with the second


def make_files(folder):
    """Write the files into ``folder``; returns the images and labels of each split."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        images = np.random.default_rng(count).integers(256, size=(count, 28, 28)).astype(np.uint8)
        images[:, 0, 0] = np.arange(count)
        made[split] = images, np.arange(count) % 10
        for name, array in zip(FILES[split], made[split], strict=True):
            (folder / name).write_bytes(idx(array))
    return made
