"""Batches that go on where the batch before them ended: one long sequence read at several places side by side."""

import numpy as np

from rnnjax.data.batching import Chunk


def stream_chunks(count: int, length: int, *, batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    """Consecutive windows read as ``batch_size`` streams side by side: row s of a batch goes on where it ended.

    Args:
        count: N windows of ``length`` steps, in the order of the sequence that they were cut from.
        length: T.
        batch_size: B, streams; each reads ceil(N/B) windows, the last ones fewer where that does not divide.
        steps_per_chunk: K, batches in a chunk.

    Raises:
        ValueError: If there is no window, or a number is below 1.
    """
    if min(count, length, batch_size, steps_per_chunk) < 1:
        raise ValueError(
            "count, length, batch_size and steps_per_chunk must be at least 1, "
            f"got {count}, {length}, {batch_size} and {steps_per_chunk}"
        )
    windows = -(-count // batch_size)
    rows = np.arange(batch_size)[None, :] * windows + np.arange(windows)[:, None]  # (windows, B)
    chunks = []
    for start in range(0, windows, steps_per_chunk):
        some = rows[start : start + steps_per_chunk]
        padding = [(0, steps_per_chunk - len(some)), (0, 0)]
        indices = np.pad(np.minimum(some, count - 1), padding, mode="edge").astype(np.int32)
        weights = np.pad((some < count).astype(np.float32), padding)
        chunks.append(Chunk(length, len(some), indices, weights))
    return chunks
