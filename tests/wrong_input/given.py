"""Variables for the calls in ``cases_library.py``: an LSTM of five units, four sequences of eight steps."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import rnnjax
from rnnjax import diagnostics
from rnnjax.analysis import word_attribution as explain
from rnnjax.cells import DropoutMasks, Params
from rnnjax.data.batching import epoch_chunks, ordered_chunks
from rnnjax.data.streams import stream_chunks
from rnnjax.data.vocabulary import build_vocabulary, encode

T, B, D, H = 8, 4, 3, 5


def names() -> dict[str, Any]:
    """Name -> value of each variable."""
    cell, layer = rnnjax.LSTM(H), rnnjax.RNN(rnnjax.LSTM(H))
    params = Params(np.zeros((D, 4 * H), np.float32), np.zeros((H, 4 * H), np.float32), np.zeros(4 * H, np.float32))
    held = {"cell": {name: a for name, a in params._asdict().items() if a is not None}}
    xs = np.zeros((T, B, D), np.float32)
    model = rnnjax.SequenceClassifier(9, D, layer)
    words = {"Embed_0": {"embedding": np.zeros((9, D), np.float32)}, "recurrent": held}
    words["Dense_0"] = {"kernel": np.zeros((H, 1), np.float32), "bias": np.zeros(1, np.float32)}

    def classify(inputs: Any, *, pooling: Any = "last", lengths: Any = None) -> Any:
        return model.clone(pooling=pooling).apply({"params": words}, inputs, lengths=lengths)

    return {
        **{name: getattr(diagnostics, name) for name in diagnostics.__all__},
        **{name: getattr(rnnjax, name) for name in ("GRU", "LSTM", "SimpleRNN", "unroll")},
        **{name: getattr(explain, name) for name in ("explain_text", "swap_words", "word_connectivity")},
        **{each.__name__: each for each in (DropoutMasks, build_vocabulary, encode, epoch_chunks, ordered_chunks)},
        "both": rnnjax.Bidirectional(layer, rnnjax.RNN(cell, reverse=True)),
        "both_variables": {"params": {"forward_rnn": held, "backward_rnn": held}},
        "cell": cell,
        "classify": classify,
        "jnp": jnp,
        "key": jax.random.key(0),
        "layer": layer,
        "lengths": np.array([1, 0, 1, 1]),
        "loss": lambda final, ys: final.h.sum(axis=-1),
        "model": model,
        "np": np,
        "old_key": jax.random.PRNGKey(0, impl="rbg"),
        "params": params,
        "rnnjax": rnnjax,
        "square": np.zeros((T, H, H), np.float32),
        "state": cell.initial_state((B,)),
        "steps": diagnostics.linearise(cell, params, xs),
        "stream_chunks": stream_chunks,
        "tokens": np.zeros((B, T), np.int32),
        "variables": {"params": held},
        "weights": np.ones(B, np.float32),
        "xs": xs,
    }
