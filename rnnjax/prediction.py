"""``rnnjax.load``: the trained models of a run folder, and their predictions for new texts and series."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import numpy as np
from scipy.special import expit, softmax

from rnnjax.argument_checks import describe
from rnnjax.cells.specs.own_cells import trained_cell
from rnnjax.data.batching import ordered_chunks
from rnnjax.data.dataset import UNKNOWN, Objective
from rnnjax.data.preprocessing import SeriesPreprocessing, WordPreprocessing
from rnnjax.data.vocabulary import encode
from rnnjax.errors import UserError
from rnnjax.nn.description import model_from_description, own_cells_of
from rnnjax.nn.saved_params import read_params
from rnnjax.runs.codec import damaged
from rnnjax.runs.json_io import read_json
from rnnjax.runs.member_schema import MemberInfo, ModelRecord
from rnnjax.runs.reader import member_folders, read_config, read_model, read_objective
from rnnjax.runs.schema import MEMBER, MODEL, PARAMS
from rnnjax.typing import Floats, ModelParams

BATCH = 128  # examples in a batch


@dataclass(frozen=True, eq=False)
class TrainedMember:
    """One cell trained from one seed.

    Attributes:
        cell: the cell and what a sweep varies; members of one cell differ in their seed alone.
        seed: of the training.
        model: the Flax module; ``model.apply({"params": params}, inputs, lengths=lengths)``.
        params: its parameters with the best validation score.
        vocabulary: id -> word or symbol; empty if inputs are numbers.
        record: labels and preprocessing.
    """

    cell: str
    seed: int
    model: nn.Module
    params: ModelParams
    vocabulary: tuple[str, ...]
    record: ModelRecord


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one cell predicts for N examples, from each of its S seeds.

    Attributes:
        cell: the cell and what a sweep varies.
        seeds: the S seeds of training.
        classes: the C labels; empty if labels are numbers.
        values: (S, N, C) probabilities; or (S, N) numbers in the unit of the labels in the training file.
    """

    cell: str
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    values: Floats

    @property
    def mean(self) -> Floats:
        """Mean over the seeds: probabilities (N, C), or numbers (N,)."""
        return self.values.mean(axis=0)

    @property
    def spread(self) -> Floats:
        """Standard deviation over the seeds, in the shape of ``mean``; NaN for one seed."""
        several = len(self.seeds) > 1
        return self.values.std(axis=0, ddof=1) if several else np.full(self.values.shape[1:], np.nan)

    @property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each example by the mean over the seeds; empty if labels are numbers."""
        return tuple(self.classes[i] for i in self.mean.argmax(axis=1)) if self.classes else ()


class Encoded(NamedTuple):
    """Examples as a model reads them."""

    inputs: np.ndarray  # (N, L) int32 word ids, or (N, L, D) float32 standardised numbers
    lengths: np.ndarray  # (N,) int32


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """The trained models of a run.

    Attributes:
        path: of the run folder.
        members: in the order of cells and seeds.
    """

    path: Path
    members: tuple[TrainedMember, ...]

    @property
    def reads_texts(self) -> bool:
        """Whether ``predict`` takes texts; else it takes series.

        Raises:
            UserError: the run is neither of texts nor of series.
        """
        preprocessing = self.members[0].record.preprocessing
        if preprocessing is None:
            raise UserError(
                f"The run '{self.path}' is of {read_config(self.path).experiment}, whose answers to new examples are "
                "not predicted; name a run of text, imdb or series."
            )
        return isinstance(preprocessing, WordPreprocessing)

    def predict(self, examples: Sequence[str] | Sequence[np.ndarray]) -> tuple[Prediction, ...]:
        """Predict labels with every cell.

        Texts are split into words, and series standardised, as those that the run was trained on.

        Args:
            examples: N texts; or N series, each (T, D), or (T,) where D is 1, T at least 1 and different for each.

        Returns:
            A prediction for each cell, in the order of ``members``.

        Raises:
            ValueError: there is no example, or one of another type or shape, or with numbers that are not finite.
            UserError: the run is neither of texts nor of series.
        """
        _check(examples, self.reads_texts)
        return tuple(
            _predict(tuple(members), examples) for _, members in groupby(self.members, lambda member: member.cell)
        )

    def unknown_words(self, texts: Sequence[str]) -> float:
        """Share of the words of ``texts`` that are not in the vocabulary of the first member."""
        inputs, lengths = _encode(self.members[0], texts)
        return float(np.sum(inputs == UNKNOWN) / np.sum(lengths))


def load(path: str | Path) -> TrainedRun:
    """The trained models of a run folder, each with the parameters of its best validation.

        run = rnnjax.load("runs/text-20260101-120000")
        for prediction in run.predict(["a wonderful film", "horrifying music"]):
            print(prediction.cell, prediction.labels, prediction.mean)

    Args:
        path: a run folder, finished or not; members that have not been validated yet are left out.

    Raises:
        UserError: it is no run folder, has no trained model, or a file in it is damaged; or a cell of the run is in a
            file of the user's own that is not in the working directory, or has changed.
    """
    path = Path(path)
    read_config(path)
    read_objective(path)
    folders = [folder for folder in member_folders(path) if (folder / PARAMS).is_file()]
    if not folders:
        raise UserError(f"The run '{path}' has not validated any cell yet; wait until it has, or name another run.")
    members = [_member(path, folder) for folder in folders]
    cells = list(dict.fromkeys(member.cell for member in members))
    return TrainedRun(path, tuple(sorted(members, key=lambda member: (cells.index(member.cell), member.seed))))


def _member(path: Path, folder: Path) -> TrainedMember:
    info: MemberInfo = read_json(folder / MEMBER, MemberInfo)
    found = read_model(path, folder)
    if found is None:
        raise UserError(
            f"'{folder / MODEL}' does not exist: the run is older than this file, which describes the model, or its "
            "cell is neither one of rnnjax nor a class in a file of your own; run again."
        )
    record, vocabulary = found
    own = {name: trained_cell(name, path, read_config(path).contents) for name in own_cells_of(record.model)}
    try:
        model = model_from_description(record.model, own)
    except ValueError as error:
        raise damaged(folder / MODEL, str(error)) from None
    names, answers = len(record.classes), {Objective.BINARY: 2, Objective.CLASSES: getattr(model, "classes", 0)}
    if names and names != answers.get(record.objective, names):
        raise damaged(folder / MODEL, f"classes: {names} names, expected {answers[record.objective]}")
    return TrainedMember(
        info.label, info.seed, model, read_params(model, folder / PARAMS, record.features), vocabulary, record
    )


def _check(examples: Sequence[str] | Sequence[np.ndarray], texts: bool) -> None:
    """ValueError for examples that are not texts, or not arrays of numbers."""
    wanted = "a list of texts" if texts else "a list of arrays, each (T, D) or (T,)"
    if isinstance(examples, str) or not len(examples):
        raise ValueError(f"examples must be {wanted}, at least one, got {describe(examples)}")
    for i, example in enumerate(examples):
        if not (isinstance(example, str) if texts else np.asarray(example).dtype.kind in "biuf"):
            raise ValueError(f"examples must be {wanted}, but example {i} is {describe(example)}")


def _encode(member: TrainedMember, examples: Sequence[str] | Sequence[np.ndarray]) -> Encoded:
    """Examples as the model of ``member`` reads them."""
    preprocessing = member.record.preprocessing
    if isinstance(preprocessing, WordPreprocessing):
        texts = [str(text) for text in examples]
        return Encoded(*encode(texts, member.vocabulary, max_length=preprocessing.max_length, keep=preprocessing.keep))
    preprocessing = cast(SeriesPreprocessing, preprocessing)
    return Encoded(*preprocessing.pad(examples))


def _predict(members: tuple[TrainedMember, ...], examples: Sequence[str] | Sequence[np.ndarray]) -> Prediction:
    """The prediction of the members of one cell, which share model and preprocessing."""
    model, record = members[0].model, members[0].record
    encoded = _encode(members[0], examples)

    @jax.jit
    def apply(params: ModelParams, inputs: jax.Array, lengths: jax.Array) -> jax.Array:
        result: Any = model.apply({"params": params}, inputs, lengths=lengths)
        return result[1]

    outputs = np.stack([_outputs(partial(apply, member.params), encoded) for member in members])  # (S, N, outputs)
    classes = record.classes
    if isinstance(record.preprocessing, SeriesPreprocessing) and record.objective is Objective.NUMBER:
        values = record.preprocessing.unscale_labels(outputs[:, :, 0])
    elif record.objective is Objective.BINARY:
        positive = expit(outputs[:, :, 0])
        classes, values = classes or ("negative", "positive"), np.stack([1 - positive, positive], axis=-1)
    else:
        values = softmax(outputs, axis=-1)
    return Prediction(members[0].cell, tuple(member.seed for member in members), classes, values)


def _outputs(apply: Callable[[np.ndarray, np.ndarray], jax.Array], encoded: Encoded) -> Floats:
    """The outputs (N, outputs) of ``apply(inputs, lengths)`` in float64, in batches."""
    inputs, lengths = encoded.inputs[:, : encoded.lengths.max()], encoded.lengths
    chunks = ordered_chunks(lengths, batch_size=BATCH, steps_per_chunk=1)
    rows: dict[int, np.ndarray] = {}
    for chunk in chunks:
        indices, valid = chunk.indices[0], chunk.weights[0] > 0
        outputs = np.asarray(apply(inputs[indices], lengths[indices]), np.float64)
        rows |= dict(zip(indices[valid].tolist(), outputs[valid], strict=True))
    return np.stack([rows[i] for i in range(len(lengths))])
