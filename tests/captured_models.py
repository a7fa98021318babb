"""Models with recurrent layers, all with one signature: (xs (B, T, D), lengths, taps) -> outputs (B, ...)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from sequences import CELLS

import rnnjax

B, T, D, WORDS = 4, 6, 3, 9
LENGTHS = np.array([6, 0, 4, 1])


def rnn(name, **options):
    return rnnjax.RNN(CELLS[name].replace(features=4), **options)


def bidirectional(name):
    return rnnjax.Bidirectional(rnn(name), rnn(name, reverse=True))


class Pooled(nn.Module):
    """A user's model: mean of the outputs over valid steps; the final state is not used."""

    recurrent: nn.Module

    @nn.compact
    def __call__(self, xs, lengths, taps):
        _, ys = self.recurrent(xs, lengths=lengths, taps=taps)
        if lengths is None:
            return nn.Dense(2)(ys.mean(axis=1))
        valid = (jnp.arange(ys.shape[1])[None] < lengths[:, None])[..., None]
        return nn.Dense(2)(jnp.sum(ys * valid, axis=1) / jnp.maximum(lengths, 1)[:, None])


class AllAtOnce(nn.Module):
    """Returns all outputs, also past an example's end, and the final state; starts from a nonzero state."""

    recurrent: nn.Module

    @nn.compact
    def __call__(self, xs, lengths, taps):
        time_major = self.recurrent.time_major
        state = self.recurrent.cell.initial_state((B,))
        state = jax.tree.map(lambda a: a + 0.3, state)
        xs = jnp.swapaxes(xs, 0, 1) if time_major else xs
        final, ys = self.recurrent(xs=xs, lengths=lengths, taps=taps, state=state)
        flat = (jnp.swapaxes(ys, 0, 1) if time_major else ys).reshape(B, -1)
        return jnp.concatenate([flat, *final], axis=-1)


class Twice(nn.Module):
    """One layer, called a second time on its outputs of the first call."""

    recurrent: nn.Module

    @nn.compact
    def __call__(self, xs, lengths, taps):
        _, ys = self.recurrent(nn.Dense(4)(xs), lengths=lengths, taps=taps[0])
        final, _ = self.recurrent(ys, lengths=lengths, taps=taps[1])
        return nn.Dense(1)(final.h)

    def zero_taps(self, batch, steps):
        return self.recurrent.zero_taps(batch, steps), self.recurrent.zero_taps(batch, steps)


class Classifier(nn.Module):
    """``SequenceClassifier`` on words, which are computed from the input vectors."""

    recurrent: nn.Module

    @nn.compact
    def __call__(self, xs, lengths, taps):
        tokens = jnp.argmax(jnp.concatenate([xs] * 3, axis=-1), axis=-1)
        return rnnjax.SequenceClassifier(WORDS, D, self.recurrent)(tokens, lengths=lengths, taps=taps)[1]


MODELS = {
    "classifier": Classifier(rnn("LSTM")),
    "classifier, bidirectional": Classifier(bidirectional("GRU")),
    "classifier, stack": Classifier(rnnjax.Stack((bidirectional("LSTM"), rnn("GRU"), rnn("SimpleRNN")))),
    "pooled": Pooled(rnn("LSTM")),
    "pooled, reverse": Pooled(rnn("GRU", reverse=True)),
    "all at once": AllAtOnce(rnn("LSTM")),
    "all at once, time-major": AllAtOnce(rnn("LSTM", time_major=True)),
    "all at once, time-major and reverse": AllAtOnce(rnn("LSTM", time_major=True, reverse=True)),
    "twice": Twice(rnn("LSTM")),
}
