"""The diagnosis of a run, before and after its training, on the same validation examples each time."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import flax.linen as nn
import jax
import msgspec
import numpy as np

from rnnjax.analysis.diagnosis import Diagnosis, TextAttribution, WordSwaps
from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.nonfinite_outputs import show_nonfinite
from rnnjax.analysis.word_attribution import logits_along, swap_words, word_connectivity
from rnnjax.data.dataset import SPECIAL_WORDS, UNKNOWN, Dataset, Objective
from rnnjax.training.cell_measure import CellMeasurements, cell_diagnoses
from rnnjax.training.compile import Programs
from rnnjax.training.step.multi_step import scale_bytes
from rnnjax.training.step.state import Batch
from rnnjax.typing import ModelParams

EXAMPLES = 32  # of the validation split that are diagnosed
TEXT_QUANTILES = (0.1, 0.25, 0.5, 0.75)  # of length: the lengths of the texts that are shown


def diagnosis_batch(dataset: Dataset) -> Batch:
    """The first ``EXAMPLES`` validation examples, or all if there are fewer, at full length."""
    inputs, lengths, labels = (array[:EXAMPLES] for array in dataset.validation[:3])
    return Batch(scale_bytes(inputs), lengths, labels, np.ones(len(lengths), np.float32))


def diagnose_member(programs: Programs, dataset: Dataset, params: ModelParams, step: int) -> Diagnosis:
    """Measure every recurrent layer, or state of one, on ``diagnosis_batch``; the diagnosis has no texts and no swaps.

    Args:
        programs: of the run.
        dataset: of the run.
        params: of its model.
        step: training steps after which the model had these parameters.
    """
    losses, measured = show_nonfinite(programs.measure(params, diagnosis_batch(dataset)))
    layers = [
        cell_diagnoses(layer) if isinstance(layer, CellMeasurements) else (layer_diagnosis(layer),)
        for layer in measured
    ]
    return Diagnosis(
        step=step,
        examples=len(losses),
        loss=float(losses.mean()),
        layers=tuple(itertools.chain.from_iterable(layers)),
    )


def explains_words(dataset: Dataset) -> bool:
    """Whether the examples are texts with one logit each whose words are to be explained."""
    texts = dataset.vocabulary[:2] == SPECIAL_WORDS and dataset.objective is Objective.BINARY
    return texts and dataset.explained


def diagnose_trained(
    programs: Programs, model: nn.Module, dataset: Dataset, params: ModelParams, step: int
) -> Diagnosis:
    """``diagnose_member``, with ``diagnose_words`` where the examples are texts.

    Each of the two keeps a single core busy for long, so they are computed at the same time.
    """
    if not explains_words(dataset):
        return diagnose_member(programs, dataset, params, step)
    pool = ThreadPoolExecutor(1)
    words = pool.submit(diagnose_words, model, dataset, params)
    pool.shutdown(wait=False)  # Ctrl-C does not wait for the words
    diagnosis = diagnose_member(programs, dataset, params, step)
    texts, swaps = words.result()
    return msgspec.structs.replace(diagnosis, texts=texts, swaps=swaps)


def diagnose_words(
    model: nn.Module, dataset: Dataset, params: ModelParams
) -> tuple[tuple[TextAttribution, ...], WordSwaps]:
    """The influence of single words on the logit.

    Returns:
        for a few texts, the logit after each word and ‖∂logit/∂x_t‖ of each word; and for many texts, the change of
        the logit when one word is replaced.
    """
    with jax.disable_jit(False):  # of this thread, also where JAX_DISABLE_JIT is set
        return _texts(model, dataset, params), _swaps(model, dataset, params)


def _texts(model: nn.Module, dataset: Dataset, params: ModelParams) -> tuple[TextAttribution, ...]:
    """The texts at ``TEXT_QUANTILES`` of length, shortest first."""
    split = dataset.validation
    by_length = np.argsort(split.lengths, kind="stable")
    rows = np.unique(by_length[[int(q * (len(by_length) - 1)) for q in TEXT_QUANTILES]])
    rows = rows[np.argsort(split.lengths[rows], kind="stable")]
    tokens, lengths = split.inputs[rows, : split.lengths[rows].max()], split.lengths[rows]
    norms = np.asarray(word_connectivity(model, params, tokens, lengths).norms)
    texts = []
    for row, text, length, connectivity in zip(rows, tokens, lengths, norms, strict=True):
        logits = np.asarray(logits_along(model, params, text))
        texts.append(
            TextAttribution(
                words=tuple(dataset.vocabulary[word] for word in text[:length]),
                label=1 if split.labels[row] else 0,
                logits=logits[:length].astype(np.float64),
                connectivity=connectivity[:length].astype(np.float64),
            )
        )
    return tuple(texts)


def _swaps(model: nn.Module, dataset: Dataset, params: ModelParams) -> WordSwaps:
    """Replace one word of each of ``EXAMPLES`` texts.

    Where the task plants a word in each text, that word is replaced by its opposite, in texts from the shortest to the
    longest distance of the word from the end. Elsewhere the word at a lag that grows from text to text is replaced by
    the unknown word; where it is that already, the nearest known one.
    """
    split = dataset.validation
    count = min(EXAMPLES, len(split.lengths))
    if split.distances is not None and dataset.opposites is not None:
        by_distance = np.argsort(split.distances, kind="stable")
        rows = by_distance[np.linspace(0, len(by_distance) - 1, count).round().astype(int)]
        lags = split.distances[rows]
        what = "the opinion word for one of the other polarity"
    else:
        rows = np.argsort(split.lengths[:count], kind="stable")  # longer texts get larger lags
        lags = np.minimum(np.geomspace(1, split.inputs.shape[1], count).astype(int), split.lengths[rows] - 1)
        lags = _nearest_known(split.inputs[rows], split.lengths[rows], lags)
        what = "a word for the unknown word"
    tokens, lengths = split.inputs[rows], split.lengths[rows]
    positions = lengths - 1 - lags
    old = tokens[np.arange(count), positions]
    new = [UNKNOWN if dataset.opposites is None else dataset.opposites.get(int(word), UNKNOWN) for word in old]
    swaps = swap_words(model, params, tokens, lengths, positions, np.array(new, np.int32))
    return WordSwaps(
        what=what,
        lag=lags.astype(np.int64),
        measured=np.asarray(swaps.measured, np.float64),
        predicted=np.asarray(swaps.predicted, np.float64),
    )


def _nearest_known(tokens: np.ndarray, lengths: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """For each text (N, T) the lag of the known word that is nearest to ``lags``, each (N,); the same without any."""
    steps, wanted = np.arange(tokens.shape[1])[None], (lengths - 1 - lags)[:, None]
    known = (steps < lengths[:, None]) & (tokens != UNKNOWN)
    nearest = np.where(known, np.abs(steps - wanted), tokens.shape[1]).argmin(axis=1)
    return np.where(known.any(axis=1), lengths - 1 - nearest, lags)
