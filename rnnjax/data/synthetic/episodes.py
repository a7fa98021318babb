"""The episodes task: each sequence holds several episodes, and each ends with the question how it began."""

import math

import numpy as np

from rnnjax.data.dataset import BLANK, Dataset, Examples, Objective
from rnnjax.data.synthetic.sampling import draw_splits
from rnnjax.errors import UserError

CUES = tuple("abcdefgh")
VOCABULARY = ("<blank>", *CUES, "<recall>")
SHORTEST = 2  # steps of an episode: its cue and the question

_RECALL = VOCABULARY.index("<recall>")


def episodes(
    *,
    length: int,
    longest_episode: int,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> Dataset:
    """Sequences of episodes, each a cue, blanks, and a recall sign, at which the answer is the episode's cue.

    Cues are drawn uniformly from 8 symbols, the lengths of episodes uniformly from 2 to ``longest_episode`` steps; the
    last episode ends with the sequence, one step longer where a single step would be left. Labels are blank but at the
    recall signs. Nothing of an episode helps in the next one. The baseline answers blank for the blank labels and gives
    all symbols the same probability at recall signs.

    Args:
        length: Steps of a sequence.
        longest_episode: Steps of the longest episode, from 2 to ``length``.
        train_examples: Number of training sequences.
        validation_examples: Number of validation sequences.
        test_examples: Number of test sequences.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` and ``labels`` are (N, length) ids of the same vocabulary; ``episode_words`` are the
        ids of the cues, with which the episodes begin.

    Raises:
        UserError: If an argument is out of its range.
    """
    if not SHORTEST <= longest_episode <= length:
        raise UserError(
            f"The longest episode has {longest_episode} steps in sequences of {length}; give from {SHORTEST} steps to "
            "the length of a sequence."
        )

    def draw(rng: np.random.Generator, count: int) -> Examples:
        inputs = np.full((count, length), BLANK, np.int32)
        labels = np.full((count, length), BLANK, np.int32)
        for row in range(count):
            starts = _first_steps(rng, length, longest_episode)
            ends = np.append(starts[1:], length) - 1
            inputs[row, starts] = rng.integers(1, len(CUES), size=len(starts), endpoint=True)
            inputs[row, ends] = _RECALL
            labels[row, ends] = inputs[row, starts]
        return Examples(inputs=inputs, lengths=np.full(count, length, np.int32), labels=labels)

    train, validation, test = draw_splits(
        draw,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_examples=test_examples,
        seed=seed,
    )
    questions = (test.inputs == _RECALL).sum(axis=1).mean()
    return Dataset(
        train,
        validation,
        test,
        vocabulary=VOCABULARY,
        objective=Objective.SYMBOLS,
        baseline=float(questions) * math.log(len(CUES)) / length,
        episode_words=tuple(range(1, 1 + len(CUES))),
    )


def _first_steps(rng: np.random.Generator, length: int, longest: int) -> np.ndarray:
    """The first step of each episode of a sequence."""
    drawn = rng.integers(SHORTEST, longest, size=length // SHORTEST, endpoint=True)
    starts = np.append(0, np.cumsum(drawn))
    return starts[starts <= length - SHORTEST]
