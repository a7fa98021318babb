"""The gate that a gradient enters by, against an enumeration of all ways with a copy of h for every gate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, assert_close, make_inputs, make_params, make_state, slow_unless, total

from rnnjax.diagnostics import linearise, paths


@pytest.mark.parametrize("name", [slow_unless(name != "GRU", name) for name in CELLS])
def test_the_gate_a_path_enters_first_by_enumeration_of_all_ways(x64, name):
    """From m_t along the memory argument of ``update`` to every s, out to h_s, into one gate of step s + 1."""
    cell, T = CELLS[name], 4
    G, H = len(cell.gates), cell.features
    params, xs, start = make_params(cell), make_inputs(cell, (), T), make_state(cell, ())
    blocks = jnp.split(params.w_h, G, axis=1)
    biases = [jnp.zeros(H)] * G if params.b_h is None else jnp.split(params.b_h, G)

    def step(copies, m, x_t):
        """One step whose h is a different copy (G, H) for every gate: the state after it."""
        z_x = cell.project(x_t, params.w_x, params.b)
        z_h = jnp.concatenate([copies[k] @ blocks[k] + biases[k] for k in range(G)])
        m_t = cell.update(z_x, z_h, m)
        return cell.make_state(cell.readout(z_x, z_h, m_t), m_t)

    def readout(copies, m_t, x_t):
        z_h = jnp.concatenate([copies[k] @ blocks[k] + biases[k] for k in range(G)])
        return cell.readout(cell.project(x_t, params.w_x, params.b), z_h, m_t)

    def to_go(state, t):
        """What is still to be paid from the state after step t on: a loss that reads every state."""
        loss = total(state)
        for x_t in xs[t + 1 :]:
            state, _ = cell.step(params, state, x_t)
            loss = loss + total(state)
        return loss

    @jax.jit
    def enumerated():
        states = [start]
        for x_t in xs:
            states.append(cell.step(params, states[-1], x_t)[0])  # states[t + 1] is the one after step t
        enters = [[jnp.zeros(H) for _ in range(G)] for _ in range(T)]
        for t in range(T):
            belt = jnp.eye(H)  # ∂m_s/∂m_t along the belt alone
            for s in range(t, T - 1):
                before, here = states[s], states[s + 1]
                if s > t:
                    copies = jnp.tile(before[0], (G, 1))
                    belt = jax.jacrev(lambda m, c=copies, x=xs[s]: step(c, m, x)[-1])(before[-1]) @ belt
                copies = jnp.tile(before[0], (G, 1))
                shown = jax.jacrev(lambda m, c=copies, x=xs[s]: readout(c, m, x))(here[-1])
                copies = jnp.tile(here[0], (G, 1))
                entered = jax.jacrev(lambda c, m=here[-1], x=xs[s + 1]: step(c, m, x))(copies)  # fields of (H, G, H)
                owed = jax.grad(to_go)(states[s + 2], s + 1)
                for k in range(G):
                    at_copy = sum(o @ e[:, k] for o, e in zip(owed, entered, strict=True))
                    enters[t][k] = enters[t][k] + at_copy @ shown @ belt
        asked = [jax.grad(total)(state) for state in states[1:]]
        asked = jax.tree.map(lambda *a: jnp.stack(a), *asked)
        ways = paths(cell, params, linearise(cell, params, xs, start), asked)
        return ways.enters, ways.detour, jnp.stack([jnp.stack(row) for row in enters])

    actual, detour, expected = enumerated()
    assert_close(actual, expected, 1e-12)
    assert_close(detour, expected.sum(axis=1), 1e-12)
    assert np.all(np.any(np.asarray(expected[:-1]) != 0, axis=-1))
