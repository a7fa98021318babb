"""``python -m benchmarks.keras_epoch``: one epoch of ``fit`` of the IMDB model, on the backend named by KERAS_BACKEND.

Started by ``benchmarks.epoch``. The last line it prints is a JSON object.
"""

import dataclasses
import json
import time
from typing import Any

import keras
import numpy as np
import tyro

from benchmarks.cases import CellName
from benchmarks.peers.keras import CELLS


@dataclasses.dataclass(frozen=True)
class KerasEpoch:
    """Train for one epoch and test.

    Attributes:
        arrays: .npz file with x_train, y_train, x_test, y_test; word ids, zeros before the first word.
        cell: the recurrent cell.
        features: number of units, and size of a word vector.
        vocabulary: number of words.
        batch: reviews in a batch.
    """

    arrays: str
    cell: CellName
    features: int = 128
    vocabulary: int = 20000
    batch: int = 32


def main() -> None:
    """Train, and print seconds and accuracy."""
    flags = tyro.cli(KerasEpoch)
    with np.load(flags.arrays) as file:
        x_train, y_train, x_test, y_test = (file[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    keras.utils.set_random_seed(0)
    model = imdb_model(flags.cell, words=x_train.shape[1], vocabulary=flags.vocabulary, features=flags.features)
    begin = time.perf_counter()
    model.fit(x_train[: 2 * flags.batch], y_train[: 2 * flags.batch], batch_size=flags.batch, verbose=0)
    compiled = time.perf_counter()  # includes two training steps
    model.fit(x_train, y_train, batch_size=flags.batch, verbose=0)
    trained = time.perf_counter()
    _, accuracy = model.evaluate(x_test, y_test, batch_size=4 * flags.batch, verbose=0)
    result = {"compile_seconds": compiled - begin, "seconds": trained - compiled, "test_accuracy": float(accuracy)}
    print(json.dumps(result))


def imdb_model(cell: CellName, *, words: int, vocabulary: int, features: int) -> Any:
    """Word vectors, one recurrent layer and a dense layer for reviews of ``words`` words, compiled with Adam."""
    layers: list[Any] = [
        keras.Input((words,), dtype="int32"),
        keras.layers.Embedding(vocabulary, features),
        CELLS[cell](features),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


if __name__ == "__main__":
    main()
