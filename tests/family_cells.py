"""Shared by tests of the cells in rnnjax/cells/family: the cells, and their equations in NumPy with exact derivatives.

The references are written from the papers' equations. They work with complex numbers, so that a derivative is the
imaginary part of the loss after an imaginary step of 1e-30, exact to rounding (the complex-step method). All steps,
one for each differentiated number, are taken at once: every array has a leading axis for them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sequences import FEATURES, INPUTS, LENGTHS, STEPS, WIDE, make_case

import rnnjax

CELLS = {
    "PeepholeLSTM": rnnjax.PeepholeLSTM(FEATURES, **WIDE),
    "JANET": rnnjax.JANET(FEATURES, beta=0.7, **WIDE),
    "IndRNN": rnnjax.IndRNN(FEATURES, time_steps=STEPS, **WIDE),
    "IndRNN tanh": rnnjax.IndRNN(FEATURES, activation="tanh", **WIDE),
    "MinGRU": rnnjax.MinGRU(FEATURES, **WIDE),
    "MinLSTM": rnnjax.MinLSTM(FEATURES, forget_bias=0.5, **WIDE),
    "CTRNN": rnnjax.CTRNN(FEATURES, sigma=0.3, **WIDE),
    "CTRNN relu": rnnjax.CTRNN(FEATURES, activation="relu", tau=30.0, dt=10.0, **WIDE),
}
BATCH = len(LENGTHS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def phi(cell, z):
    return np.tanh(z) if cell.activation == "tanh" else np.where(z.real > 0, z, 0)


def peephole_lstm(cell, p, state, x, eps, keep):
    h, c = state
    i, f, g, o = np.split(x @ p.w_x + h @ p.w_h + p.b, 4, axis=-1)
    new = sigmoid(f + p.own.p_f * c) * c + sigmoid(i + p.own.p_i * c) * np.tanh(g)
    new = keep(new, c)
    return sigmoid(o + p.own.p_o * new) * np.tanh(new), new


def janet(cell, p, state, x, eps, keep):
    (h,) = state
    s, candidate = np.split(h @ p.w_h + x @ p.w_x + p.b, 2, axis=-1)
    return (keep(sigmoid(s) * h + (1 - sigmoid(s - cell.beta)) * np.tanh(candidate), h),)


def indrnn(cell, p, state, x, eps, keep):
    (h,) = state
    return (keep(phi(cell, x @ p.w_x + p.own.u * h + p.b), h),)


def min_gru(cell, p, state, x, eps, keep):
    (h,) = state
    z, candidate = np.split(x @ p.w_x + p.b, 2, axis=-1)
    z = sigmoid(z)
    return (keep((1 - z) * h + z * candidate, h),)


def min_lstm(cell, p, state, x, eps, keep):
    (h,) = state
    f, i, candidate = np.split(x @ p.w_x + p.b, 3, axis=-1)
    f, i = sigmoid(f), sigmoid(i)
    return (keep(f / (f + i) * h + i / (f + i) * candidate, h),)


def ctrnn(cell, p, state, x, eps, keep):
    (h,) = state
    alpha = cell.dt / cell.tau
    drive = h @ p.w_h + x @ p.w_x + p.b + np.sqrt(2 / alpha * cell.sigma**2) * eps
    return (keep((1 - alpha) * h + alpha * phi(cell, drive), h),)


EQUATIONS = {
    "PeepholeLSTM": peephole_lstm,
    "JANET": janet,
    "IndRNN": indrnn,
    "MinGRU": min_gru,
    "MinLSTM": min_lstm,
    "CTRNN": ctrnn,
}


def phases(shape):
    """Those of ``sequences.total``."""
    return (0.618 * np.arange(np.prod(shape)) % 1.0 * 2 * np.pi).reshape(shape)


def run(name, arguments, lengths, resets, reverse, masks):
    """(final, states) of arrays with a leading axis, from ``arguments`` that all have one."""
    cell, equations = CELLS[name], EQUATIONS[name.split()[0]]
    params, xs, taps = arguments["params"], arguments["xs"] * masks["x"], list(arguments["taps"])
    vectors = [a[:, None] for a in (params.b, *(params.own or ()))]  # (P, H) → (P, 1, H)
    own = None if params.own is None else type(params.own)(*vectors[1:])
    params = params._replace(b=vectors[0], own=own)
    state, steps = list(arguments["state"]), xs.shape[1]
    states = [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        first = t + 1 if reverse else t  # the step at which the episode begins that this step leaves, or enters
        begins = (resets[first] & (first < lengths))[:, None] if first < steps else np.zeros((len(lengths), 1), bool)
        before = [np.where(begins, 0, a) for a in state]

        def keep(new, old, t=t):
            return np.where(masks["hold"][t], old, new) + taps[-1][:, t]

        new = list(equations(cell, params, before, xs[:, t], masks["eps"][t], keep))
        if len(new) > 1:
            new[0] = new[0] + taps[0][:, t]
        state = [np.where((t < lengths)[:, None], a, b) for a, b in zip(new, state, strict=True)]
        states[t] = state
    return state, [np.stack(a, axis=1) for a in zip(*states, strict=True)]


def reference(name, arguments, lengths, resets, reverse, masks):
    """(gradient, (final, states)) as ``sequences.fused_and_autodiff`` gives them, in NumPy alone."""
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, arguments))
    flat = np.concatenate([a.ravel() for a in leaves])
    step = 1e-30
    moved = flat[None] + 1j * step * np.eye(len(flat))
    parts = np.split(moved, np.cumsum([a.size for a in leaves])[:-1], axis=1)
    moved = structure.unflatten([part.reshape(-1, *a.shape) for part, a in zip(parts, leaves, strict=True)])
    final, states = run(name, moved, lengths, resets, reverse, masks)
    loss = sum(np.sin(a + phases(a.shape[1:])).reshape(len(flat), -1).sum(axis=1) for a in (*final, *states))
    slopes = np.split(loss.imag / step, np.cumsum([a.size for a in leaves])[:-1])
    gradient = structure.unflatten([s.reshape(a.shape) for s, a in zip(slopes, leaves, strict=True)])
    state = CELLS[name].State
    values = state(*[a[0].real for a in final]), state(*[a[0].real for a in states])
    return jax.tree.map(jnp.asarray, (gradient, values))


def full_case(name, reverse=False):
    """(arguments to differentiate, other options of ``unroll``, what ``reference`` takes) with everything in it.

    A state, lengths, resets (one at the first step, one past an example's end), taps that are not 0, dropout of the
    inputs, zoneout, and noise where the cell has any.
    """
    cell, zoneout = CELLS[name], 0.3
    arguments, options = make_case(cell, (BATCH,), "lengths state taps")
    resets = np.zeros((STEPS, BATCH), bool)
    for t, b in ((0, 1), (3, 1), (4, 1), (2, 2), (5, 2), (0, 3)):
        resets[t, b] = True
    random = cell.replace(input_dropout=0.3, zoneout=zoneout)
    drawn = random.dropout_masks(jax.random.key(11), jnp.arange(BATCH), INPUTS, STEPS)
    scale = np.sqrt(2 * cell.tau / cell.dt) * cell.sigma if drawn.noise is not None else 1.0
    eps = np.zeros((STEPS, BATCH, 1)) if drawn.noise is None else np.asarray(drawn.noise) / scale
    masks = {"x": np.asarray(drawn.x), "hold": np.asarray(drawn.hold), "eps": eps}
    options |= {"resets": jnp.asarray(resets), "reverse": reverse, "dropout": drawn}
    return arguments, options, (np.array(LENGTHS), resets, reverse, masks)
