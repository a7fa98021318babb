"""Cells of Flax are recognised in scans, and measured as the layers of rnnjax with the same equations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from flax import nnx
from flax_cells import CELLS, UNITS, WIDE, check_equal
from sequences import normal_like, slow_unless

import rnnjax
from rnnjax.analysis.scans.scan_diagnosis import diagnose_scans
from rnnjax.cells.params import to_dict
from rnnjax.scans.calls import backpropagate
from rnnjax.scans.known_cells import known_cell
from rnnjax.scans.observation import trace
from rnnjax.scans.sites import find_sites

B, T, D = 3, 9, 2


@pytest.fixture(autouse=True)
def _x64(x64):
    return x64


def inputs(seed=0, shape=(B, T, D)):
    return np.random.default_rng(seed).normal(size=shape)


def of_linen(model, *args):
    return normal_like(jax.eval_shape(model.init, jax.random.key(0), *args)["params"], 1, 0.5)


def ours(cell, params, loss, lengths=None):
    """The diagnosis of our cell; ``loss`` of its outputs (B, T, H)."""
    xs = np.swapaxes(inputs(), 0, 1)
    batch = xs if lengths is None else (xs, lengths)
    return rnnjax.diagnose(cell, params, batch, lambda _, ys: loss(jnp.swapaxes(ys, 0, 1))).diagnosis.layers[0]


def named(result):
    """The cells of a diagnosis; that of a scan whose cell is not known is called "scan"."""
    return [layer.cell for layer in result.layers]


def last(ys):
    return ((1 + ys[:, -1]) ** 2).sum(axis=1)


def recognised(loss, params, batch):
    """The classes of Flax of the cells of all scans, None for a cell that is not known; nothing is compiled."""
    program, _ = trace(loss, params, batch)
    names = []

    def calls(arguments):
        _, found = backpropagate(program, find_sites(program), arguments)
        for call in found:
            cell = known_cell(call, [i for i, a in enumerate(call.site.carry) if a is not None])
            names.append(None if cell is None else cell.name)
        return ()

    jax.eval_shape(calls, jax.tree.leaves((params, batch)))
    return names


NNX = {
    "LSTMCell": (nnx.LSTMCell, {}),
    "OptimizedLSTMCell": (nnx.OptimizedLSTMCell, {}),
    "GRUCell": (nnx.GRUCell, {}),
    "SimpleCell": (nnx.SimpleCell, {"activation": "tanh", "residual": False}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NNX)
def test_cells_of_nnx(name):
    cell, options = NNX[name]
    graph, params, rest = nnx.split(nnx.RNN(cell(D, UNITS, rngs=nnx.Rngs(0), **WIDE)), nnx.Param, ...)
    params = normal_like(params, 1, 0.5)

    def loss(params, batch):
        xs, rest = batch
        return last(nnx.merge(graph, params, rest)(xs))

    (layer,) = diagnose_scans(loss, params, (inputs(), rest)).layers
    assert layer.cell == name
    module, converted = rnnjax.from_linen(nnx.to_pure_dict(params)["cell"], **options)
    check_equal(layer, ours(module.cell, rnnjax.Params(**converted["cell"]), last))


@pytest.mark.slow
def test_a_simple_cell_with_relu():
    model = nn.RNN(nn.SimpleCell(UNITS, activation_fn=nn.relu, **WIDE))
    params = of_linen(model, inputs())
    (layer,) = diagnose_scans(lambda params, xs: last(model.apply({"params": params}, xs)), params, inputs()).layers
    module, converted = rnnjax.from_linen(params, activation="relu", residual=False)
    check_equal(layer, ours(module.cell, rnnjax.Params(**converted["cell"]), last))


TRANSFORMED = {  # a loss of the outputs (B, T, H) of a layer, as a function of the layer and its inputs
    "jit and checkpoint": lambda layer, xs: last(jax.jit(jax.checkpoint(layer))(xs)),
    "vmap over examples": lambda layer, xs: jax.vmap(lambda x: last(layer(x[None]))[0])(xs),
    "vmap of single sequences": lambda layer, xs: jax.vmap(lambda x: last(layer(x)[None])[0])(xs),
    "a scan over examples": lambda layer, xs: jax.lax.map(lambda x: last(layer(x[None]))[0], xs),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [
        slow_unless(name == "GRUCell" or how == "vmap over examples", name, how)
        for name in ("GRUCell", "OptimizedLSTMCell")
        for how in TRANSFORMED
    ],
)
def test_inside_of_transformations(name, how):
    flax_cell, convert = CELLS[name]
    model, xs = nn.RNN(flax_cell), inputs()
    params = of_linen(model, xs)

    def loss(params, xs):
        return TRANSFORMED[how](lambda xs: model.apply({"params": params}, xs), xs)

    *_, layer = diagnose_scans(loss, params, xs).layers
    assert layer.cell == name
    cell, converted = convert(params)
    native = ours(cell, converted, last)
    if how == "a scan over examples":  # Lyapunov exponents are then those of the first example
        native = msgspec.structs.replace(native, lyapunov=layer.lyapunov, singular=layer.singular)
    check_equal(layer, native)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        slow_unless(name == "LSTMCell" or how == "vmap over examples", name, how)
        for name in CELLS
        for how in TRANSFORMED
    ],
)
def test_every_cell_is_known_inside_of_transformations(name, how):
    model, xs = nn.RNN(CELLS[name][0]), inputs()
    params = of_linen(model, xs)
    names = recognised(lambda p, xs: TRANSFORMED[how](lambda xs: model.apply({"params": p}, xs), xs), params, xs)
    assert names[-1] == name.split()[0]


class Flax(nn.Module):
    """Two layers, the bottom one in both directions."""

    @nn.compact
    def __call__(self, xs, lengths=None):
        both = nn.Bidirectional(nn.RNN(nn.LSTMCell(UNITS, **WIDE)), nn.RNN(nn.GRUCell(UNITS, **WIDE)))
        ys = both(xs, seq_lengths=lengths)
        return nn.RNN(nn.OptimizedLSTMCell(UNITS, **WIDE))(ys, seq_lengths=lengths)


class Ours(nn.Module):
    @nn.compact
    def __call__(self, xs, lengths=None):
        lstm, gru = (cell(UNITS, param_dtype=jnp.float64) for cell in (rnnjax.LSTM, rnnjax.GRU))
        _, ys = rnnjax.Bidirectional(rnnjax.RNN(lstm), rnnjax.RNN(gru, reverse=True))(xs, lengths=lengths)
        return rnnjax.RNN(lstm)(ys, lengths=lengths)[1]


@pytest.mark.slow
@pytest.mark.parametrize("lengths", [None, np.array([9, 4, 1])])
def test_both_directions_in_a_stack_with_and_without_lengths(lengths):
    xs, flax = inputs(), Flax()
    params = of_linen(flax, xs)
    cells = ("LSTMCell_0", "GRUCell_0", "OptimizedLSTMCell_0")
    converted = {f"RNN_{i}": rnnjax.from_linen(params[name])[1] for i, name in enumerate(cells)}

    def loss(model):
        def of_params(params, xs):
            ys = model.apply({"params": params}, xs, lengths)
            at = jnp.full(B, T - 1) if lengths is None else jnp.asarray(lengths - 1)
            return (jnp.take_along_axis(ys, at[:, None, None], axis=1) ** 2).sum((1, 2))

        return of_params

    scans = diagnose_scans(loss(flax), params, xs)
    assert named(scans) == ["LSTMCell", "GRUCell", "OptimizedLSTMCell"]
    native = rnnjax.diagnose(Ours(), converted, xs, loss(Ours())).diagnosis.layers
    for layer, of_rnnjax in zip(scans.layers, native, strict=True):
        check_equal(layer, of_rnnjax)


@pytest.mark.slow
def test_a_layer_that_reads_backwards():
    """Flax turns the inputs round."""
    flax_cell, convert = CELLS["GRUCell"]
    model = nn.RNN(flax_cell, reverse=True, keep_order=True)
    params = of_linen(model, inputs())
    (layer,) = diagnose_scans(
        lambda params, xs: (model.apply({"params": params}, xs)[:, 0] ** 2).sum(1), params, inputs()
    ).layers
    cell, converted = convert(params)
    native = rnnjax.RNN(cell, reverse=True)
    converted = {"cell": to_dict(converted)}
    check_equal(
        layer,
        rnnjax.diagnose(
            native, converted, inputs(), lambda p, xs: (native.apply({"params": p}, xs)[1][:, 0] ** 2).sum(1)
        ).diagnosis.layers[0],
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GRUCell", "LSTMCell"])
@pytest.mark.parametrize("write", ["reset first", "state first", "in place"])
def test_a_step_that_begins_anew_with_an_episode(name, write):
    """Each episode is a sequence of its own; the losses of the last steps of all episodes are those of one example."""
    flax_cell, convert = CELLS[name]
    episodes = (4, 5)  # steps; of all examples
    resets = np.zeros((T, B), bool)
    resets[[0, episodes[0]]] = True

    class Model(nn.Module):
        @nn.compact
        def __call__(self, xs, resets):
            def begin(a, reset):
                if write == "reset first":
                    return jnp.where(reset[:, None], jnp.zeros_like(a), a)
                if write == "state first":
                    return jnp.where(~reset[:, None], a, 0.0)
                return jax.vmap(lambda a, reset: jax.lax.select(jnp.full(a.shape, reset), a * 0 + 0.0, a))(a, reset)

            def step(cell, carry, inputs):
                x, reset = inputs
                return cell(jax.tree.map(lambda a: begin(a, reset), carry), x)

            scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=0, out_axes=0)
            start = flax_cell.initialize_carry(jax.random.key(0), (B, D))
            return scan(type(flax_cell)(UNITS, **WIDE), start, (xs, resets))[1]

    model, xs = Model(), inputs(0, (T, B, D))
    params = of_linen(model, xs, resets)
    ends = np.cumsum(episodes) - 1

    def loss(params, batch):
        ys = model.apply({"params": params}, *batch)
        return (ys[ends] ** 2).sum((0, 2))

    if write == "in place":  # it reads the carry of the episode before
        assert recognised(loss, params, (xs, resets)) == [None]
        return
    assert recognised(loss, params, (xs, resets)) == [name]
    if write == "state first":
        return
    scans = diagnose_scans(loss, params, (xs, resets), resets=resets)
    (layer,), (scan,) = scans.layers, scans.scans
    assert layer.cell == name
    assert float(scan.crossing) == 0
    cell, converted = convert(params)
    by_episode = [
        rnnjax.diagnose(cell, converted, part, lambda _, ys: (ys[-1] ** 2).sum(1)).diagnosis.layers[0]
        for part in np.split(xs, [episodes[0]])
    ][::-1]
    for quantity, levels in layer.by_lag.items():
        if quantity == "decay":
            continue
        for level in ("q10", "q50", "q90"):
            expected = np.concatenate([getattr(part.by_lag[quantity], level) for part in by_episode])
            np.testing.assert_allclose(getattr(levels, level), expected, rtol=1e-9, atol=1e-12, err_msg=quantity)
    np.testing.assert_allclose(layer.lyapunov.exponents, -np.sort(-np.asarray(scan.lyapunov.exponents)), rtol=1e-9)
    found = np.asarray(scan.states[0].by_lag["decay"])  # as of a scan whose cell is not known
    for level, values in zip(("q10", "q50", "q90"), found, strict=True):
        np.testing.assert_allclose(getattr(layer.by_lag["decay"], level), values, rtol=1e-9, atol=1e-12)


class Doubled(nn.LSTMCell):
    """A cell of a user, with a step of its own."""

    @nn.compact
    def __call__(self, carry, inputs):
        (c, h), y = super().__call__(carry, inputs)
        return (2 * c, h), y


class Inner(nn.LSTMCell):
    """The same the other way: the step of Flax reads another carry."""

    @nn.compact
    def __call__(self, carry, inputs):
        return super().__call__((carry[0] / 2, carry[1]), inputs)


class Feedback(nn.GRUCell):
    """A cell whose inputs depend on its state."""

    @nn.compact
    def __call__(self, carry, inputs):
        return super().__call__(carry, inputs + carry[:, :D])


class Late(nn.GRUCell):
    """A cell whose output is the state before the step."""

    @nn.compact
    def __call__(self, carry, inputs):
        new, _ = super().__call__(carry, inputs)
        return new, carry


class Same(nn.GRUCell):
    """A cell of a user with the step of Flax."""


@jax.custom_jvp
def surrogate(x):
    return jax.nn.relu(x)


surrogate.defjvp(lambda primals, tangents: (surrogate(*primals), tangents[0]))

UNKNOWN = {
    "a step after it": Doubled(UNITS, **WIDE),
    "a step before it": Inner(UNITS, **WIDE),
    "other gates": nn.LSTMCell(UNITS, gate_fn=nn.hard_sigmoid, **WIDE),
    "another activation": nn.OptimizedLSTMCell(UNITS, activation_fn=nn.relu, **WIDE),
    "a residual": nn.SimpleCell(UNITS, residual=True, **WIDE),
    "another derivative": nn.SimpleCell(UNITS, activation_fn=surrogate, **WIDE),
    "inputs from the state": Feedback(UNITS, **WIDE),
    "an output before the step": Late(UNITS, **WIDE),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_another_step_is_not_called_by_the_name_of_the_cell(name):
    model = nn.RNN(UNKNOWN[name])
    params = of_linen(model, inputs())
    assert recognised(lambda params, xs: last(model.apply({"params": params}, xs)), params, inputs()) == [None]


def test_a_subclass_with_the_same_step_is_known():
    model = nn.RNN(Same(UNITS, **WIDE))
    params = of_linen(model, inputs())
    assert recognised(lambda params, xs: last(model.apply({"params": params}, xs)), params, inputs()) == ["GRUCell"]


def plain_rnn(params, xs):
    """A loop of a user with the equations of Flax's SimpleCell."""

    def step(h, x):
        new = jnp.tanh((x @ params["x"] + params["b"][None]) + h @ params["h"])
        return new, new

    return jax.lax.scan(step, jnp.zeros((B, UNITS)), jnp.swapaxes(xs, 0, 1))[0][:, None]


def test_loops_whose_cell_is_not_of_flax_and_several_cells_in_a_step_are_not_named():
    params = {"x": inputs(1, (D, UNITS)), "h": inputs(2, (UNITS, UNITS)), "b": inputs(3, (UNITS,))}
    assert recognised(lambda p, xs: last(plain_rnn(p, xs)), params, inputs()) == [None]

    class Two(nn.Module):
        @nn.compact
        def __call__(self, xs):
            def step(module, carry, x):
                first, y = nn.GRUCell(UNITS, **WIDE, name="first")(carry[0], x)
                second, y = nn.GRUCell(UNITS, **WIDE, name="second")(carry[1], y)
                return (first, second), y

            scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False}, in_axes=1, out_axes=1)
            return scan(self, (jnp.zeros((B, UNITS)),) * 2, xs)[1]

    params = of_linen(Two(), inputs())
    assert recognised(lambda params, xs: last(Two().apply({"params": params}, xs)), params, inputs()) == [None]


def test_parameters_that_differ_between_steps_or_runs_are_not_those_of_a_cell():
    class ByStep(nn.Module):
        @nn.compact
        def __call__(self, xs):
            scan = nn.scan(nn.GRUCell, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=1, out_axes=1)
            return scan(UNITS, **WIDE)(jnp.zeros((B, UNITS)), xs)[1]

    params = of_linen(ByStep(), inputs())
    assert recognised(lambda p, xs: last(ByStep().apply({"params": p}, xs)), params, inputs()) == [None]

    layer, xs = nn.RNN(nn.GRUCell(D, **WIDE)), inputs()
    params = normal_like(jax.eval_shape(jax.vmap(layer.init, (0, None)), jax.random.split(jax.random.key(0)), xs), 1)

    def stack(params, xs):  # a scan over two layers
        return last(jax.lax.scan(lambda ys, params: (layer.apply(params, ys), None), xs, params)[0])

    assert recognised(stack, params, xs) == [None, None]
