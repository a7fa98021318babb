"""The fused scan equals autodiff of the plain scan with and without jit, from device and host arrays, and under pmap.

``chex.variants`` needs a ``chex.TestCase``; pytest runs its methods, with fixtures from ``usefixtures``.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized
from sequences import CELLS, LENGTHS, STEPS, assert_close, make_case, total

import rnnjax

BATCH = (len(LENGTHS),)
CASES = {  # optional arguments (see make_case), options of unroll
    "bare": ("", {}),
    "ragged": ("state taps lengths", {}),
    "ragged, reverse": ("state taps lengths", {"reverse": True}),
    "stored every third": ("taps", {"store_every": 3}),
}


def gradient_and_outputs(cell, arguments, lengths, **options):
    """(gradient with respect to ``arguments``, (final, states)) of a loss of all outputs."""

    def loss(arguments):
        outputs = rnnjax.unroll(cell, **arguments, **lengths, **options)
        return total(outputs), outputs

    return jax.grad(loss, has_aux=True)(arguments)


@functools.cache
def expected_results(name, case):
    """The same by autodiff of the plain scan, which stores every step, as NumPy arrays."""
    given, options = CASES[case]
    options = options | {"backward": "autodiff", "store_every": None}
    run = jax.jit(functools.partial(gradient_and_outputs, CELLS[name], **options))
    return jax.device_get(run(*make_case(CELLS[name], BATCH, given)))


QUICK = [("LSTM", "ragged"), ("GRU", "ragged, reverse")]
OTHERS = [(name, case) for name in sorted(CELLS) for case in sorted(CASES) if (name, case) not in QUICK]


def check_variant(variant, name, case):
    given, options = CASES[case]
    run = variant(functools.partial(gradient_and_outputs, CELLS[name], **options), n_devices=2)
    actual = jax.device_get(run(*make_case(CELLS[name], BATCH, given)))
    chex.assert_tree_all_finite(actual)
    assert_close(actual, expected_results(name, case), 1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
class OtherUnrollTest(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters(*OTHERS)
    def test_fused_equals_autodiff(self, name, case):
        check_variant(self.variant, name, case)


@pytest.mark.usefixtures("x64")
class UnrollTest(chex.TestCase):
    @chex.all_variants
    @parameterized.parameters(*QUICK)
    def test_fused_equals_autodiff(self, name, case):
        check_variant(self.variant, name, case)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    @parameterized.parameters(*sorted(CELLS))
    def test_steps_past_the_end_keep_the_state(self, name):
        arguments, lengths = make_case(CELLS[name], BATCH, "state lengths")
        run = self.variant(lambda arguments, lengths: rnnjax.unroll(CELLS[name], **arguments, **lengths), n_devices=2)
        final, states = jax.device_get(run(arguments, lengths))
        padding = np.arange(STEPS)[:, None] >= np.array(LENGTHS)
        for values, last in zip(states, final, strict=True):
            expected = np.broadcast_to(last, values.shape)
            chex.assert_trees_all_equal(values[padding], expected[padding], strict=True)

    @chex.variants(with_jit=True, without_jit=True, with_pmap=True)
    @parameterized.parameters(*sorted(CELLS))
    def test_zero_taps_change_no_output(self, name):
        arguments, lengths = make_case(CELLS[name], BATCH, "taps lengths")
        arguments["taps"] = jax.tree.map(jnp.zeros_like, arguments["taps"])
        run = self.variant(lambda arguments, lengths: rnnjax.unroll(CELLS[name], **arguments, **lengths), n_devices=2)
        without_taps = {key: value for key, value in arguments.items() if key != "taps"}
        assert_close(run(arguments, lengths), run(without_taps, lengths), 1e-14)


def test_every_variant_has_its_tests():
    """With fewer than two devices chex would skip pmap."""
    assert jax.device_count() >= 2
    names = [name for tests in (UnrollTest, OtherUnrollTest) for name in dir(tests) if name.startswith("test_fused")]
    for variant in chex.ChexVariantType:
        assert sum(name.endswith(str(variant)) for name in names) == len(CELLS) * len(CASES)
