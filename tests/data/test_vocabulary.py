import re
import string
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I don’t, ‘quoted’ rock’n’roll", ["i", "don't", "quoted", "rock'n'roll"]),  # English, typographic
        ("C'était très naïf, l’été", ["c'était", "très", "naïf", "l'été"]),  # French
        ("Straße, Größe; ÄRGER", ["straße", "größe", "ärger"]),  # German
        ("İyi bir IŞIK", ["iyi", "bir", "işik"]),  # Turkish
        ("Việt Nam tiếng", ["việt", "nam", "tiếng"]),  # Vietnamese
        ("Мой ёж, п’ять", ["мой", "ёж", "п'ять"]),  # Russian, Ukrainian
        ("लड़का और लड़की। दिन", ["लड़का", "और", "लड़की", "दिन"]),  # Hindi
        ("বাংলা ভাষা", ["বাংলা", "ভাষা"]),  # Bengali
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),  # Tamil
        ("كِتَابٌ جَمِيل", ["كِتَابٌ", "جَمِيل"]),  # Arabic with vowels
        ("می‌خواهم بروم", ["می‌خواهم", "بروم"]),  # Persian with a joiner
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),  # Hebrew with points
        ("한국어 영화", ["한국어", "영화"]),  # Korean
        ("这部电影很好看！", [*"这部电影很好看"]),  # Chinese
        ("映画は3本、カメラ", ["映", "画", "は", "3", "本", "カメラ"]),  # Japanese
        ("หนังดี", ["ห", "นั", "ง", "ดี"]),  # Thai
    ],
)
def test_words_of_many_languages_in_composed_and_decomposed_form(text, words):
    expected = [unicodedata.normalize("NFC", word) for word in words]
    for form in ("NFC", "NFD"):
        assert split_words(unicodedata.normalize(form, text)) == expected


@given(st.text(alphabet=string.printable + "éüßñ½²", max_size=60))
def test_words_of_unaccented_and_composed_text_are_runs_of_letters_and_digits(text):
    assert split_words(text) == re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("<br />", " "))


@given(st.text(max_size=40))
def test_no_letter_or_digit_is_lost(text):
    composed = unicodedata.normalize("NFC", text.lower().replace("<br />", " ").replace("i\u0307", "i"))
    kept = [letter for letter in "".join(split_words(text)) if unicodedata.category(letter)[0] in "LN"]
    assert kept == [letter for letter in composed if unicodedata.category(letter)[0] in "LN"]


@given(st.text(max_size=40))
def test_words_joined_by_spaces_are_split_into_the_same_words(text):
    words = split_words(text)
    assert split_words(" ".join(words)) == words


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
