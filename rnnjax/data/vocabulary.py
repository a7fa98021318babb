"""Words, vocabularies of the most frequent words, and texts as padded word ids."""

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import regex

from rnnjax.data.dataset import PADDING, SPECIAL_WORDS, UNKNOWN
from rnnjax.data.preprocessing import KEEP_CHOICES, Keep

_ASCII_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)*")  # the same words as below, several times as fast
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"  # scripts without spaces between words
_LETTER = rf"[[\p{{L}}\p{{N}}]--[{_UNSPACED}]]"
_MARKS = r"[\p{M}\u200c\u200d]"  # combining marks, and the joiners of Persian and Indian scripts
_RUN = rf"(?:{_LETTER}{_MARKS}*)+"
_WORD = regex.compile(rf"(?V1)[[\p{{L}}\p{{N}}]&&[{_UNSPACED}]]{_MARKS}*|{_RUN}(?:'{_RUN})*")


def split_words(text: str) -> list[str]:
    """The words of ``text``: in lower case, without ``<br />`` and punctuation; "don't" is one word.

    A word is a run of letters and digits of any script with their combining marks, in Unicode's composed form (NFC),
    so that a letter and its accent are the same word in one code point or two. Chinese, Japanese hiragana, Thai, Lao,
    Khmer and Burmese have no spaces between words: there every character, with its marks, is a word.
    """
    lower = text.lower().replace("<br />", " ")
    if lower.isascii():
        return _ASCII_WORD.findall(lower)
    dotless = lower.replace("i\u0307", "i")  # lower() makes these two of the Turkish İ
    return _WORD.findall(unicodedata.normalize("NFC", dotless).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def build_vocabulary(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """The most frequent words of ``texts``, ties in alphabetical order.

    Args:
        texts: Texts of the training split.
        size: Largest number of ids, including "<pad>" (0) and "<unk>" (1); at least 2.

    Returns:
        id -> word; shorter than ``size`` if ``texts`` holds fewer words.

    Raises:
        ValueError: If ``size`` is too small.
    """
    if size < len(SPECIAL_WORDS):
        raise ValueError(f"size must be at least {len(SPECIAL_WORDS)}, for padding and the unknown word, got {size}")
    counts = Counter(itertools.chain.from_iterable(map(split_words, texts)))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return SPECIAL_WORDS + tuple(ranked[: size - len(SPECIAL_WORDS)])


def encode(
    texts: Sequence[str], vocabulary: tuple[str, ...], *, max_length: int, keep: Keep
) -> tuple[np.ndarray, np.ndarray]:
    """Texts as padded word ids; a text without a word becomes one "<unk>".

    Args:
        texts: N texts.
        vocabulary: id -> word, see ``build_vocabulary``.
        max_length: L, words kept of each text, at least 1.
        keep: Whether the "last" or the "first" L words of a longer text are kept.

    Returns:
        tokens (N, L) int32, left-aligned, 0 after the end, and lengths (N,) int32 in words, >= 1.

    Raises:
        ValueError: If ``max_length`` is below 1 or ``keep`` is not a valid choice.
    """
    if max_length < 1 or keep not in KEEP_CHOICES:
        raise ValueError(
            f"max_length must be at least 1 and keep one of {', '.join(KEEP_CHOICES)}, got {max_length} and {keep!r}"
        )
    ids = {word: number for number, word in enumerate(vocabulary)}
    kept = slice(-max_length, None) if keep == "last" else slice(max_length)
    tokens = np.full((len(texts), max_length), PADDING, np.int32)
    lengths = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts):
        numbers = [ids.get(word, UNKNOWN) for word in split_words(text)[kept]] or [UNKNOWN]
        tokens[row, : len(numbers)] = numbers
        lengths[row] = len(numbers)
    return tokens, lengths
