"""A cache of encoded data sets: one .npz file each, written atomically and named by a hash of the settings."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rnnjax.data.dataset import PADDING, Dataset, Examples
from rnnjax.data.npz import read_npz
from rnnjax.regular_files import open_regular
from rnnjax.typing import JSONObject

FORMAT = 1  # increase it when equal settings no longer give equal arrays


def cache_path(cache_dir: Path, name: str, settings: JSONObject) -> Path:
    """The file for ``settings``, a different one for different settings or another FORMAT."""
    key = json.dumps([FORMAT, settings], sort_keys=True)
    return cache_dir / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"


def files_digest(folder: Path) -> str:
    """SHA-256 digest of the names and contents of the files in ``folder``; OSError where one is no regular file."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with open_regular(path, sys.maxsize, follow_links=True) as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Write ``dataset`` atomically, without padding; OSError if that fails."""
    arrays = {"vocabulary": np.frombuffer("\n".join(dataset.vocabulary).encode(), np.uint8)}
    for split in ("train", "validation", "test"):
        examples: Examples = getattr(dataset, split)
        arrays[f"{split}_words"] = examples.inputs[_valid_steps(examples.lengths, examples.inputs.shape[1])]
        arrays[f"{split}_width"] = np.asarray(examples.inputs.shape[1])
        arrays[f"{split}_lengths"] = examples.lengths
        arrays[f"{split}_labels"] = examples.labels
    save_arrays(path, arrays)


def load_dataset(path: Path) -> Dataset | None:
    """The data set that ``save_dataset`` wrote; None if the file does not exist or is damaged."""
    arrays = load_arrays(path)
    if arrays is None:
        return None
    return Dataset(
        train=_examples(arrays, "train"),
        validation=_examples(arrays, "validation"),
        test=_examples(arrays, "test"),
        vocabulary=tuple(arrays["vocabulary"].tobytes().decode().split("\n")),
    )


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays atomically; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # mypy takes any name for allow_pickle
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays that ``save_arrays`` wrote; None if the file does not exist or is damaged."""
    try:
        return read_npz(path)
    except Exception:  # damaged files raise many types of exceptions in zipfile and numpy
        return None


def _examples(arrays: Mapping[str, np.ndarray], split: str) -> Examples:
    lengths = arrays[f"{split}_lengths"]
    width = int(arrays[f"{split}_width"])
    tokens = np.full((len(lengths), width), PADDING, np.int32)
    tokens[_valid_steps(lengths, width)] = arrays[f"{split}_words"]
    return Examples(inputs=tokens, lengths=lengths, labels=arrays[f"{split}_labels"])


def _valid_steps(lengths: np.ndarray, width: int) -> np.ndarray:
    return np.arange(width) < lengths[:, None]
