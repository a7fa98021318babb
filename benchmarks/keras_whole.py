"""``python -m benchmarks.keras_whole``: the IMDB tutorial on the Keras backend named by KERAS_BACKEND.

It reads the reviews, trains for one epoch and tests, as a tutorial does. Started by ``benchmarks.whole``. The last line
it prints is a JSON object.
"""

import dataclasses
import json

import keras
import tyro

from benchmarks.cases import CellName
from benchmarks.epoch import BATCH, FEATURES, VOCABULARY, WORDS, pad_in_front
from benchmarks.keras_epoch import imdb_model
from rnnjax.data.tfds.imdb import imdb


@dataclasses.dataclass(frozen=True)
class KerasWhole:
    """Read, train for one epoch and test.

    Attributes:
        cell: the recurrent cell.
        reviews: how many of each part to read, to try it out; all if not given.
    """

    cell: CellName = "lstm"
    reviews: int | None = None


def main() -> None:
    """Train, and print the accuracy."""
    flags = tyro.cli(KerasWhole)
    data = imdb(
        data_dir=None, vocabulary_size=VOCABULARY, max_length=WORDS, keep="last", validation_fraction=0.1, seed=0
    )
    kept = slice(flags.reviews)
    x_train, x_test = (pad_in_front(part)[kept] for part in (data.train, data.test))
    keras.utils.set_random_seed(0)
    model = imdb_model(flags.cell, words=WORDS, vocabulary=VOCABULARY, features=FEATURES)
    model.fit(x_train, data.train.labels[kept], batch_size=BATCH, verbose=0)
    _, accuracy = model.evaluate(x_test, data.test.labels[kept], batch_size=4 * BATCH, verbose=0)
    print(json.dumps({"test_accuracy": float(accuracy)}))


if __name__ == "__main__":
    main()
