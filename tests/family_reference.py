"""The cells of rnnjax/cells/family that are not elementwise, with their equations written once more.

The equations are those of the papers, for NumPy or jax.numpy (``xp``), with ``added`` to each array of the state where
it is made. The sLSTM is written without its stabiliser.
"""

import jax
import jax.numpy as jnp
from sequences import FEATURES, WIDE, make_state, total

import rnnjax

FAMILY = {
    "LayerNormLSTM": rnnjax.LayerNormLSTM(FEATURES, **WIDE),
    "ProjectedLSTM": rnnjax.ProjectedLSTM(FEATURES, projection=3, **WIDE),
    "SLSTM": rnnjax.SLSTM(6, heads=2, **WIDE),
    "SLSTM exponential": rnnjax.SLSTM(FEATURES, forget_gate="exponential", **WIDE),
    "LRU": rnnjax.LRU(FEATURES, r_min=0.4, **WIDE),
    "CoRNN": rnnjax.CoRNN(FEATURES, dt=0.3, gamma=1.5, epsilon=0.8, **WIDE),
}


def sigmoid(xp, a):
    return 1 / (1 + xp.exp(-a))


def normalised(xp, a, alpha, beta, epsilon):
    mean = a.sum(axis=-1)[..., None] / a.shape[-1]
    deviation = xp.sqrt(((a - mean) ** 2).sum(axis=-1)[..., None] / a.shape[-1] + epsilon)
    return alpha * (a - mean) / deviation + beta


def layer_norm_lstm(xp, cell, p, state, x, added):
    h, c = state
    z = normalised(xp, h @ p.w_h, p.alpha_h, p.beta_h, cell.epsilon)
    z = z + normalised(xp, x @ p.w_x, p.alpha_x, p.beta_x, cell.epsilon) + p.b
    i, f, g, o = (z[..., k * cell.features : (k + 1) * cell.features] for k in range(4))
    c = sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(g) + added[1]
    h = sigmoid(xp, o) * xp.tanh(normalised(xp, c, p.alpha_c, p.beta_c, cell.epsilon)) + added[0]
    return (h, c), h


def projected_lstm(xp, cell, p, state, x, added):
    h, c = state
    z = x @ p.w_x + h @ p.w_h + p.b
    i, f, g, o = (z[..., k * cell.features : (k + 1) * cell.features] for k in range(4))
    c = sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(g) + added[1]
    h = (sigmoid(xp, o) * xp.tanh(c)) @ p.w_p + added[0]
    return (h, c), h


def slstm(xp, cell, p, state, x, added):
    """Of the unstabilised c and n: what is added to c and n of the cell is added here times exp(m)."""
    h, c, n = state
    width = cell.features // cell.heads
    gates = []
    for k in range(4):
        of_heads = [
            h[..., j * width : (j + 1) * width] @ p.r[j][:, k * width : (k + 1) * width] for j in range(cell.heads)
        ]
        own = slice(k * cell.features, (k + 1) * cell.features)
        gates.append(x @ p.w[:, own] + p.b[own] + xp.concatenate(of_heads, axis=-1))
    i, f, z, o = gates
    f = xp.exp(f) if cell.forget_gate == "exponential" else sigmoid(xp, f)
    c = f * c + xp.exp(i) * xp.tanh(z) + added[1]
    n = f * n + xp.exp(i) + added[2]
    h = sigmoid(xp, o) * c / n + added[0]
    return (h, c, n), h


def lru(xp, cell, p, state, x, added):
    matrix = xp.diag(xp.exp(-xp.exp(p.nu_log) + 1j * xp.exp(p.theta_log)))
    driven = (x @ p.b_re + 1j * (x @ p.b_im)) * xp.exp(p.gamma_log)
    new = state[0] @ matrix + driven + added[0]
    return (new,), (new @ (p.c_re + 1j * p.c_im)).real + x @ p.d


def cornn(xp, cell, p, state, x, added):
    y, z = state
    z = z + cell.dt * xp.tanh(y @ p.w_y + z @ p.w_z + x @ p.v + p.b) - cell.dt * (cell.gamma * y + cell.epsilon * z)
    z = z + added[1]
    y = y + cell.dt * z + added[0]
    return (y, z), y


STEPS_OF = {
    rnnjax.LayerNormLSTM: layer_norm_lstm,
    rnnjax.ProjectedLSTM: projected_lstm,
    rnnjax.SLSTM: slstm,
    rnnjax.LRU: lru,
    rnnjax.CoRNN: cornn,
}


def unstabilised(xp, state):
    """The state of the reference: that of the sLSTM without its stabiliser, of other cells the same."""
    return (state.h, state.c * xp.exp(state.m), state.n * xp.exp(state.m)) if hasattr(state, "n") else tuple(state)


@jax.numpy_rank_promotion("allow")
def reference(xp, cell, params, xs, state, lengths=None, resets=None, reverse=False, added=None):
    """(final, states, ys) of a loop over the steps of each example."""
    state, (steps, *_), states, ys = unstabilised(xp, state), xs.shape, {}, {}
    initial = unstabilised(xp, jax.tree.map(xp.asarray, cell.initial_state(xs.shape[1:-1])))
    for t in range(steps)[:: -1 if reverse else 1]:
        first = t + 1 if reverse else t  # the first step of an episode that a reset stands at
        if resets is not None and first < steps:
            inside = resets[first] if lengths is None else resets[first] & (first < lengths)
            state = tuple(xp.where(inside[..., None], a, b) for a, b in zip(initial, state, strict=True))
        here = [0] * len(state) if added is None else [a[t] for a in added]
        new, y = STEPS_OF[type(cell)](xp, cell, params, state, xs[t], here)
        if lengths is not None:
            valid = (t < lengths)[..., None]
            new = tuple(xp.where(valid, a, b) for a, b in zip(new, state, strict=True))
            y = new[0] if hasattr(cell.initial_state(), "h") else xp.where(valid, y, 0)
        state, states[t], ys[t] = new, new, y
    of_steps = [tuple(states[t][k] for t in range(steps)) for k in range(len(state))]
    return state, tuple(xp.stack(a) for a in of_steps), xp.stack([ys[t] for t in range(steps)])


def real_numbers(tree):
    """The real and imaginary parts of all complex arrays in ``tree``."""
    return jax.tree.map(lambda a: jnp.stack([a.real, a.imag]) if jnp.iscomplexobj(a) else a, tree)


def make_start(cell, batch_shape):
    """A state to start from; the normaliser of the sLSTM is positive, as after any step."""
    state = make_state(cell, batch_shape)
    return state._replace(n=jnp.abs(state.n) + 0.5) if hasattr(state, "n") else state


def scalar(tree):
    """A loss of all arrays in ``tree``, real or complex."""
    return total(real_numbers(tree))
