"""Predictions of a run for the texts or series of a file, as a table with a row for each example and cell."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.registry import experiment_from_config
from experiments.tasks.text import Text
from rnnjax.data.files.file_reader import UTF8, suffix_of
from rnnjax.data.files.series_reader import read_series
from rnnjax.data.files.text_classification import MOSTLY_UNKNOWN
from rnnjax.data.files.text_reader import TextFormat, read_rows
from rnnjax.errors import UserError
from rnnjax.formatting import plural
from rnnjax.prediction import Prediction, TrainedRun, load
from rnnjax.report.tables.export import Value, records_as_csv
from rnnjax.runs.json_io import write_bytes
from rnnjax.runs.reader import read_config
from rnnjax.runtime.console import printable
from rnnjax.typing import JSONObject

SUFFIXES = (".csv", ".jsonl")
DIGITS = 6  # significant digits of a number in the file


def write_predictions(run: Path, file: Path, out: Path, form: TextFormat) -> Iterator[str]:
    """Predict the examples of ``file`` with all trained cells of ``run``, and write them to ``out``.

    Args:
        run: run folder of texts or series.
        file: file or folder of texts, or .npz file of series.
        out: .csv or .jsonl file, which does not exist. Its fields: where the example stands (line, file or example,
            counted from 0), cell, seeds, label, probability and spread of the label, and the probability of each class;
            or value and spread. Means over the seeds; spread is their standard deviation, empty for one seed.
        form: where texts stand in ``file``; without columns, those of the training.

    Yields:
        Lines for the user.

    Raises:
        UserError: a file cannot be read or written, or ``out`` exists.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"'{out}' must end in {' or '.join(SUFFIXES)}; name such a file with --out.")
    if out.exists():
        raise UserError(f"'{out}' exists; name another file with --out, or remove it.")
    trained = load(run)
    _check_form(trained.reads_texts, file, form)
    notes: list[str] = []
    if trained.reads_texts:
        places, predictions = _of_texts(trained, file, form, notes)
    else:
        places, predictions = _of_series(trained, file)
    yield from notes
    records = [place | _record(prediction, i) for i, place in enumerate(places) for prediction in predictions]
    content = records_as_csv(list(map(_flat, records))) if out.suffix.lower() == ".csv" else _json_lines(records)
    try:
        write_bytes(out, content.encode())
    except OSError as error:
        raise UserError(
            f"The predictions cannot be written to '{out}' ({error.strerror or error}); name another file with --out."
        ) from None
    cells = f"{len(predictions)} {'cell' if len(predictions) == 1 else plural('cell')}"
    yield f"{len(places):,} examples, {cells}: {out.resolve()}"


def _check_form(reads_texts: bool, file: Path, form: TextFormat) -> None:
    """Raise UserError for a flag that has no meaning for ``file``."""
    given = {
        "--text-column": bool(form.text_columns), "--no-header": not form.header, "--encoding": form.encoding != UTF8,
    }  # fmt: skip
    if not reads_texts:
        kind, meaningless = "a file of series", set(given)
    elif file.is_dir() or suffix_of(file) == ".txt":
        kind, meaningless = "a txt file or a folder of them", {"--text-column", "--no-header"}
    else:
        return
    for flag in given:
        if given[flag] and flag in meaningless:
            raise UserError(f"{flag} has no meaning here, since {file} is {kind}; leave it out.")


def _of_texts(
    trained: TrainedRun, file: Path, form: TextFormat, notes: list[str]
) -> tuple[list[JSONObject], tuple[Prediction, ...]]:
    """Where each text stands, and its predictions."""
    if not form.text_columns:
        experiment = experiment_from_config(read_config(trained.path))
        if isinstance(experiment, Text) and experiment.header == form.header:
            form = experiment.form._replace(encoding=form.encoding)
    rows, _ = read_rows(file, form, labelled=False, note=notes.append)
    texts = [row.text for row in rows]
    if (unknown := trained.unknown_words(texts)) > MOSTLY_UNKNOWN:
        notes.append(f"warning: {unknown:.0%} of the words of {file} are not in the vocabulary of the run")
    places: list[JSONObject] = [
        {"line": row.line} if row.file is None else {"file": printable(str(row.file.relative_to(file)))} for row in rows
    ]
    return places, trained.predict(texts)


def _of_series(trained: TrainedRun, file: Path) -> tuple[list[JSONObject], tuple[Prediction, ...]]:
    """The number of each series, and its predictions."""
    series = read_series(file, labelled=False)
    examples = [values[:length] for values, length in zip(series.values, series.lengths, strict=True)]
    try:
        return [{"example": i} for i in range(len(examples))], trained.predict(examples)
    except ValueError as error:
        raise UserError(f"{file} does not fit the run: {error}; give series like those of the training.") from None


def _record(prediction: Prediction, i: int) -> JSONObject:
    """What a cell predicts for example ``i``."""
    mean, spread = prediction.mean[i], prediction.spread[i]
    record: JSONObject = {"cell": prediction.cell, "seeds": len(prediction.seeds)}
    if not prediction.classes:
        return record | {"value": _number(mean), "spread": _number(spread)}
    best = int(mean.argmax())
    return record | {
        "label": prediction.classes[best],
        "probability": _number(mean[best]),
        "spread": _number(spread[best]),
        "probabilities": {name: _number(value) for name, value in zip(prediction.classes, mean, strict=True)},
    }


def _number(value: float) -> float | None:
    """Rounded for the file; None for NaN."""
    return None if np.isnan(value) else float(f"{value:.{DIGITS}g}")


def _json_lines(records: list[JSONObject]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _flat(record: JSONObject) -> dict[str, Value]:
    """The fields of a record, with one for each class, "P(name)"."""
    probabilities = record.get("probabilities", {})
    fields = {name: value for name, value in record.items() if name != "probabilities"}
    return fields | {f"P({name})": value for name, value in probabilities.items()}
