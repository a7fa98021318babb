"""``rnnjax.TrainingLog``: training loops of other libraries, logged and drawn."""

import csv
import json
import re
import threading

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from page_reader import bare, outside
from synthetic_run import write_member, write_run

import rnnjax
from rnnjax.diagnostics import half_life
from rnnjax.errors import UserError
from rnnjax.report.comparison import write_comparison
from rnnjax.report.run_report import write_report
from rnnjax.runs.reader import load_run
from rnnjax.scans.sites import Site

T, B, H, STEPS = 12, 6, 4, 20
XS = jax.random.normal(jax.random.key(0), (B, T, 2))
YS = XS[:, 0].sum(axis=1)


class Linen(nn.Module):
    @nn.compact
    def __call__(self, xs):
        ys = nn.RNN(nn.OptimizedLSTMCell(H), name="bottom")(xs)
        return nn.Dense(1)(nn.RNN(nn.GRUCell(H), name="top")(ys)[:, -1])[:, 0]


def linen():
    model = Linen()
    return model.init(jax.random.key(1), XS), model.apply


def equinox():
    model = eqx.nn.GRUCell(2, H, key=jax.random.key(1)), eqx.nn.Linear(H, "scalar", key=jax.random.key(2))
    arrays, rest = eqx.partition(model, eqx.is_array)

    def apply(arrays, xs):
        cell, readout = eqx.combine(arrays, rest)

        def answer(xs):
            return readout(jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(H), xs)[0])

        return jax.vmap(answer)(xs)

    return arrays, apply


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.SimpleCell(2, H, rngs=rngs))
        self.readout = nnx.Linear(H, 1, rngs=rngs)

    def __call__(self, xs):
        return self.readout(self.rnn(xs)[:, -1])[:, 0]


def of_nnx():
    graph, params, rest = nnx.split(Nnx(nnx.Rngs(0)), nnx.Param, ...)
    return params, lambda params, xs, rest: nnx.merge(graph, params, rest)(xs), rest


def train(folder, params, apply, *rest):
    """A plain loop with Optax; every third step is logged with gradients."""
    optimizer = optax.adam(0.01)

    def loss(params, *rest):
        return ((apply(params, XS, *rest) - YS) ** 2).mean()

    @jax.jit
    def train_step(params, state):
        tapped, taps, _ = rnnjax.observe(loss)(params, *rest)
        value, (gradients, gradient) = jax.value_and_grad(tapped, argnums=(0, 1))(taps, params, *rest)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value, gradients

    state, sites = optimizer.init(params), rnnjax.observe(loss)(params, *rest).sites
    with rnnjax.TrainingLog(folder, "My model", seed=3, last_step_only=True, sites=sites) as log:
        for step in range(STEPS):
            params, state, value, gradients = train_step(params, state)
            log.step(step, value, gradients if step % 3 == 1 else None)


def text_of(page):
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", bare(page.read_text(encoding="utf-8")), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("make", "states"),
    [
        (linen, {(0, "carry[0]"): "Linen/bottom", (0, "carry[1]"): "Linen/bottom", (1, "carry"): "Linen/top"}),
        (equinox, {(0, "carry"): "test_training_log.py"}),
        (of_nnx, {(0, "carry"): ""}),
    ],
    ids=["linen", "equinox", "nnx"],
)
def test_a_loop_of_another_library_becomes_a_report(make, states, tmp_path):
    train(tmp_path / "mine", *make())
    (member,) = load_run(tmp_path / "mine").members
    assert (member.label, member.seed, member.status) == ("My model", 3, "finished")
    assert member.train.steps.tolist() == list(range(STEPS))
    assert member.train.loss[-1] < member.train.loss[0]
    assert member.gradients.keys() == states.keys()
    for key, name in states.items():
        log = member.gradients[key]
        assert name in log.name
        assert log.steps.tolist() == list(range(1, STEPS, 3))
        assert (log.q50 > 0).all()
        assert log.q50.shape == (len(log.steps), T)

    page = write_report(tmp_path / "mine")
    figures = {path.stem for path in (tmp_path / "mine/figures").iterdir()}
    assert figures == {"gradient_by_lag", "gradient_over_training", "learning_curves"}
    (row,) = csv.DictReader((tmp_path / "mine/table.csv").read_text().splitlines())
    memory = next(iter(member.gradients.values()))
    assert row["label"] == "My model"
    assert float(row["half_life_end"]) == pytest.approx(half_life(memory.q50[-1]))
    assert float(row["training_loss"]) == pytest.approx(member.train.loss[-1])
    text = text_of(page)
    assert f"My model 1 seed {member.train.loss[-1]:.3g}" in text
    assert not re.search(r"accura|--\w|\bcell's\b(?! colour)|baseline|parameters steps/s|Not complete|nan\b", text)
    assert outside(page.read_text(encoding="utf-8")) == []


def decaying(factor, examples=B):
    """The gradient (T, examples, H) of a mean loss that fades by ``factor`` a step on its way back."""
    lags = np.arange(T)[::-1, None, None]
    return jnp.asarray(np.full((T, examples, H), 1.0) * factor**lags / examples, jnp.float32)


def site(name="scan", carry=((B, H),), **options):
    """Of a scan of T steps whose carry has these shapes; None stands for an array that is not differentiable."""
    shapes = tuple(None if shape is None else jax.ShapeDtypeStruct(shape, jnp.float32) for shape in carry)
    return Site(name, "", T, shapes, **options)


def logged(folder, sites=None, **arguments):
    with rnnjax.TrainingLog(folder, "Model", last_step_only=True, sites=sites or [site()]) as log:
        log.step(0, 1.0, **arguments)
    return load_run(folder).members[0].gradients


def test_norms_are_those_of_each_examples_own_loss(tmp_path):
    (log,) = logged(
        tmp_path / "run", gradients={"scan": (None, decaying(0.5))}, sites=[site(carry=(None, (B, H)))]
    ).values()
    np.testing.assert_allclose(log.q50[0], np.sqrt(H) * 0.5 ** np.arange(T), rtol=1e-6)
    np.testing.assert_allclose(log.mean, log.q10, rtol=1e-6)
    assert half_life(log.q50[0]) == pytest.approx(1)


def test_padded_steps_are_left_out_with_lengths_or_without(tmp_path):
    lengths = np.array([T, 5, 3, T, 1, 8])
    whole = decaying(0.5)
    lags = lengths - 1 - np.arange(T)[:, None]
    padded = np.where((lags >= 0)[..., None], np.asarray(whole)[::-1][lags, np.arange(B)], 0)
    for number, given in enumerate(({}, {"lengths": lengths})):
        (log,) = logged(tmp_path / f"{number}", gradients={"scan": (jnp.asarray(padded),)}, **given).values()
        assert log.count[0].tolist() == [(lengths > lag).sum() for lag in range(T)]
        np.testing.assert_allclose(log.q90[0], np.sqrt(H) * 0.5 ** np.arange(T), rtol=1e-6)


@pytest.mark.parametrize("lengths", [None, np.array([T, 5, 3, T, 1, 8])])
def test_the_gradients_of_a_reverse_scan_are_turned_round(lengths, tmp_path):
    """Step 0 is the last one that is computed: 1/2, 1/4, ... on its way back, to later steps of xs."""
    in_order = decaying(0.5)[::-1]
    (log,) = logged(tmp_path / "run", [site(reverse=True)], gradients={"scan": (in_order,)}, lengths=lengths).values()
    np.testing.assert_allclose(log.q50[0], np.sqrt(H) * 0.5 ** np.arange(T), rtol=1e-6)
    counted = np.full(B, T) if lengths is None else lengths
    assert log.count[0].tolist() == [(counted > lag).sum() for lag in range(T)]


def test_the_runs_of_a_scan_inside_of_another_are_further_examples(tmp_path):
    """Where all numbers of steps, runs and examples are the same, and lengths are given for other scans."""
    n, factors = B, np.linspace(0.4, 0.9, B, dtype=np.float32)
    by_run = np.stack([np.broadcast_to(f ** np.arange(n)[::-1, None, None], (n, n, H)) / n for f in factors])
    inner = Site("inner", "", n, (jax.ShapeDtypeStruct((n, H), jnp.float32),), outer=(n,))
    logs = logged(
        tmp_path / "run",
        [site(), inner],
        gradients={"inner": (jnp.asarray(by_run),), "scan": (decaying(0.5),)},
        lengths=np.full(B, T),
    )
    log = logs[1, "carry"]  # in the order of the sites
    assert log.count[0].tolist() == [n * n] * n
    np.testing.assert_allclose(log.mean[0], np.sqrt(H) * (factors[:, None] ** np.arange(n)).mean(0), rtol=1e-5)
    np.testing.assert_allclose(log.q90[0, 1], np.sqrt(H) * np.quantile(np.repeat(factors, n), 0.9), rtol=1e-5)


def test_a_reverse_scan_inside_of_another_as_observe_gives_it(tmp_path):
    """The log agrees with ``gradient_flow``, which reads the same scan in its own way."""

    def losses(scale, xs):  # (2, T, B, H): the second run goes on where the first one ends
        def run(h, xs):
            return jax.lax.scan(lambda h, x: (0.5 * h + scale * x, None), h, xs, reverse=True)

        return jax.lax.scan(run, jnp.zeros(xs.shape[2:]), xs)[0].sum(axis=1)

    xs = jnp.ones((2, T, B, H))
    tapped, taps, sites = rnnjax.observe(lambda *args: losses(*args).mean())(1.0, xs)
    assert [site.reverse for site in sites] == [False, True]
    logs = logged(tmp_path / "run", sites, gradients=jax.grad(tapped)(taps, 1.0, xs))
    for log, layer in zip(logs.values(), rnnjax.gradient_flow(losses, 1.0, xs).diagnosis.layers, strict=True):
        np.testing.assert_allclose(log.q90[0], layer.by_lag["m"].q90, rtol=1e-5)
        np.testing.assert_allclose(log.q10[0], layer.by_lag["m"].q10, rtol=1e-5)


def test_complex_states_count_as_pairs_and_single_numbers_are_left_out(tmp_path):
    scan = site(carry=((), (B, H)))
    gradients = {"scan": (jnp.ones(T), (1 + 1j) * decaying(0.5))}
    (log,) = logged(tmp_path / "run", [scan], gradients=gradients).values()
    np.testing.assert_allclose(log.q50[0], np.sqrt(2 * H) * 0.5 ** np.arange(T), rtol=1e-6)


def test_a_gradient_of_exactly_zero_is_called_so(tmp_path):
    gradients = {"scan": (jnp.zeros((T, B, H)),)}
    with rnnjax.TrainingLog(tmp_path / "run", "Model", last_step_only=True, sites=[site()]) as log:
        log.step(0, 1.0, gradients)
        log.step(1, 1.0, gradients)
    text = text_of(write_report(tmp_path / "run"))
    assert "the gradient at the carry of scan is exactly zero at the last step" in text


def test_several_labels_and_seeds_write_into_one_folder_side_by_side(tmp_path):
    labels = [("A b", 0), ("A b", 1), ("A-b", 0), ("C", 0)]
    logs = []
    threads = [
        threading.Thread(
            target=lambda label, seed: logs.append(
                rnnjax.TrainingLog(tmp_path / "run", label, seed=seed, last_step_only=True, sites=[site()])
            ),
            args=pair,
        )
        for pair in labels
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, log in enumerate(logs):
        log.step(0, 2.0 + number, {"scan": (decaying(0.5),)}, validation=1.0)
        log.step(1, 1.0 + number, {"scan": (decaying(0.9),)}, validation=0.5)
        log.close()
        log.close()
    members = load_run(tmp_path / "run").members
    assert sorted((member.label, member.seed) for member in members) == labels
    text = text_of(write_report(tmp_path / "run"))
    assert "A b has a validation loss of 0.500, A-b 0.500 and C 0.500." in text
    assert "Best validation loss 0.500 (mean of 2 seeds), at step 1." in text
    assert "half-life at start, steps half-life at end, steps A b 2 seeds 0.500" in text


def test_a_loop_that_ends_with_an_error_has_not_finished(tmp_path):
    log = rnnjax.TrainingLog(tmp_path / "run", "Model", last_step_only=False, sites=[site()])
    log.step(7, float("nan"), {"scan": (decaying(0.5),)})
    with pytest.raises(KeyError), log:
        raise KeyError
    with pytest.raises(ValueError, match="the log is closed; begin another one"):
        log.step(8, 1.0)
    text = text_of(write_report(tmp_path / "run"))
    assert "Model, seed 0, has not finished: its last record is of step 7." in text
    assert "Model, seed 0, diverged: its loss was not a finite number at step 7." in text
    assert "No loss is logged yet." in text
    assert "the gradient adds up over the losses of many and has neither" in text


def test_a_log_stands_beside_a_run_of_rnnjax_in_a_comparison(tmp_path):
    run = write_run(tmp_path / "recall")
    write_member(run, "LSTM", curves={"h": [0.9 ** np.arange(31)] * 2})
    logged(tmp_path / "mine", gradients={"scan": (decaying(0.5),)})
    text = text_of(write_comparison((run, tmp_path / "mine"), tmp_path / "page.html"))
    assert "recall The LSTM judges 90.0% of the test reviews right." in text
    assert "mine At the last logged step, Model has a training loss of 1.00." in text


def test_a_vanishing_gradient_raises_an_alarm_whose_remedy_fits_any_model(tmp_path):
    logged(tmp_path / "run", gradients={"scan": (decaying(0.1),)})
    text = text_of(write_report(tmp_path / "run"))
    assert "Model: vanishing" in text
    assert "Flags:" not in text
    assert "rnnjax.LSTM" not in text


GRADIENT = {"scan": (jnp.zeros((T, B, H)),)}
WRONG = [
    ({"step": -1}, "step must be a whole number from 0 to 9223372036854775807, got -1"),
    ({"loss": jnp.zeros(3)}, r"loss must be one number, got float32 of shape \(3,\)"),
    ({"loss": "low"}, "loss must be one number, got 'low'"),
    ({"validation": [1]}, "validation must be one number, got list"),
    ({"gradients": jnp.zeros(3)}, "gradients must be what jax.grad gives with respect to the taps of rnnjax.observe"),
    (
        {"gradients": {"a": (jnp.zeros(3),)}},
        r"gradients\['a'\] must hold arrays \(T, B, ...\), T steps of \(4,\) in its site, got float32 of shape \(3,\)",
    ),
    ({"gradients": {"a": (np.zeros((3, 4), int),)}}, r"gradients\['a'\] must hold floating-point arrays \(T, B, ...\)"),
    ({"gradients": {"a": ()}}, r"gradients\['a'\] must be a tuple of the 1 gradients of the carry of its site, got 0"),
    ({"gradients": {"a": 3}}, r"gradients\['a'\] must be a tuple of the 1 gradients of the carry of its site, got 3"),
    ({"gradients": {"pair": (jnp.zeros((3, 2)), jnp.zeros((3, 4)))}}, "of the same T and B, got float32 of shape"),
    (
        {"gradients": {"inner": (jnp.zeros((T, B, H)),)}},
        r"gradients\['inner'\] must hold arrays \(3, T, B, ...\), T steps of \(6, 4\) in its site, got",
    ),
    ({"gradients": {"c": ()}}, "gradients has 'c', which is none of the sites 'scan', 'a', .* of the same function"),
    ({"gradients": GRADIENT | {"b": (jnp.zeros((3, 7, 6)),)}}, r"gradients\['b'\] holds 7 examples and .* 6, expected"),
    ({"gradients": GRADIENT, "lengths": np.full(B, T + 1)}, f"lengths must be .* {T}"),
    ({"gradients": GRADIENT, "lengths": np.full(B + 1, T)}, "lengths must"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_a_wrong_argument_of_a_step_is_refused_and_nothing_is_written(arguments, sentence, tmp_path):
    sites = site(), site("a", ((4,),)), site("pair", ((2,), (4,))), site("inner", outer=(3,)), site("b", ((7, 6),))
    with rnnjax.TrainingLog(tmp_path / "run", "Model", last_step_only=True, sites=sites) as log:
        with pytest.raises(ValueError, match=sentence):
            log.step(**({"step": 0, "loss": 1.0} | arguments))
        with pytest.raises(ValueError, match=r"loss is traced; call step outside of jax\.jit"):
            jax.jit(lambda loss: log.step(0, loss))(1.0)
        log.step(3, 1)
        with pytest.raises(ValueError, match="step must be a whole number from 4"):
            log.step(3, 1)
    assert (tmp_path / "run/members/model-seed0/metrics.jsonl").read_text().count("\n") == 1


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    def begin(folder, label="Model", **options):
        return rnnjax.TrainingLog(folder, label, **({"last_step_only": True} | options))

    begin(tmp_path / "run").close()
    with pytest.raises(ValueError, match="already holds 'Model' with seed 0; give another label, seed or folder"):
        begin(tmp_path / "run")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").touch()
    with pytest.raises(ValueError, match="full' is not empty; give another one"):
        begin(tmp_path / "full")
    with pytest.raises(ValueError, match="is a file; give another one"):
        begin(tmp_path / "full/notes.txt")
    config = json.loads((tmp_path / "run/config.json").read_text())
    (tmp_path / "run/config.json").write_text(json.dumps(config | {"experiment": "recall"}))
    with pytest.raises(ValueError, match="holds a run of another kind; give another one"):
        begin(tmp_path / "run", "Other")
    for folder, label, options, sentence in (
        (3, "Model", {}, "folder must be the path of a folder, got 3"),
        ("x", " ", {}, "label must be a name in printable characters, such as 'Flax LSTM', got ' '"),
        ("x", "a\ud800", {}, "label must be a name in printable characters"),
        ("x", "Model", {"seed": 0.5}, "seed must be a whole number from .* got 0.5"),
        ("x", "Model", {"last_step_only": None}, "last_step_only must be True or False, got None"),
        ("x", "Model", {"sites": "scan"}, "sites must be those of rnnjax.observe.* got 'scan'"),
        ("x", "Model", {"sites": ["scan"]}, "sites must be those of rnnjax.observe.* got list"),
    ):
        with pytest.raises(ValueError, match=sentence):
            begin(folder, label, **options)


def test_a_log_cannot_be_explained_resumed_or_loaded_as_a_model(tmp_path):
    from experiments.restore import restore_run

    logged(tmp_path / "run", gradients=GRADIENT)
    with pytest.raises(UserError, match="is a log of losses and gradients, without a model; name another run"):
        restore_run(tmp_path / "run")
    with pytest.raises(UserError, match="is a log of losses and gradients, without a model; name another run"):
        rnnjax.load(tmp_path / "run")
