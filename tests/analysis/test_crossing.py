"""How much gradient crosses the beginning of an episode: none where the state is reset there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, make_inputs, make_params, normal_like, slow_unless

import rnnjax
from experiments.shifted_resets import ShiftedResets

pytestmark = pytest.mark.slow

T, B, WORDS = 8, 4, 6
BEGINS = np.zeros((T, B), bool)
BEGINS[0] = BEGINS[3, 0] = BEGINS[5, 0] = BEGINS[4, 1] = BEGINS[6, 3] = True
LENGTHS = np.array([8, 7, 3, 8])
VALID = np.arange(T) < LENGTHS[:, None]


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_the_share_that_crosses_is_that_of_the_taps(x64, name, reverse):
    """Without resets: ∂L/∂(state before an episode's first step) of later steps alone, by taps one episode apart."""
    cell = CELLS[name]
    layer = rnnjax.RNN(cell, reverse=reverse)
    xs = make_inputs(cell, (B,)).swapaxes(0, 1)
    params = {"cell": {k: v for k, v in make_params(cell)._asdict().items() if v is not None}}

    def loss(params, xs, resets=None, taps=None):
        _, ys = layer.apply({"params": params}, xs, lengths=LENGTHS, resets=resets, taps=taps)
        return jnp.where(VALID, jnp.sin(3 * ys).sum(axis=-1), 0)

    def crossing(**options):
        result = rnnjax.diagnose(layer, params, xs, lambda *a: loss(*a, **options).sum(axis=-1), resets=BEGINS)
        share = result.diagnosis.layers[0].crossing
        assert ("crosses a reset" in {alarm.name for alarm in result.alarms}) == (share > 0)
        return share

    assert crossing(resets=BEGINS.T) == 0
    late = np.roll(BEGINS, 1, axis=0)
    late[0] = False
    assert crossing(resets=late.T) > 0.01

    if cell.has_separate_memory:  # its taps do not take h and c as independent
        assert crossing() > 0.01
        return

    @jax.jit
    def gradient(taps, read):
        return jax.grad(lambda taps: jnp.where(read, loss(params, xs, taps=taps), 0).sum())(taps)

    def norms(read):
        """Of the gradient with respect to every state (B, T), of the losses of the steps that are read."""
        return np.linalg.norm(gradient(layer.zero_taps(B, T), read).h, axis=-1)

    across = []
    for t, b in np.argwhere(BEGINS & VALID.T):
        if t > 0:
            later = np.arange(T) < t if reverse else np.arange(T) >= t
            across.append(norms(later[None])[b, t if reverse else t - 1])
    assert crossing() == pytest.approx(max(across) / norms(True).max(), rel=1e-9)


@pytest.mark.parametrize(("shift", "crosses"), [(0, False), (1, True), slow_unless(False, -1, True)])
def test_a_misplaced_reset_raises_the_alarm(shift, crosses):
    """A classifier that resets at certain words, exactly, one step late and one step early."""
    words = np.random.default_rng(0).integers(0, WORDS, (B, T))
    recurrent = rnnjax.RNN(rnnjax.GRU(5))
    kind = rnnjax.SequenceClassifier if shift == 0 else ShiftedResets
    options = {} if shift == 0 else {"shift": shift}
    model = kind(WORDS, 3, recurrent, pooling="every", reset_words=(1, 4), **options)
    variables = model.init(jax.random.key(0), words)
    params = normal_like(variables["params"], 1, 0.5)

    def loss(params, words):
        return jnp.square(model.apply({"params": params}, words)[1]).sum(axis=(1, 2))

    result = rnnjax.diagnose(model, params, words, loss, resets=np.isin(words, (1, 4)).T)
    assert ("crosses a reset" in {alarm.name for alarm in result.alarms}) == crosses


@pytest.mark.parametrize("mapped", [False, True])
def test_resets_are_those_of_the_example_of_each_sequence(mapped):
    """Of three sequences of each example, in one call or mapped; a layer that resets where told lets nothing cross."""
    layer = rnnjax.RNN(rnnjax.SimpleRNN(2))
    xs = np.random.default_rng(0).normal(size=(B, 3, T, 2)).astype(np.float32)
    resets = np.broadcast_to(BEGINS.T[:, None], xs.shape[:3])
    params = layer.init(jax.random.key(0), xs)["params"]

    def loss(params, batch):
        def run(xs, resets):
            return layer.apply({"params": params}, xs, resets=resets)[1]

        if mapped:
            run = jax.vmap(run, in_axes=1, out_axes=1)
        return jnp.sin(run(*batch)).sum(axis=(1, 2, 3))

    result = rnnjax.diagnose(layer, params, (xs, resets), loss, resets=BEGINS)
    assert result.diagnosis.layers[0].crossing == 0


def test_resets_of_another_shape_are_refused():
    cell = CELLS["GRU"].replace(param_dtype=jnp.float32)
    with pytest.raises(ValueError, match=r"resets must be \(T, B\) of truth values, with T and B of \[\(8, 4\)\], got"):
        rnnjax.diagnose(
            cell, make_params(cell), make_inputs(cell, (B,)), lambda _, ys: ys[-1].sum(axis=-1), resets=BEGINS.T
        )
