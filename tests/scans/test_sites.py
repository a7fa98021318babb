"""Names of sites, and the sentence for each kind of scan that cannot be seen."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import pallas as pl
from jax.extend.core import Primitive

import rnnjax

XS = np.ones((4, 2), np.float32)


def scan(xs):
    return lax.scan(lambda h, x: (jnp.tanh(h + x), h), jnp.zeros(2), xs)[1].sum()


def sites_of(fun, *args):
    return rnnjax.observe(fun)(*args).sites


@jax.custom_vjp
def own_rule(xs):
    return scan(xs)


own_rule.defvjp(lambda xs: (scan(xs), xs), lambda xs, ct: (ct * xs,))


@jax.custom_jvp
def own_derivative(xs):
    return scan(xs)


own_derivative.defjvp(lambda primals, tangents: (scan(*primals), tangents[0].sum()))


def while_loop(xs):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.tanh(c[1])), (0, xs))[1].sum()


def scan_in_while_loop(xs):
    return lax.while_loop(lambda c: c < 3, lambda c: c + scan(xs), 0.0)


def in_shard_map(xs):
    spec = jax.sharding.PartitionSpec
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    mapped = jax.shard_map(lambda a: scan(a)[None], mesh=mesh, in_specs=spec(None, "x"), out_specs=spec("x"),
                           check_vma=False)  # fmt: skip
    return mapped(xs).sum()


def in_pmap(xs):
    return jax.pmap(lambda a: lax.scan(lambda h, x: (jnp.tanh(h + x), h), 0.0, a)[1].sum(), in_axes=1)(xs).sum()


def in_pallas(xs):
    def kernel(xs_ref, out_ref):
        out_ref[...] = lax.fori_loop(0, 4, lambda t, h: jnp.tanh(h + xs_ref[t]), jnp.zeros(2))

    return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((2,), jnp.float32), interpret=True)(xs).sum()


rnn_fwd_p = Primitive("rnn_fwd")  # as ``jax.experimental.rnn`` has it, which cannot be traced without a GPU
rnn_fwd_p.def_abstract_eval(lambda xs: xs)
rnn_fwd_p.def_impl(jnp.tanh)


HIDDEN = {
    "Pallas": (in_pallas, "it is inside a Pallas kernel, which has no gradient of its steps"),
    "cuDNN": (lambda xs: rnn_fwd_p.bind(xs).sum(), "cuDNN computes all steps in one call; use the library's plain"),
    "custom_vjp": (own_rule, "it is inside jax.custom_vjp, whose backward pass is a function of its own"),
    "custom_jvp": (own_derivative, "it is inside jax.custom_jvp, whose derivative is a function of its own"),
    "while loop": (while_loop, "a while loop (also a fori_loop whose bounds are traced) has no gradient in reverse"),
    "fori_loop of traced bounds": (
        lambda xs: lax.fori_loop(0, xs[0, 0].astype(int), lambda t, h: jnp.tanh(h), xs).sum(),
        "use jax.lax.scan, or a fori_loop with constant bounds",
    ),
    "scan in a while loop": (scan_in_while_loop, "a while loop (also a fori_loop"),
    "associative_scan": (
        lambda xs: lax.associative_scan(jnp.add, xs).sum(),
        "jax.lax.associative_scan computes all steps at once",
    ),
    "shard_map": (in_shard_map, "it is inside jax.shard_map or jax.pmap; call rnnjax.observe inside of the mapped"),
    "pmap": (in_pmap, "it is inside jax.shard_map or jax.pmap; call rnnjax.observe inside of the mapped"),
}


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_cannot_be_seen_is_listed_with_the_reason(kind):
    fun, reason = HIDDEN[kind]
    tapped, taps, sites = rnnjax.observe(fun)(XS)
    assert taps == {}
    assert sites
    assert all(site.hidden is not None for site in sites)
    assert any(reason in site.hidden for site in sites)
    assert all(str(site) == f"{site.name}: hidden, {site.hidden}" for site in sites)
    assert tapped(taps, XS) == fun(XS)


def test_a_hidden_scan_does_not_hide_the_others():
    _, taps, sites = rnnjax.observe(lambda xs: own_rule(xs) + scan(xs))(XS)
    assert [site.hidden is None for site in sites] == [False, True]
    assert list(taps) == [sites[1].name]


def test_a_scan_outside_of_modules_is_named_by_file_and_line():
    (site,) = sites_of(scan, XS)
    assert re.fullmatch(r"test_sites\.py:\d+", site.name)
    assert site.source == site.name
    assert str(site) == f"{site.name}: scan of 4 steps, carry (float32[2])"


def test_two_scans_of_one_line_have_two_names():
    first, second = sites_of(lambda xs: scan(xs) + scan(2 * xs), XS)
    assert second.name == f"{first.name} #2"


def test_what_encloses_a_scan():
    @jax.jit
    def train(xs):
        return jax.checkpoint(scan)(xs)

    def chunks(xs):
        return lax.scan(lambda h, x: (h + train(x), None), 0.0, jnp.stack([xs, xs]))[0]

    outer, inner = sites_of(chunks, XS)
    assert (outer.within, outer.outer) == ((), ())
    assert inner.within == ("scan of 2 steps", "jit train", "checkpoint")
    assert inner.outer == (2,)
    assert str(inner).endswith("carry (float32[2]) in checkpoint, in jit train, in scan of 2 steps")


def test_counters_and_keys_are_no_sites():
    def count(xs):
        total = lax.fori_loop(0, 3, lambda t, n: n + t, 0)
        return total + lax.map(jnp.sum, xs).sum()

    assert sites_of(count, XS) == ()
    mixed = lax.scan
    (site,) = sites_of(lambda xs: mixed(lambda c, x: ((c[0] + 1, c[1] + x), None), (0, xs[0]), xs)[0][1].sum(), XS)
    assert site.carry[0] is None
    assert str(site).endswith("carry (not differentiable, float32[2])")


class Classifier(nn.Module):
    @nn.compact
    def __call__(self, xs):
        ys = nn.RNN(nn.LSTMCell(3), name="encoder")(xs)
        ys = nn.Bidirectional(nn.RNN(nn.GRUCell(3)), nn.RNN(nn.SimpleCell(3)))(ys)
        _, ys = rnnjax.RNN(rnnjax.LSTM(3))(ys)
        return ys[:, -1].sum()


def test_flax_modules_give_their_names():
    model, xs = Classifier(), np.ones((2, 4, 3), np.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), xs)
    params = jax.tree.map(lambda a: jnp.ones(a.shape), params)
    names = [site.name for site in sites_of(model.apply, params, xs)]
    assert names == [
        "Classifier/encoder",
        "Classifier/Bidirectional_0/RNN_0",
        "Classifier/Bidirectional_0/RNN_1",
        "Classifier/RNN_2",
    ]
    mapped = sites_of(jax.vmap(lambda p, row: model.apply(p, row[None]), (None, 0)), params, xs)
    assert [site.name for site in mapped] == names
    assert mapped[0].carry[0].shape == (2, 1, 3)
    assert str(mapped[3]).startswith("Classifier/RNN_2: LSTM of rnnjax of 4 steps, carry (float32[2,1,3], ")


def test_arguments_that_are_no_arrays():
    with pytest.raises(ValueError, match=r"^fun must be a function, got 3$"):
        rnnjax.observe(3)
    with pytest.raises(ValueError, match=r"^argument 1\['name'\] must be an array, got 'adam'; leave it out of"):
        rnnjax.observe(lambda xs, config: scan(xs))(XS, {"name": "adam"})


def test_arrays_in_another_byte_order():
    with pytest.raises(ValueError, match=r"^argument 0 must be in the byte order of this machine, got >f4 of shape"):
        rnnjax.observe(scan)(XS.astype(">f4"))
    with pytest.raises(ValueError, match=r"^batch\['xs'\] must be in the byte order of this machine, got >f4 of shape"):
        rnnjax.gradient_flow(lambda params, batch: scan(batch["xs"]), 1.0, {"xs": XS.astype(">f4")})


def test_taps_and_arguments_of_another_call():
    tapped, taps, _ = rnnjax.observe(scan)(XS)
    for other in (XS[:2], XS.astype(np.float16)):
        with pytest.raises(ValueError, match=r"^tapped is made for arguments of the shapes and dtypes that observe "):
            tapped(taps, other)
    with pytest.raises(ValueError, match=r"^taps has 'encoder', which is no site; there are test_sites\.py:"):
        tapped({"encoder": ()}, XS)
    with pytest.raises(ValueError, match=r"^taps must be a dict like that of observe, got list"):
        tapped([*taps.values()], XS)
    ((name, (tap,)),) = taps.items()
    for wrong, sentence in (
        ((), r"\] must have 1 arrays or None, got tuple"),
        ((tap[1:],), r"\]\[0\] must be float32 of shape \(4, 2\), got float32 of shape \(3, 2\)"),
        ((tap.astype(jnp.float16),), r"\]\[0\] must be float32 of shape \(4, 2\), got float16 of shape"),
    ):
        with pytest.raises(ValueError, match=rf"^taps\['{name}'{sentence}"):
            tapped({name: wrong}, XS)
    np.testing.assert_array_equal(tapped({name: (None,)}, XS), scan(XS))
