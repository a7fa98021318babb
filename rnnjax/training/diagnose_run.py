"""Looking closely at a member before and after its training: the same validation examples each time, into one file."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from rnnjax.analysis.diagnosis import Diagnosis, TextAttribution, WordSwaps
from rnnjax.analysis.layer_diagnosis import layer_diagnosis
from rnnjax.analysis.measure import LayerMeasurements
from rnnjax.analysis.word_attribution import logits_along, swap_words, word_connectivity
from rnnjax.data.dataset import SPECIAL_WORDS, UNKNOWN, Dataset, Objective
from rnnjax.training.compile import Programs
from rnnjax.training.step.multi_step import as_numbers
from rnnjax.training.step.train_step import Batch

EXAMPLES = 32
TEXT_QUANTILES = (0.1, 0.25, 0.5, 0.75)  # of length: one shown text each


def diagnosis_batch(dataset: Dataset) -> Batch:
    """The first validation examples, whole."""
    few = slice(min(EXAMPLES, len(dataset.validation.lengths)))
    inputs, lengths, labels = (array[few] for array in dataset.validation[:3])
    return Batch(as_numbers(inputs), lengths, labels, np.ones(len(lengths), np.float32))


def diagnose_member(programs: Programs, dataset: Dataset, params: Any, step: int) -> Diagnosis:
    """All that is measured of ``params`` on the first validation examples, but for single words.

    Args:
        programs: of the member's model.
        dataset: of the member.
        params: to be examined.
        step: updates taken when they were as they are.
    """
    found: tuple[jax.Array, tuple[LayerMeasurements, ...]] = jax.device_get(
        programs.measure(params, diagnosis_batch(dataset))
    )
    losses, layers = found
    return Diagnosis(
        step=step,
        examples=len(losses),
        loss=float(losses.mean()),
        layers=tuple(layer_diagnosis(layer) for layer in layers),
    )


def explains_words(dataset: Dataset) -> bool:
    """Whether examples are texts with one logit each, of which single words are to be explained."""
    texts = dataset.vocabulary[:2] == SPECIAL_WORDS and dataset.objective is Objective.BINARY
    return texts and dataset.explained


def diagnose_words(model: nn.Module, dataset: Dataset, params: Any) -> tuple[tuple[TextAttribution, ...], WordSwaps]:
    """What single words do to the logit: a few texts word by word, and one word of many texts swapped."""
    return _texts(model, dataset, params), _swaps(model, dataset, params)


def _texts(model: nn.Module, dataset: Dataset, params: Any) -> tuple[TextAttribution, ...]:
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


def _swaps(model: nn.Module, dataset: Dataset, params: Any) -> WordSwaps:
    """The planted word for its opposite where the task plants one, else a word at some distance for the unknown one."""
    split = dataset.validation
    count = min(EXAMPLES, len(split.lengths))
    if split.distances is not None and dataset.opposites is not None:
        far = np.argsort(split.distances, kind="stable")
        rows = far[np.linspace(0, len(far) - 1, count).round().astype(int)]
        lags = split.distances[rows]
        what = "the opinion word for one of the other polarity"
    else:
        rows = np.argsort(split.lengths[:count], kind="stable")  # the longer a text, the farther back
        lags = np.minimum(np.geomspace(1, split.inputs.shape[1], count).astype(int), split.lengths[rows] - 1)
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
