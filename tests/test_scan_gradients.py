"""``rnnjax.gradient_flow`` and ``rnnjax.diagnose`` on networks that use no layer of rnnjax."""

import functools
import io
from contextlib import redirect_stdout

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich
from rich.console import Console

import rnnjax
from rnnjax.diagnostics import truncation_length

T, B, H = 24, 3, 2
XS = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)


def scan(factor, xs, resets=None, late=False):
    """h ← factor·h + x, where the state may be reset before the step, or too late, at the end of it."""
    resets = jnp.zeros(xs.shape[:2], bool) if resets is None else resets

    def step(h, scanned):
        x, reset = scanned
        h = jnp.where(reset[:, None] & (not late), 0, h)
        h = factor * h + x
        return (jnp.where(reset[:, None], 0, h), h) if late else (h, h)

    return jax.lax.scan(step, jnp.zeros(xs.shape[1:]), (xs, resets))


def last(factor, xs):
    return scan(factor, xs)[0].sum(1)


def every(factor, xs):
    return scan(factor, xs)[1].sum((0, 2))


def text_of(table):
    console = Console(width=120, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def flow():
    return rnnjax.gradient_flow(last, jnp.float32(0.8), XS)


def test_norms_by_step_and_by_lag(flow):
    (name,) = flow.norms
    expected = np.sqrt(2) * 0.8 ** np.arange(T)[::-1]
    np.testing.assert_allclose(flow.norms[name], np.broadcast_to(expected[:, None], (T, B)), rtol=1e-5)
    (layer,) = flow.diagnosis.layers
    np.testing.assert_allclose(layer.by_lag["m"].q90, expected[::-1], rtol=1e-5)
    assert (flow.diagnosis.examples, name) == (B, flow.sites[0].name)


def test_the_summary_has_half_life_reach_and_truncation(flow):
    row = next(line for line in text_of(flow.summary()).splitlines() if "│ test_scan" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    # ln 2 / -ln 0.8 = 3.1; 0.8 to the power of 20 is 0.0115, of 21 below 0.01; 0.8 to the power of 11 is 0.086
    assert cells == [flow.sites[0].name, "24", "3.1", "20", "11"]
    assert "bias ≤ 10%" in text_of(flow.summary())


def test_the_page_and_the_figures(flow, tmp_path):
    assert list(flow.plot()) == ["decay", "whole"]
    page = flow.save(tmp_path / "flow.html").read_text(encoding="utf-8")
    assert flow.sites[0].name in page
    assert "bias ≤ 10%" in page
    with pytest.raises(ValueError, match=r"^path must be a file, but '.*' is a folder"):
        flow.save(tmp_path)


def test_a_mean_loss_tells_examples_apart_by_the_axis_of_the_batch(flow):
    mean = rnnjax.gradient_flow(lambda factor, batch: last(factor, batch.swapaxes(0, 1)).mean(), jnp.float32(0.8),
                                XS.swapaxes(0, 1))  # fmt: skip
    (norms,), (expected,) = mean.norms.values(), flow.norms.values()
    np.testing.assert_allclose(norms * B, expected, rtol=1e-5)


def test_where_the_loss_reads_every_step_the_half_life_is_that_of_one_step():
    flow = rnnjax.gradient_flow(every, jnp.float32(0.8), XS)
    (layer,) = flow.diagnosis.layers
    np.testing.assert_allclose(layer.by_lag["decay"].q50, 0.8 ** np.arange(T), rtol=1e-5)
    total = np.sqrt(2) * (1 - 0.8 ** np.arange(1, T + 1)) / 0.2
    np.testing.assert_allclose(layer.by_lag["m"].q50, total, rtol=1e-5)


def test_lengths_are_those_of_the_gradient_or_of_the_user():
    ends = np.array([24, 10, 1])

    def loss(factor, xs):  # the state after each example's end
        return jnp.take_along_axis(scan(factor, xs)[1], ends[None, :, None] - 1, axis=0)[0].sum(1)

    mask = np.arange(T)[:, None] < ends[None]
    for options in ({}, {"lengths": ends}, {"mask": mask}):
        flow = rnnjax.gradient_flow(loss, jnp.float32(0.8), XS, **options)
        (norms,) = flow.norms.values()
        np.testing.assert_array_equal(np.isnan(norms), ~mask)
        np.testing.assert_array_equal(flow.diagnosis.layers[0].count, mask.sum(1))
        np.testing.assert_allclose(flow.diagnosis.layers[0].by_lag["m"].q10[:10], np.sqrt(2) * 0.8 ** np.arange(10),
                                   rtol=1e-5)  # fmt: skip
    shorter = rnnjax.gradient_flow(loss, jnp.float32(0.8), XS, lengths=np.array([20, 5, 1]))
    np.testing.assert_array_equal(shorter.diagnosis.layers[0].count[[0, 1, 5, 19]], [3, 2, 1, 1])


RESETS = np.zeros((T, B), bool)
RESETS[7, 0] = RESETS[12] = True


def test_a_scan_in_reverse_resets_after_the_first_step_of_an_episode():
    """As layers of rnnjax in reverse; the first step that a scan takes has no step before it to be reset from."""
    first = np.zeros((T, B), bool)
    first[[0, 7]] = True  # first steps of episodes

    def loss(factor, xs, before):
        def step(h, scanned):
            x, reset = scanned
            h = factor * jnp.where(reset[:, None], 0, h) + x
            return h, h

        start = jnp.ones(xs.shape[1:])
        return jax.lax.scan(step, start, (xs, before), reverse=True)[1].sum((0, 2))

    right = np.concatenate([first[1:], np.zeros((1, B), bool)])
    for before, crosses in ((right, False), (first, True)):
        at = functools.partial(loss, before=before)
        flow = rnnjax.gradient_flow(at, jnp.float32(0.8), XS, resets=first)
        (share,) = flow.crossings.values()
        assert (share > 0.1) == crosses
    forward = rnnjax.gradient_flow(lambda f, xs: scan(f, xs, right)[1].sum((0, 2)), jnp.float32(0.8), XS, resets=right)
    assert [*forward.crossings.values()] == [0]


@pytest.mark.parametrize(("shape", "examples", "noted"), [((4, 8), 4, False), ((2, 4, 8), 4, True), ((4, 3), 4, False)])
def test_under_a_mean_loss_units_are_no_examples(shape, examples, noted):
    """A time-major batch of 4 examples with 8 steps, and a state of this shape, of 4 examples each."""

    def mean_loss(scale, xs):
        return jax.lax.scan(
            lambda h, x: (0.5 * h + jnp.broadcast_to(scale * x[:, :1], shape), None), jnp.zeros(shape), xs
        )[0].mean()

    flow = rnnjax.gradient_flow(mean_loss, jnp.float32(1), np.ones((8, 4, 3), np.float32))
    (norms,) = flow.norms.values()
    assert (flow.diagnosis.examples, norms.shape) == (examples, (8, examples))
    told = "By the shapes of batch and carries there may be 4 or 8 examples: 4 are taken; return the loss of each"
    assert [note.startswith(told) for note in flow.notes] == [True] * noted


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mean", [False, True])
def test_layers_of_rnnjax_have_the_norms_of_their_taps_at_every_call(reverse, mean):
    """The second call of a layer is another one; examples of the mean have a third of the gradient each."""
    rnn = rnnjax.RNN(rnnjax.SimpleRNN(H), reverse=reverse)
    xs = np.swapaxes(XS, 0, 1)
    params = rnn.init(jax.random.key(0), xs)

    def loss(params, xs):
        _, ys = rnn.apply(params, rnn.apply(params, xs)[1])
        losses = (ys[:, 0 if reverse else -1] ** 2).sum(-1)
        return losses.mean() if mean else losses

    flow = rnnjax.gradient_flow(loss, params, xs)
    tapped, taps, _ = rnnjax.observe(lambda params, xs: loss(params, xs).sum())(params, xs)
    gradients = jax.grad(tapped)(taps, params, xs)
    assert [*flow.norms] == [layer.name for layer in flow.diagnosis.layers] == ["rnn", "rnn #2"]
    for norms, (gradient,) in zip(flow.norms.values(), gradients.values(), strict=True):
        np.testing.assert_allclose(norms, np.linalg.norm(gradient, axis=-1), rtol=1e-4)


@pytest.mark.parametrize("late", [False, True])
def test_how_much_gradient_crosses_a_reset(late):
    def loss(factor, xs):
        return scan(factor, xs, RESETS, late)[1].sum((0, 2))

    flow = rnnjax.gradient_flow(loss, jnp.float32(0.8), XS, resets=RESETS)
    (share,) = flow.crossings.values()
    result = rnnjax.diagnose(loss, jnp.float32(0.8), XS, loss, resets=RESETS)
    alarms = [alarm.name for alarm in result.alarms]
    assert "crosses resets" in text_of(flow.summary())
    if late:
        assert share > 0.1
        assert alarms == ["crosses a reset"]
        assert result.alarms[0].sentence.endswith(
            "of the largest gradient crosses the beginning of an episode, where the state must be reset."
        )
    else:
        assert share == 0
        assert alarms == []


class Classifier(nn.Module):
    """Two layers of Flax."""

    cell: type[nn.RNNCellBase] = nn.OptimizedLSTMCell

    @nn.compact
    def __call__(self, xs):
        ys = nn.RNN(self.cell(4), name="bottom")(xs)
        return nn.RNN(nn.SimpleCell(4), name="top")(ys)[:, -1].sum(-1)


@pytest.mark.slow  # the two layers are those of the README
def test_diagnose_measures_the_scans_of_a_model_without_our_layers(tmp_path):
    model, xs = Classifier(), XS.swapaxes(0, 1)
    params = model.init(jax.random.key(0), xs)
    result = rnnjax.diagnose(model, params, xs, lambda params, xs: model.apply(params, xs) ** 2)
    names = [layer.name for layer in result.diagnosis.layers]
    assert names == ["Classifier/bottom", "Classifier/top"]
    assert list(result.plot()) == ["decay", "paths", "shares", "gates", "flow"]
    assert "LSTMCell" in text_of(result.summary())
    assert "horizon" in text_of(result.summary())
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Classifier/top" in page
    assert "through 2 recurrent layers, measured on" in page


def test_what_is_shown_of_states_of_an_unknown_cell(tmp_path):
    def loss(scale, xs):
        def step(carry, x):
            c, h = carry
            c = 0.5 * c + jnp.tanh(scale * x + h @ jnp.full((2, 2), 0.3))
            return (c, jnp.tanh(c)), None

        zeros = jnp.zeros(xs.shape[1:])
        return jax.lax.scan(step, (zeros, zeros), xs)[0][1].sum(1)

    result = rnnjax.diagnose(loss, jnp.float32(1), XS[..., :2], loss)
    assert [layer.name.split(" ")[1] for layer in result.diagnosis.layers] == ["carry[0]", "carry[1]"]
    figures = result.plot()
    assert [(name, len(figure.axes)) for name, figure in figures.items()] == [
        ("decay", 2),
        ("paths", 2),
        ("shares", 1),  # h has no belt
        ("flow", 1),  # the exponents are those of the whole state
    ]
    text = text_of(result.summary())
    assert "largest λ" in text
    assert "horizon" not in text
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "through 2 states of scans, measured on" in page


def test_alarms_of_an_unknown_cell_name_no_options_of_ours():
    def loss(factor, xs):
        return scan(factor, xs)[0].sum(1)

    (alarm,) = rnnjax.diagnose(loss, jnp.float32(0.3), XS, loss).alarms
    assert alarm.name == "vanishing"
    assert (
        alarm.remedy
        == "Start with the gate that keeps the state open, by a bias of log 24 for a memory as long as this."
    )
    assert alarm.actions == ()
    (alarm,) = rnnjax.diagnose(loss, jnp.float32(1.5), XS, loss).alarms
    assert alarm.name == "exploding"
    assert "rnnjax." not in alarm.remedy


def test_where_the_first_number_that_is_not_finite_arises():
    def loss(factor, xs):
        return scan(factor, jnp.where(jnp.arange(T)[:, None, None] == 5, jnp.inf, xs))[0].sum(1)

    alarms = rnnjax.diagnose(loss, jnp.float32(0.9), XS, loss).alarms
    assert alarms[0].name == "not finite"
    assert "in the forward pass, in test_scan_gradients.py:" in alarms[0].sentence
    assert alarms[0].sentence.endswith("at timestep 5.")
    assert "rnnjax." not in alarms[0].remedy


def test_a_scan_to_which_no_gradient_comes_is_told_of(tmp_path):
    def loss(factor, xs):
        return jax.lax.stop_gradient(scan(factor, xs)[0]).sum(1) + factor

    result = rnnjax.diagnose(loss, jnp.float32(0.9), XS, loss)
    (name,) = (layer.name for layer in result.diagnosis.layers)
    assert result.notes == (f"No gradient of the loss comes to {name}.",)
    assert result.alarms == ()
    assert f"No gradient of the loss comes to {name}." in result.save(tmp_path / "page.html").read_text("utf-8")


def test_layers_of_rnnjax_and_scans_side_by_side():
    class Mixed(nn.Module):
        @nn.compact
        def __call__(self, xs):
            _, ys = rnnjax.RNN(rnnjax.GRU(4), name="ours")(xs)
            return nn.RNN(nn.GRUCell(4), name="flax")(ys)[:, -1].sum(-1)

    model, xs = Mixed(), XS.swapaxes(0, 1)
    params = model.init(jax.random.key(0), xs)
    flow = rnnjax.gradient_flow(model.apply, params, xs)
    assert list(flow.norms) == ["ours", "Mixed/flax"]
    assert [norms.shape for norms in flow.norms.values()] == [(T, B), (T, B)]


@pytest.mark.parametrize("options", [{"lengths": np.ones(B, int)}, {"mask": np.ones((T, B), bool)}])
def test_lengths_for_layers_of_rnnjax_alone(options):
    layer, xs = rnnjax.RNN(rnnjax.SimpleRNN(2)), XS.swapaxes(0, 1)
    params = layer.init(jax.random.key(0), xs)
    sentence = "^lengths, mask and resets are for scans that are no layers of rnnjax, and the loss has none; give"
    with pytest.raises(ValueError, match=sentence):
        rnnjax.gradient_flow(lambda params, xs: layer.apply(params, xs)[0].h.sum(1), params, xs, **options)


def test_hidden_scans_are_named_below_the_table():
    @jax.custom_vjp
    def hidden(xs):
        return last(jnp.float32(0.5), xs)

    hidden.defvjp(lambda xs: (hidden(xs), xs), lambda xs, ct: (xs * ct[:, None],))
    flow = rnnjax.gradient_flow(lambda factor, xs: last(factor, xs) + hidden(xs), jnp.float32(0.8), XS)
    (note,) = flow.notes
    assert "cannot be seen: it is inside jax.custom_vjp" in note
    with redirect_stdout(io.StringIO()) as printed:
        rich.print(flow.summary())
    assert "cannot be seen" in printed.getvalue()


BAD = {
    "no recurrence": (
        lambda p, xs: xs.sum((0, 2)),
        {},
        "there is no recurrence to measure in the loss: it runs no",
    ),
    "only hidden": (
        lambda p, xs: jax.lax.while_loop(lambda h: h.sum() > 0, lambda h: h - 1, p * xs[0]).sum(1),
        {},
        "there is no recurrence to measure in the loss: .* cannot be seen: a while loop",
    ),
    "loss of each step": (
        lambda p, xs: scan(p, xs)[1],
        {},
        r"the loss must be one number for each example, \(B,\)",
    ),
    "integers": (lambda p, xs: scan(p, xs)[0].sum(1).astype(int), {}, "the loss must hold floating-point numbers"),
    "lengths": (last, {"lengths": np.ones(4, int)}, r"lengths must have shape \(3,\)"),
    "lengths and mask": (last, {"lengths": np.ones(3, int), "mask": RESETS}, "give lengths or a mask, not both"),
    "mask": (last, {"mask": RESETS.T}, r"mask must be \(T, B\) of truth values, with T of 24 and B = 3"),
    "resets": (last, {"resets": RESETS[1:]}, r"resets must be \(T, B\) of truth values"),
    "bias": (last, {"bias": 2}, "bias must be above 0 and below 1, as 0.1 for 10%, got 2"),
    "no function": (3, {}, "loss must be a function, got 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_do_not_fit(case):
    loss, options, sentence = BAD[case]
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rnnjax.gradient_flow(loss, jnp.float32(0.8), XS, **options)


def test_not_inside_of_a_transformation():
    with pytest.raises(ValueError, match=r"^gradient_flow cannot be called inside jax\.jit"):
        jax.jit(lambda factor: rnnjax.gradient_flow(last, factor, XS).norms)(jnp.float32(0.8))


@pytest.mark.parametrize(("factor", "bias", "steps"), [(0.9, 0.1, 22), (0.9, 0.01, 44), (0.5, 0.5, 1)])
def test_truncation_of_a_geometric_decay(factor, bias, steps):
    """factor**K <= bias, also where K is beyond what was measured."""
    assert truncation_length(factor ** np.arange(30), bias) == steps


def test_truncation_where_nothing_decays_or_is_measured():
    assert truncation_length(np.ones(10)) == np.inf
    assert np.isnan(truncation_length(np.full(10, np.nan)))
    assert truncation_length(np.array([1.0] * 5 + [0.0] * 5), 0.2) == 4  # 4 of 5 equal parts
    with pytest.raises(ValueError, match=r"^bias must be above 0 and below 1"):
        truncation_length(np.ones(3), 1)
