"""Encoded data sets on disk: one file each, whole or not there, under a name made from all that shaped it."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.data.dataset import PADDING, Dataset, Examples

FORMAT = 1  # raise it whenever the same settings would give other arrays than before


def cache_path(cache_dir: Path, name: str, settings: dict[str, Any]) -> Path:
    """The file for ``settings`` (anything JSON can hold): another setting or FORMAT, another file."""
    described = json.dumps([FORMAT, settings], sort_keys=True)
    return cache_dir / f"{name}-{hashlib.sha256(described.encode()).hexdigest()[:32]}.npz"


def files_digest(folder: Path) -> str:
    """One hash of the names and contents of the files in ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()};".encode())
    return digest.hexdigest()


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Write ``dataset`` whole or not at all, without its padding; OSError where it cannot be written."""
    arrays = {"vocabulary": np.frombuffer("\n".join(dataset.vocabulary).encode(), np.uint8)}
    for split in ("train", "validation", "test"):
        examples: Examples = getattr(dataset, split)
        arrays[f"{split}_words"] = examples.inputs[_filled(examples.lengths, examples.inputs.shape[1])]
        arrays[f"{split}_width"] = np.asarray(examples.inputs.shape[1])
        arrays[f"{split}_lengths"] = examples.lengths
        arrays[f"{split}_labels"] = examples.labels
    save_arrays(path, arrays)


def load_dataset(path: Path) -> Dataset | None:
    """What ``save_dataset`` wrote, or None where there is no such file or it is damaged."""
    arrays = load_arrays(path)
    if arrays is None:
        return None
    return Dataset(
        train=_examples(arrays, "train"),
        validation=_examples(arrays, "validation"),
        test=_examples(arrays, "test"),
        vocabulary=tuple(arrays["vocabulary"].tobytes().decode().split("\n")),
    )


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write the numpy ``arrays`` whole or not at all, by name; OSError where they cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """What ``save_arrays`` wrote, or None where there is no such file or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception:  # a damaged file makes zipfile and numpy raise a dozen kinds
        return None


def _examples(arrays: Mapping[str, np.ndarray], split: str) -> Examples:
    lengths = arrays[f"{split}_lengths"]
    width = int(arrays[f"{split}_width"])
    tokens = np.full((len(lengths), width), PADDING, np.int32)
    tokens[_filled(lengths, width)] = arrays[f"{split}_words"]
    return Examples(inputs=tokens, lengths=lengths, labels=arrays[f"{split}_labels"])


def _filled(lengths: np.ndarray, width: int) -> np.ndarray:
    return np.arange(width) < lengths[:, None]
