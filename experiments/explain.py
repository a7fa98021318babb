"""What decides the answer of each trained cell of a run: words or characters of a text, steps of a test example."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from experiments.registry import experiment_from_config
from experiments.restore import RestoredRun, encode_text, reads_text, restore_run
from experiments.tasks.characters import Characters
from rnnjax.analysis.decision import answer
from rnnjax.analysis.step_attribution import explain_steps
from rnnjax.analysis.word_attribution import explain_text
from rnnjax.data.dataset import UNKNOWN, Dataset, Objective
from rnnjax.errors import UserError
from rnnjax.report.terminal import TextView, Unit, legend
from rnnjax.runs.reader import read_config, read_objective

MAX_SHOWN_NUMBERS = 3  # numbers of a step that the table holds
VISIBLE = str.maketrans({"\n": "\\n", "\t": "\\t"})


class Sequence(NamedTuple):
    """What a cell reads, and how it is shown."""

    inputs: np.ndarray  # (T,) int32 ids or (T, D) float32 numbers
    words: tuple[str, ...]  # T
    known: np.ndarray  # (T,) whether the vocabulary holds the word
    note: str  # a line above the explanation; may be empty


def show_explanation(run: Path, text: str | None, example: int | None, console: Console) -> None:
    """Print the explanation of ``text``, or of a test example, for each trained cell of a run.

    Raises:
        UserError: as ``restore_run`` and ``encode_text``; ``text`` of a run that reads no text, ``example`` of a run
            that does, neither of the two, or an example that does not exist.
    """
    is_text = _check_flags(run, text, example)
    restored = restore_run(run)
    unit: Unit = "step"
    if is_text:
        unit = "character" if isinstance(restored.tasks[0], Characters) else "word"
        encode = _encode_characters if unit == "character" else _encode_words
        sequences = [encode(restored, str(text))] * len(restored.members)
    else:
        sequences = [_test_example(member.dataset(), int(example or 0)) for member in restored.members]
    several = restored.objective in (Objective.CLASSES, Objective.SYMBOLS)
    sides = None if restored.objective in (Objective.NUMBER, Objective.SIGNALS) else restored.sides
    console.print(legend(console, ("another class", "the answer") if several else sides, unit, several=several))
    note = ""
    for member, sequence in zip(restored.members, sequences, strict=True):
        if sequence.note != note:
            note = sequence.note
            console.print(note, style="yellow", highlight=False, markup=False)
        probability, target = None, None
        if several:
            target, probability = answer(member.model, member.params, sequence.inputs)
            sides = ("another class", restored.answers[target].translate(VISIBLE))
        title = f"{member.label}, seed {member.seed}"
        if unit == "word":
            explanation = explain_text(member.model, member.params, sequence.inputs, UNKNOWN, target)
        else:
            explanation = explain_steps(member.model, member.params, sequence.inputs, target)
        console.print(TextView(title, sequence.words, sequence.known, explanation, sides, probability, unit))


def _check_flags(run: Path, text: str | None, example: int | None) -> bool:
    """Whether the run reads texts; UserError unless exactly the flag is given that names an input for it."""
    config = read_config(run)
    read_objective(run)  # a log without a model is refused here, in words that fit it
    if reads_text(experiment_from_config(config)):
        if text is None or example is not None:
            raise UserError(f"The run '{run}' is of {config.experiment}, which reads texts; give --text alone.")
        return True
    if example is None or text is not None:
        raise UserError(
            f"The run '{run}' is of {config.experiment}, whose inputs are no texts; give --example 0, or the number of "
            "another example of its test data, in place of --text."
        )
    return False


def _encode_words(restored: RestoredRun, text: str) -> Sequence:
    """The words of ``text`` as ids."""
    encoded = encode_text(restored, text)
    return Sequence(encoded.tokens, encoded.words, encoded.tokens != UNKNOWN, encoded.note)


def _encode_characters(restored: RestoredRun, text: str) -> Sequence:
    """The characters of ``text`` as ids."""
    ids = {symbol: number for number, symbol in enumerate(restored.vocabulary)}
    tokens = np.array([ids.get(character, UNKNOWN) for character in text], np.int32)
    if not np.any(tokens != UNKNOWN):
        raise UserError("The run's vocabulary has no character of --text; give a text like that of the training.")
    note, window = "", restored.tasks[0].longest
    if len(text) > window:
        note = f"The text has {len(text)} characters; this run was trained on windows of {window}."
    return Sequence(tokens, tuple(character.translate(VISIBLE) for character in text), tokens != UNKNOWN, note)


def _test_example(dataset: Dataset, number: int) -> Sequence:
    """The test example of this number."""
    test = dataset.test
    if not 0 <= number < len(test.lengths):
        raise UserError(f"--example is {number}, but the test data has the examples 0 to {len(test.lengths) - 1}.")
    inputs = test.inputs[number, : test.lengths[number]]
    if dataset.vocabulary:
        words = tuple(dataset.vocabulary[symbol] for symbol in inputs)
    else:
        inputs = inputs.astype(np.float32) / (255 if inputs.dtype == np.uint8 else 1)
        more = ", ..." if inputs.shape[1] > MAX_SHOWN_NUMBERS else ""
        words = tuple(", ".join(f"{x:.3g}" for x in step[:MAX_SHOWN_NUMBERS]) + more for step in inputs)
    label = test.labels[number]
    if dataset.objective is Objective.NUMBER:
        name = f"{label:.4g}"
    elif dataset.objective is Objective.SIGNALS:
        numbers = ", ".join(f"{x:.4g}" for x in label[len(inputs) - 1])
        name = f"{numbers} at its last step; the first of these numbers is explained"
    elif dataset.objective is Objective.SYMBOLS:
        name = dataset.vocabulary[label[test.lengths[number] - 1]]
    else:
        name = dataset.classes[label] if dataset.classes else str(label)
    note = f"Example {number} of the test data, {len(inputs)} steps, is labelled {name}."
    return Sequence(inputs, words, np.ones(len(inputs), bool), note)
