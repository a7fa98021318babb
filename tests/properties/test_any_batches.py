"""Batches of drawn lengths: every example once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnjax.data.batching import epoch_chunks, ordered_chunks
from rnnjax.data.streams import stream_chunks
from rnnjax.data.vocabulary import build_vocabulary, encode, split_words

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60).map(np.array)
SIZES = st.fixed_dictionaries({"batch_size": st.integers(1, 9), "steps_per_chunk": st.integers(1, 4)})


@given(
    lengths=LENGTHS,
    sorted_batches=st.integers(1, 5),
    sizes=SIZES,
    seed=st.integers(0, 5),
    curriculum=st.sampled_from((0.0, 0.7, 1.0)),
)
def test_an_epoch_has_every_example_once(lengths, sorted_batches, sizes, seed, curriculum):
    orders = [
        epoch_chunks(lengths, sorted_batches=sorted_batches, seed=seed, epoch=epoch, curriculum=curriculum, **sizes)
        for epoch in (0, 1)
    ]
    for chunks in (*orders, ordered_chunks(lengths, **sizes)):
        indices = np.concatenate([chunk.indices[chunk.weights > 0] for chunk in chunks])
        assert sorted(indices.tolist()) == list(range(len(lengths)))
        assert sum(chunk.steps for chunk in chunks) == -(-len(lengths) // sizes["batch_size"])
        for chunk in chunks:
            assert chunk.indices.shape == chunk.weights.shape == (sizes["steps_per_chunk"], sizes["batch_size"])
            assert chunk.weights.any(axis=1).tolist() == [k < chunk.steps for k in range(len(chunk.weights))]


@given(count=st.integers(1, 40), sizes=SIZES)
def test_streams_read_every_window_once_and_in_order(count, sizes):
    chunks = stream_chunks(count, **sizes)
    rows = np.concatenate([chunk.indices[: chunk.steps] for chunk in chunks])
    weights = np.concatenate([chunk.weights[: chunk.steps] for chunk in chunks])
    assert sorted(rows[weights > 0].tolist()) == list(range(count))
    for stream, weight in zip(rows.T, weights.T, strict=True):
        read = stream[weight > 0]
        assert np.array_equal(read, read[:1] + np.arange(len(read)) if len(read) else read)


@given(
    texts=st.lists(st.text(st.sampled_from("aB c'd.,<é1"), max_size=30), min_size=1, max_size=6),
    size=st.integers(2, 9),
    max_length=st.integers(1, 5),
    keep=st.sampled_from(("last", "first")),
)
def test_a_text_is_encoded_word_by_word_and_truncated_at_the_chosen_end(texts, size, max_length, keep):
    vocabulary = build_vocabulary(texts, size)
    assert vocabulary[:2] == ("<pad>", "<unk>")
    assert len(vocabulary) == len(set(vocabulary)) <= size
    tokens, lengths = encode(texts, vocabulary, max_length=max_length, keep=keep)
    for row, length, text in zip(tokens, lengths, texts, strict=True):
        words = split_words(text)
        words = (words[-max_length:] if keep == "last" else words[:max_length]) or ["<unk>"]
        assert length == len(words) <= max_length
        assert [vocabulary[token] for token in row[:length]] == [w if w in vocabulary else "<unk>" for w in words]
        assert not row[length:].any()
