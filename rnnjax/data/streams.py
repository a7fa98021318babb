"""Batches for a carried state: one long sequence cut into contiguous streams that are read in parallel."""

import numpy as np

from rnnjax.data.batching import Chunk


def stream_chunks(count: int, *, batch_size: int, steps_per_chunk: int) -> list[Chunk]:
    """Batches of consecutive windows: row s of each batch continues row s of the batch before it.

    Args:
        count: N, windows, in the order of the sequence.
        batch_size: B, the number of streams; each has ceil(N/B) windows, the last ones fewer if B does not divide N.
        steps_per_chunk: K, batches in a chunk.

    Raises:
        ValueError: If there is no window, or a number is below 1.
    """
    if min(count, batch_size, steps_per_chunk) < 1:
        raise ValueError(
            f"count, batch_size and steps_per_chunk must be at least 1, got {count}, {batch_size} and {steps_per_chunk}"
        )
    windows = -(-count // batch_size)
    rows = np.arange(batch_size)[None, :] * windows + np.arange(windows)[:, None]  # (windows, B)
    chunks = []
    for start in range(0, windows, steps_per_chunk):
        block = rows[start : start + steps_per_chunk]
        padding = [(0, steps_per_chunk - len(block)), (0, 0)]
        indices = np.pad(np.minimum(block, count - 1), padding, mode="edge").astype(np.int32)
        weights = np.pad((block < count).astype(np.float32), padding)
        chunks.append(Chunk(len(block), indices, weights))
    return chunks
