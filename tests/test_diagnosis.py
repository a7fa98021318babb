"""``rnnjax.diagnose``: on a bare cell, on a user's own model, on models with a fault."""

import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from rich.console import Console
from sequences import normal_like, slow_unless

import rnnjax
from rnnjax.diagnostics import half_life
from rnnjax.report.diagnosis_report import diagnosis_summary, rich_summary

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
    assert not any(" --" in alarm.sentence + alarm.remedy for alarm in found.values())  # flags are for launch.py
    if name == "not finite":
        assert dict(found[name].evidence) == {"phase": "forward", "layer": "rnn", "gate": "g", "timestep": 0}


@pytest.mark.slow
def test_nothing_is_said_of_a_sound_cell():
    assert diagnose_cell(rnnjax.LSTM(UNITS, chrono=STEPS)).alarms == ()


def test_nothing_is_said_of_a_sound_cell_nor_of_padding_where_lengths_are_given():
    xs, lengths = XS.at[-10:].set(0), jnp.full(BATCH, STEPS - 10)
    assert diagnose_cell(rnnjax.LSTM(UNITS, chrono=STEPS), (xs, lengths)).alarms == ()


def test_a_loss_that_is_not_one_number_for_each_example_is_refused():
    cell = rnnjax.LSTM(UNITS)
    with pytest.raises(ValueError, match="one number for each example"):
        rnnjax.diagnose(cell, cell.init(jax.random.key(0), INPUTS), XS, lambda final, ys: (final.h**2).mean())


@pytest.mark.parametrize(
    "cell",
    [slow_unless(False, rnnjax.SimpleRNN(3)), rnnjax.LSTM(3), slow_unless(False, rnnjax.GRU(3))],
    ids=["SimpleRNN", "LSTM", "GRU"],
)
def test_series_of_one_step(cell, tmp_path):
    result = diagnose_cell(cell, XS[:1])
    (layer,) = result.diagnosis.layers
    params = cell.init(jax.random.key(0), INPUTS)
    state, h = cell.step(params, cell.initial_state((BATCH,)), XS[0])
    slope = 1 if len(state) == 1 else h / jnp.tanh(state.c) * (1 - jnp.tanh(state.c) ** 2)  # ∂h/∂c, σ(o) being h/tanh c
    expected = np.median(np.linalg.norm(2 * h * slope, axis=-1))
    assert list(layer.count) == [BATCH]
    assert layer.by_lag["m"].q50 == pytest.approx([expected], rel=1e-4)
    assert layer.omega == 0
    assert np.isfinite(layer.lyapunov.exponents).all()
    if len(state) == 2:  # figures take seconds
        assert result.save(tmp_path / "page.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 10
        assert set(result.plot()) == {"decay", "paths", "shares", "gates", "flow"}


def test_inputs_and_lengths_may_be_a_list():
    cell, lengths = rnnjax.SimpleRNN(3), np.array([3, 2, 1, 3, 3, 2])
    result = diagnose_cell(cell, [XS[:3], lengths])
    final, _ = rnnjax.unroll(cell, cell.init(jax.random.key(0), INPUTS), XS[:3], lengths=lengths)
    np.testing.assert_allclose(result.examined.losses, last_output(final, None), rtol=1e-6)
    assert list(result.diagnosis.layers[0].count) == [6, 5, 3]


@pytest.mark.parametrize("within", ["jit of batch", "jit of params", "jit of nothing", "vmap", "grad"])
def test_diagnose_inside_a_transformation_is_refused(within):
    cell = rnnjax.GRU(3)
    params = cell.init(jax.random.key(0), INPUTS)

    def mean_loss(params, xs):
        return rnnjax.diagnose(cell, params, xs, last_output).diagnosis.loss

    calls = {
        "jit of batch": lambda: jax.jit(lambda xs: mean_loss(params, xs))(XS),
        "jit of params": lambda: jax.jit(lambda params: mean_loss(params, XS))(params),
        "jit of nothing": lambda: jax.jit(lambda: mean_loss(params, XS))(),
        "vmap": lambda: jax.vmap(lambda xs: mean_loss(params, xs))(XS[None]),
        "grad": lambda: jax.grad(lambda params: mean_loss(params, XS))(params),
    }
    with pytest.raises(ValueError, match=r"^diagnose cannot be called inside jax\.jit, .*; call it outside of them"):
        calls[within]()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "path must be a file, but '{folder}' is a folder; write to '{folder}/diagnosis.html'"),
        ("no/page.html", "there is no folder '{folder}/no' to write 'page.html' to; make it first"),
        ("file/page.html", "there is no folder '{folder}/file' to write 'page.html' to; make it first"),
        ("p" * 300, "'{folder}/" + "p" * 300 + "' cannot be written (File name too long); choose another place"),
    ],
)
def test_a_page_that_cannot_be_written_is_one_sentence_and_leaves_nothing(lstm, tmp_path, path, said):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole message is compared
        lstm.save(str(tmp_path / path))
    assert str(error.value) == said.format(folder=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", [None, 3, " "])
def test_a_path_that_names_no_file_is_refused(lstm, path):
    with pytest.raises(ValueError, match=r"^path must be the name of the page to write, as 'diagnosis\.html', got "):
        lstm.save(path)


class Branches(nn.Module):
    """Layers with long names, of which a conditional leaves one out."""

    @nn.compact
    def __call__(self, xs):
        left = rnnjax.RNN(rnnjax.GRU(3), name="the_same_long_beginning_of_the_name_left")
        right = rnnjax.RNN(rnnjax.GRU(3), name="the_same_long_beginning_of_the_name_right")
        if self.is_initializing():
            left(xs), right(xs)
        final = nn.cond(xs.sum() > 1e6, lambda _, xs: left(xs)[0].h, lambda _, xs: right(xs)[0].h, self, xs)
        again, _ = left(xs[:, ::-1])
        return (final**2 + again.h).sum(-1)


@pytest.fixture(scope="module")
def branches():
    model, xs = Branches(), jnp.swapaxes(XS[:5], 0, 1)
    params = model.init(jax.random.key(0), xs)["params"]
    loss = jax.jit(lambda params, xs: model.apply({"params": params}, xs))
    return rnnjax.diagnose(model, params, xs, loss), loss(params, xs)


def test_a_jitted_loss_is_measured_and_a_branch_that_was_not_taken_is_left_out(branches):
    result, losses = branches
    assert [layer.name.rsplit("_")[-1] for layer in result.diagnosis.layers] == ["right", "left"]
    assert len(result.examined.calls) == len(result.examined.paths) == 2
    np.testing.assert_allclose(result.examined.losses, losses, rtol=1e-6)


@pytest.mark.parametrize("width", [80, 60, 120])
def test_names_of_layers_are_never_cut_in_the_summary(branches, width):
    table = branches[0].summary()
    table.caption = None
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table)
    first_column = [line.split("│")[1].strip() for line in console.export_text().splitlines() if "│" in line]
    written = "".join(cell.removeprefix("GRU") for cell in first_column).replace(" ", "")
    assert written == "".join(layer.name for layer in branches[0].diagnosis.layers)


def test_a_name_is_not_read_as_a_style(branches):
    diagnosis = branches[0].diagnosis
    layers = tuple(msgspec.structs.replace(layer, name="[red]rnn[/]") for layer in diagnosis.layers)
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(rich_summary(diagnosis_summary(msgspec.structs.replace(diagnosis, layers=layers), ())))
    assert console.export_text().count("GRU [red]rnn[/]") == 2
