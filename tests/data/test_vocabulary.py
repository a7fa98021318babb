import numpy as np
import pytest

from rnnjax.data.vocabulary import build_vocabulary, encode, split_words

VOCABULARY = ("<pad>", "<unk>", "film", "good", "very")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Film!", ["a", "film"]),
        ("bad.<br /><br />Good", ["bad", "good"]),
        ("bad<br />good", ["bad", "good"]),
        ("BAD<BR />good", ["bad", "good"]),
        ("I don't, he's 'quoted' rock'n'roll '", ["i", "don't", "he's", "quoted", "rock'n'roll"]),
        ("7/10 in 1999--wow_ow", ["7", "10", "in", "1999", "wow", "ow"]),
        ("Amélie, naïve Ōkami", ["amélie", "naïve", "ōkami"]),
        (" ... <br /> ", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


def test_most_frequent_first_and_ties_in_alphabetical_order():
    texts = ["b b b d", "c a c a", "d z"]
    assert build_vocabulary(texts, 100) == ("<pad>", "<unk>", "b", "a", "c", "d", "z")
    assert build_vocabulary(texts, 5) == ("<pad>", "<unk>", "b", "a", "c")
    assert build_vocabulary(reversed(texts), 5) == build_vocabulary(texts, 5)


def test_encoded_left_aligned_with_unknown_words_and_empty_texts():
    tokens, lengths = encode(["Good film", "very odd", "", "!"], VOCABULARY, max_length=3, keep="last")
    assert tokens.tolist() == [[3, 2, 0], [4, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert lengths.tolist() == [2, 2, 1, 1]
    assert tokens.dtype == lengths.dtype == np.int32


@pytest.mark.parametrize(
    ("keep", "expected"), [("last", [[3, 2], [4, 3], [3, 0]]), ("first", [[4, 3], [4, 3], [3, 0]])]
)
def test_keeps_the_last_or_the_first_words(keep, expected):
    tokens, lengths = encode(["very good film", "very good", "good"], VOCABULARY, max_length=2, keep=keep)
    assert tokens.tolist() == expected
    assert lengths.tolist() == [2, 2, 1]
