"""What is captured under a transformation of JAX or Flax is what is captured of the same loss written without it."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, assert_close, normal_like, slow_unless

import rnnjax
from rnnjax.analysis.capture import backpropagate

pytestmark = pytest.mark.slow

B, S, T, D, H = 3, 2, 4, 4, 4  # examples, sentences of each, steps, inputs, units; D = H, so that layers can be stacked
CELL = CELLS["LSTM"].replace(features=H)
XS = np.random.default_rng(0).normal(size=(B, T, D))
SENTENCES = np.random.default_rng(1).normal(size=(B, S, T, D))
LENGTHS = np.array([4, 2, 3])


def params_of(*lead):
    """Parameters of a layer named "rnn", with axes in front of them."""
    shapes = jax.eval_shape(lambda: CELL.init_dict(jax.random.key(0), D))
    wide = {name: jax.ShapeDtypeStruct((*lead, *a.shape), np.float64) for name, a in shapes.items()}
    return {"rnn": {"cell": normal_like(wide, 2, 0.5)}}


def loss_of(method):
    """The loss of (params, batch) through a module whose ``__call__`` is ``method`` of (module, *batch)."""
    model = type("Model", (nn.Module,), {"__call__": nn.compact(method)})()
    return lambda params, batch: model.apply({"params": params}, *batch)


def layer(module_class=rnnjax.RNN, **options):
    return module_class(CELL, name="rnn", **options)


def read(result):
    """A loss of each row that reads all that a layer returns."""
    final, ys = result
    return (final.h**2 + jnp.sin(final.c)).sum(-1) + (ys[..., 1] * ys[..., 2]).sum(-1)


def plain(module, xs, lengths):
    return read(layer()(xs, lengths=lengths))


def under(transformed, **options):
    return loss_of(lambda module, xs, lengths: read(layer(transformed)(xs, lengths=lengths, **options)))


def each_example(params, batch):
    def one(x, length):
        return loss_of(plain)(params, (x[None], length[None]))[0]

    return jax.vmap(one)(*batch)


def each_step_first(params, batch):
    """Over the second axis of time-major inputs, a layer without a batch axis."""
    one = loss_of(lambda module, x, length: read(layer(time_major=True)(x, lengths=length)))
    return jax.vmap(lambda x, length: one(params, (x, length)), (1, 0))(jnp.swapaxes(batch[0], 0, 1), batch[1])


def checkpointed_in_jit(params, batch):
    return jax.jit(jax.checkpoint(loss_of(plain), policy=jax.checkpoint_policies.dots_saveable))(params, batch)


jitted_apply = jax.jit(type("Model", (nn.Module,), {"__call__": nn.compact(plain)})().apply)
ONE_LAYER = {  # name -> a loss like loss_of(plain)
    "jax.jit(loss)": jax.jit(loss_of(plain)),
    "jax.checkpoint(loss)": jax.checkpoint(loss_of(plain)),
    "jax.jit(jax.checkpoint(loss))": checkpointed_in_jit,
    "jax.jit(model.apply)": lambda params, batch: jitted_apply({"params": params}, *batch),
    "jax.vmap over examples": each_example,
    "jax.jit(jax.vmap over examples)": jax.jit(each_example),
    "jax.vmap over examples without a batch axis": each_step_first,
    "nn.remat": under(nn.remat(rnnjax.RNN)),
    "nn.remat, train=True": under(nn.remat(rnnjax.RNN), train=True),
    "nn.jit": under(nn.jit(rnnjax.RNN)),
    "nn.jit, train=True": under(nn.jit(rnnjax.RNN), train=True),
    "nn.remat(nn.jit)": under(nn.remat(nn.jit(rnnjax.RNN))),
    "nn.map_variables": under(nn.map_variables(rnnjax.RNN, "params", lambda variables: variables)),
}


def captured(loss, params, batch):
    return jax.jit(lambda params, batch: backpropagate(loss, params, batch))(params, batch)


def assert_same_capture(found, expected):
    """Losses, the arrays of each call, and the gradients."""
    assert [call.name.split("[")[0] for call in found[1]] == [call.name for call in expected[1]]

    def arrays(calls):
        return [(call.params, call.xs, call.lengths, call.state) for call in calls]

    assert_close((found[0], arrays(found[1]), found[2]), (expected[0], arrays(expected[1]), expected[2]), 1e-12)


@functools.cache
def captured_of_one_layer():
    return captured(loss_of(plain), params_of(), (XS, LENGTHS))


@pytest.fixture
def one_layer(x64):
    return captured_of_one_layer()


QUICK = ("jax.jit(jax.checkpoint(loss))", "jax.jit(model.apply)", "jax.vmap over examples")
QUICK += ("nn.remat, train=True", "nn.jit", "nn.map_variables", "nn.vmap over sentences", "nn.vmap over parameters")
QUICK += ("nn.scan(nn.remat) over layers", "nn.scan over chunks")


@pytest.mark.parametrize("name", [slow_unless(name in QUICK, name) for name in ONE_LAYER])
def test_one_layer_under_a_transformation(one_layer, name):
    loss, arguments = ONE_LAYER[name], (params_of(), (XS, LENGTHS))
    jax.eval_shape(loss, *arguments)  # traces of it are kept by JAX, without marks
    assert_same_capture(captured(loss, *arguments), one_layer)


def sentence_vectors(mapped):
    """A layer over the steps of each sentence, "rnn", then one over the sentences, "top"."""

    def method(module, xs, lengths):
        vectors = mapped(xs)
        return read(rnnjax.RNN(CELL, name="top")(vectors, lengths=lengths))

    return loss_of(method)


def flattened(xs):
    rows = xs.swapaxes(0, 1).reshape(S * B, T, D)
    return layer()(rows)[0].h.reshape(S, B, H).swapaxes(0, 1)


def nn_vmapped(xs):
    shared = nn.vmap(rnnjax.RNN, in_axes=1, out_axes=1, variable_axes={"params": None}, split_rngs={"params": False})
    return layer(shared)(xs)[0].h


def jax_vmapped(xs):
    rnn = layer()
    return jax.vmap(lambda x: rnn(x)[0].h, 1, 1)(xs)


def layers_scanned(module, xs, lengths):
    over_layers = nn.scan(
        lambda rnn, ys, _: (rnn(ys, lengths=lengths)[1], None),
        variable_axes={"params": 0}, split_rngs={"params": True}, length=3,
    )  # fmt: skip
    return read_top(over_layers(layer(), xs, None)[0])


def layers_remat_scanned(module, xs, lengths):
    over_layers = nn.scan(
        nn.remat(lambda rnn, ys, _: (rnn(ys, lengths=lengths)[1], None)),
        variable_axes={"params": 0}, split_rngs={"params": True}, length=3,
    )  # fmt: skip
    return read_top(over_layers(layer(), xs, None)[0])


def read_top(ys):
    return (ys**2).sum((1, 2))


def layers_in_python(params, batch):
    apply = loss_of(lambda module, xs, lengths: layer()(xs, lengths=lengths)[1])
    ys, lengths = batch
    for i in range(3):
        ys = apply(jax.tree.map(lambda a, i=i: a[i], params), (ys, lengths))
    return read_top(ys)


def chunks_scanned(module, xs, lengths):
    """Truncated in chunks of two steps, the state carried on."""
    over_chunks = nn.scan(
        lambda rnn, state, x: rnn(x, state=state), variable_broadcast="params", split_rngs={"params": False}
    )
    final, ys = over_chunks(layer(), CELL.initial_state((B,)), jnp.stack([xs[:, :2], xs[:, 2:]]))
    return read((final, jnp.concatenate([*ys], axis=1)))


def chunks_in_python(module, xs, lengths):
    rnn = layer()
    state, first = rnn(xs[:, :2], state=CELL.initial_state((B,)))
    final, second = rnn(xs[:, 2:], state=state)
    return read((final, jnp.concatenate([first, second], axis=1)))


def ensemble_mapped(module, xs, lengths):
    members = nn.vmap(rnnjax.RNN, in_axes=None, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=3)
    return read(layer(members)(xs)).sum(0)


def ensemble_in_python(params, batch):
    apply = loss_of(lambda module, xs, lengths: read(layer()(xs)))
    return sum(apply(jax.tree.map(lambda a, i=i: a[i], params), batch) for i in range(3))


def with_top(params):
    return params | {"top": params["rnn"]}


SEVERAL_CALLS = {  # name -> (loss, its plain form, params, batch, names of the calls)
    "nn.vmap over sentences": (
        sentence_vectors(nn_vmapped), sentence_vectors(flattened), lambda: with_top(params_of()),
        (SENTENCES, np.array([2, 1, 2])), ["rnn", "top"],
    ),
    "jax.vmap over sentences": (
        sentence_vectors(jax_vmapped), sentence_vectors(flattened), lambda: with_top(params_of()),
        (SENTENCES, np.array([2, 1, 2])), ["rnn", "top"],
    ),
    "nn.vmap over parameters": (
        loss_of(ensemble_mapped), ensemble_in_python, lambda: params_of(3), (XS, LENGTHS),
        ["rnn[0]", "rnn[1]", "rnn[2]"],
    ),
    "nn.scan over layers": (
        loss_of(layers_scanned), layers_in_python, lambda: params_of(3), (XS, LENGTHS), ["rnn[0]", "rnn[1]", "rnn[2]"],
    ),
    "nn.scan(nn.remat) over layers": (
        loss_of(layers_remat_scanned), layers_in_python, lambda: params_of(3), (XS, LENGTHS),
        ["rnn[0]", "rnn[1]", "rnn[2]"],
    ),
    "jax.jit of nn.scan over layers": (
        jax.jit(loss_of(layers_scanned)), layers_in_python, lambda: params_of(3), (XS, LENGTHS),
        ["rnn[0]", "rnn[1]", "rnn[2]"],
    ),
    "nn.scan over chunks": (
        loss_of(chunks_scanned), loss_of(chunks_in_python), params_of, (XS, LENGTHS), ["rnn[0]", "rnn[1]"],
    ),
}  # fmt: skip


@functools.cache
def captured_of_layers_in_python():
    return captured(layers_in_python, params_of(3), (XS, LENGTHS))


@pytest.mark.parametrize("name", [slow_unless(name in QUICK, name) for name in SEVERAL_CALLS])
def test_several_calls_under_a_transformation(x64, name):
    loss, written_out, params, batch, names = SEVERAL_CALLS[name]
    found = captured(loss, params(), batch)
    assert [call.name for call in found[1]] == names
    if written_out is layers_in_python:  # of several losses
        expected = captured_of_layers_in_python()
    else:
        expected = captured(written_out, params(), batch)
    assert_same_capture(found, expected)


def reversed_inputs(rnn, xs, lengths):
    return read(rnn(xs[:, ::-1], lengths=lengths))


def as_they_are(rnn, xs, lengths):
    return read(rnn(xs, lengths=lengths))


def twice(rnn, xs, lengths):
    return read(rnn(rnn(xs, lengths=lengths)[1], lengths=lengths))


CONDITIONALS = {  # name -> (loss, lengths of each call); the branch for False is the first
    "nn.cond": (
        loss_of(lambda module, xs, n: nn.cond(xs.sum() > 1e6, reversed_inputs, as_they_are, layer(), xs, n)),
        [LENGTHS, [0, 0, 0]],
    ),
    "nn.switch": (
        loss_of(lambda module, xs, n: nn.switch(1, [twice, as_they_are, reversed_inputs], layer(), xs, n)),
        [[0, 0, 0], [0, 0, 0], LENGTHS, [0, 0, 0]],
    ),
    "jax.jit of nn.cond": (
        jax.jit(loss_of(lambda module, xs, n: nn.cond(xs.sum() < 1e6, as_they_are, twice, layer(), xs, n))),
        [[0, 0, 0], [0, 0, 0], LENGTHS],
    ),
}


@pytest.mark.parametrize("name", CONDITIONALS)
def test_of_a_conditional_the_branch_that_is_taken_is_captured(one_layer, name):
    loss, lengths = CONDITIONALS[name]
    losses, calls, gradients = captured(loss, params_of(), (XS, LENGTHS))
    np.testing.assert_array_equal([call.lengths for call in calls], lengths)
    taken = [i for i, of_call in enumerate(lengths) if np.any(of_call)]
    assert_same_capture(
        (losses, [calls[i] for i in taken], [gradients[i] for i in taken]), tuple(map(list_of, one_layer))
    )
    assert all(not np.any(a) for i, g in enumerate(gradients) if i not in taken for a in jax.tree.leaves(g))


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def test_a_layer_inside_a_gradient_that_the_loss_takes(x64):
    apply = loss_of(lambda module, xs, lengths: read(layer(backward="autodiff")(xs, lengths=lengths)))

    def loss(params, batch):
        losses, pull = jax.vjp(lambda xs: apply(params, (xs, batch[1])), batch[0])
        return losses + (pull(jnp.ones_like(losses))[0] ** 2).sum((1, 2))

    _, _, (found,) = captured(loss, params_of(), (XS, LENGTHS))
    expected = jax.grad(lambda xs: loss(params_of(), (xs, LENGTHS)).sum())(XS)
    assert_close(jnp.swapaxes(found.d_xs, 0, 1), expected, 1e-12)


def test_a_layer_whose_result_is_not_used_has_no_gradient(x64):
    def method(module, xs, lengths):
        rnnjax.RNN(CELL, name="top")(xs)
        return plain(module, xs, lengths)

    _, calls, gradients = captured(loss_of(method), with_top(params_of()), (XS, LENGTHS))
    assert [call.name for call in calls] == ["top", "rnn"]
    assert not any(np.any(a) for a in jax.tree.leaves(gradients[0]))


@jax.custom_vjp
def own_backward(params, batch):
    return loss_of(plain)(params, batch)


own_backward.defvjp(lambda *arguments: (own_backward(*arguments), arguments), lambda arguments, ct: arguments)


def until_converged(params, batch):
    xs, lengths = batch
    body = loss_of(lambda module, xs, n: layer()(xs, lengths=n)[1])
    return jax.lax.while_loop(lambda ys: ys.sum() > 1e6, lambda ys: body(params, (ys, lengths)), xs).sum((1, 2))


def over_devices(params, batch):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    one, none = jax.sharding.PartitionSpec("data"), jax.sharding.PartitionSpec()
    return jax.shard_map(loss_of(plain), mesh=mesh, in_specs=(none, one), out_specs=one)(params, batch)


@jax.custom_jvp
def own_forward(params, batch):
    return loss_of(plain)(params, batch)


own_forward.defjvp(lambda primals, tangents: (own_forward(*primals), jnp.zeros(B)))
REFUSED = {
    "jax.custom_vjp": own_backward,
    "jax.custom_jvp": own_forward,
    "a while loop": until_converged,
    "jax.shard_map": over_devices,
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_that_cannot_be_reached_is_refused_with_the_name_of_the_transformation(x64, name):
    with pytest.raises(ValueError, match=f"^the layer 'rnn' is called inside {name}, where its gradient cannot be "):
        captured(REFUSED[name], params_of(), (XS, LENGTHS))


def test_a_layer_that_is_mapped_over_random_keys_is_refused(x64):
    dropping = rnnjax.RNN(CELL.replace(input_dropout=0.5))

    def loss(params, xs):
        keys = jax.random.split(jax.random.key(0), 5)
        draw = jax.vmap(lambda key: read(dropping.apply({"params": params}, xs, train=True, rngs={"dropout": key})))
        return draw(keys).mean(0)

    with pytest.raises(ValueError, match=r"mapped by jax\.vmap over something else than its inputs"):
        captured(loss, params_of()["rnn"], XS)
