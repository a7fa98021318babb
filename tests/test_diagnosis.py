"""``rnnjax.diagnose``: on a bare cell, on a user's own model, on models with a fault."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from sequences import normal_like

import rnnjax
from rnnjax.diagnostics import half_life

STEPS, BATCH, INPUTS, UNITS = 40, 6, 3, 8
XS = normal_like(jax.ShapeDtypeStruct((STEPS, BATCH, INPUTS), jnp.float32), 0)


def last_output(final, ys):
    return (final.h**2).sum(-1)


def diagnose_cell(cell, xs=XS, change=lambda params: params):
    return rnnjax.diagnose(cell, change(cell.init(jax.random.key(0), INPUTS)), xs, last_output)


class OwnModel(nn.Module):
    """A model without taps: a bidirectional layer, then one direction, then the mean over time."""

    @nn.compact
    def __call__(self, xs, lengths=None):
        gru = rnnjax.RNN(rnnjax.GRU(UNITS, chrono=STEPS))
        backwards = rnnjax.RNN(rnnjax.LSTM(UNITS), reverse=True)
        _, ys = rnnjax.Bidirectional(gru, backwards)(xs, lengths=lengths)
        _, ys = rnnjax.RNN(rnnjax.SimpleRNN(UNITS), name="top")(ys, lengths=lengths)
        return nn.Dense(1)(ys.mean(axis=1))[:, 0]


@pytest.fixture(scope="module")
def lstm():
    return diagnose_cell(rnnjax.LSTM(UNITS))


@pytest.fixture(scope="module")
def own_model():
    model, xs = OwnModel(), jnp.swapaxes(XS, 0, 1)
    params = model.init(jax.random.key(1), xs)["params"]
    lengths = jnp.array([40, 3, 17, 40, 1, 28])
    return rnnjax.diagnose(model, params, (xs, lengths), lambda p, b: model.apply({"params": p}, *b) ** 2)


def test_a_bare_cell_is_measured_as_by_its_taps(lstm):
    cell = rnnjax.LSTM(UNITS)
    params = cell.init(jax.random.key(0), INPUTS)

    def loss(taps):
        final, states = rnnjax.unroll(cell, params, XS, taps=taps)
        return last_output(final, states.h).sum()

    totals = jax.grad(loss)(cell.initial_state((STEPS, BATCH)))
    norms = np.linalg.norm(totals.c, axis=-1)
    (ways,), (layer,) = lstm.examined.paths, lstm.diagnosis.layers
    np.testing.assert_allclose(ways.memory, totals.c, atol=1e-6 * norms.max())
    np.testing.assert_allclose(layer.by_lag["m"].q50, np.median(norms, axis=1)[::-1], rtol=1e-3)
    assert layer.units == UNITS
    assert layer.keep_at_bias == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-4)


def test_the_diagnosis_holds_the_measured_numbers_and_does_not_round_them(lstm):
    (layer,), (measured,) = lstm.diagnosis.layers, lstm.examined.layers
    assert layer.by_lag.keys() == measured.by_lag.keys()
    for name, quantiles in layer.by_lag.items():
        for curve, expected in zip((quantiles.q10, quantiles.q50, quantiles.q90), measured.by_lag[name], strict=True):
            assert curve.dtype == np.float64
            np.testing.assert_array_equal(curve, expected)
    assert layer.omega == float(measured.omega) != float(f"{layer.omega:.5g}")
    assert layer.saturation == dict(zip("ifgo", np.asarray(measured.saturation, np.float64), strict=True))
    np.testing.assert_array_equal(layer.lyapunov.exponents[0], np.max(measured.lyapunov.exponents))


def test_the_summary_holds_the_numbers(lstm):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(lstm.summary())
    console.file.close()
    text = console.export_text()
    (layer,) = lstm.diagnosis.layers
    assert f"{BATCH} examples" in text
    assert "LSTM rnn" in text
    assert f"{half_life(layer.by_lag['decay'].q50):.1f}" in text
    assert f"{100 * layer.belt_share:.1f}" in text
    assert f"{layer.lyapunov.exponents[0]:.3f}" in text
    assert all(alarm.sentence.split()[-1] in text for alarm in lstm.alarms)


def test_a_users_own_model_is_looked_into_layer_by_layer(own_model):
    layers = own_model.diagnosis.layers
    assert [(layer.cell, layer.reverse) for layer in layers] == [("GRU", False), ("LSTM", True), ("SimpleRNN", False)]
    assert layers[2].name == "top"
    assert all(list(layer.count[:4]) == [6, 5, 5, 4] for layer in layers)
    assert np.isfinite([layer.by_lag["m"].q50 for layer in layers]).all()
    assert layers[0].belt_share > layers[1].belt_share > layers[2].belt_share == 0
    assert "exploding" not in {alarm.name for alarm in own_model.alarms}  # a mean over time reads every step


def test_figures_and_page(own_model, tmp_path):
    figures = own_model.plot()
    assert list(figures) == ["decay", "paths", "shares", "gates", "flow"]
    for figure in figures.values():
        assert [panel.get_title(loc="left").split()[0] for panel in figure.axes] == ["GRU", "LSTM", "SimpleRNN"]
    belt = {line.get_label(): line.get_ydata() for line in figures["shares"].axes[0].get_lines()}["belt, of all"]
    np.testing.assert_array_equal(belt[1:3], own_model.diagnosis.layers[0].by_lag["belt_share"].q50[1:3])
    page = own_model.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 * len(figures)
    assert "http" not in page
    assert all(layer.name in page for layer in own_model.diagnosis.layers)


def spoil(field, at, value):
    return lambda params: params._replace(**{field: getattr(params, field).at[at].set(value)})


F, G = slice(UNITS, 2 * UNITS), slice(2 * UNITS, 3 * UNITS)
FAULTS = {
    "vanishing": lambda: diagnose_cell(rnnjax.SimpleRNN(UNITS, recurrent_init=rnnjax.Orthogonal(0.5))),
    "exploding": lambda: diagnose_cell(rnnjax.SimpleRNN(UNITS, activation="relu", recurrent_init=rnnjax.Identity(1.5))),
    "saturated gates": lambda: diagnose_cell(rnnjax.LSTM(UNITS), change=spoil("b", slice(UNITS), 30.0)),
    "padding read": lambda: diagnose_cell(rnnjax.LSTM(UNITS), XS.at[-10:].set(0)),
    "forget bias": lambda: diagnose_cell(rnnjax.LSTM(UNITS, forget_bias=0.0)),
    "dead memory": lambda: diagnose_cell(rnnjax.LSTM(UNITS, forget_bias=-6.0)),
    "not finite": lambda: diagnose_cell(rnnjax.LSTM(UNITS), change=spoil("w_h", (0, G), jnp.nan)),
}


@pytest.mark.slow  # each compiles for itself
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_put_in_is_found(name):
    found = {alarm.name: alarm for alarm in FAULTS[name]().alarms}
    assert name in found
    if name == "not finite":
        assert dict(found[name].evidence) == {"phase": "forward", "layer": "rnn", "gate": "g", "timestep": 0}


def test_nothing_is_said_of_a_sound_cell():
    assert diagnose_cell(rnnjax.LSTM(UNITS, chrono=STEPS)).alarms == ()


def test_padding_is_not_read_where_lengths_are_given():
    xs, lengths = XS.at[-10:].set(0), jnp.full(BATCH, STEPS - 10)
    assert "padding read" not in {alarm.name for alarm in diagnose_cell(rnnjax.LSTM(UNITS), (xs, lengths)).alarms}


def test_a_loss_that_is_not_one_number_for_each_example_is_refused():
    cell = rnnjax.LSTM(UNITS)
    with pytest.raises(ValueError, match="one number for each example"):
        rnnjax.diagnose(cell, cell.init(jax.random.key(0), INPUTS), XS, lambda final, ys: (final.h**2).mean())
