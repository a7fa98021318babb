import math

import numpy as np
import pytest

from rnnjax.data.dataset import Objective
from rnnjax.data.synthetic.episodes import CUES, VOCABULARY, episodes
from rnnjax.errors import UserError

SETTINGS = {
    "length": 30,
    "longest_episode": 9,
    "train_examples": 400,
    "validation_examples": 60,
    "test_examples": 50,
    "seed": 3,
}


@pytest.mark.parametrize("longest", [2, 9, 30])
def test_every_episode_asks_how_it_began(longest):
    examples = episodes(**{**SETTINGS, "longest_episode": longest}).train
    words, lengths = np.array(VOCABULARY), []
    for inputs, labels in zip(examples.inputs, examples.labels, strict=True):
        shown, answers = words[inputs].tolist(), words[labels].tolist()
        starts = [t for t, word in enumerate(shown) if word in CUES]
        assert starts[0] == 0
        for start, following in zip(starts, [*starts[1:], 30], strict=True):
            assert shown[start + 1 : following] == ["<blank>"] * (following - start - 2) + ["<recall>"]
            assert answers[start:following] == ["<blank>"] * (following - start - 1) + [shown[start]]
            lengths.append(following - start)
    assert set(lengths) <= set(range(2, longest + 2))
    assert set(lengths) >= set(range(2, min(longest, 28) + 1))
    assert {array.dtype for array in examples[:3]} == {np.dtype(np.int32)}


def test_the_properties_of_the_data_set():
    dataset = episodes(**SETTINGS)
    assert dataset.objective is Objective.SYMBOLS
    assert [dataset.vocabulary[word] for word in dataset.episode_words] == list(CUES)
    starts = np.isin(dataset.test.inputs, dataset.episode_words)
    asked = dataset.test.inputs == VOCABULARY.index("<recall>")
    np.testing.assert_array_equal(starts.sum(axis=1), asked.sum(axis=1))
    assert dataset.baseline == pytest.approx(asked.sum(axis=1).mean() * math.log(8) / 30)


@pytest.mark.parametrize("longest", [1, 31])
def test_episodes_that_do_not_fit_are_refused(longest):
    with pytest.raises(UserError, match=f"The longest episode has {longest} steps in sequences of 30; give from 2"):
        episodes(**{**SETTINGS, "longest_episode": longest})
