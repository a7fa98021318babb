"""The fused backward pass equals autodiff of the plain scan, which equals a Python loop over ``cell.step``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    LENGTHS,
    STEPS,
    VARIANTS,
    ZONED,
    assert_close,
    fused_and_autodiff,
    loop,
    make_case,
    make_inputs,
    make_params,
    slow_unless,
)

import rnnjax
from rnnjax.cells import DropoutMasks
from rnnjax.core.fused import chunk_length

# batch shape, optional arguments (see make_case), options of unroll. 4 divides the 8 steps, 3 does not.
CASES = {
    "bare": ((4,), "", {}),
    "ragged": ((4,), "lengths state taps", {}),
    "two batch dimensions, reverse": ((2, 2), "lengths state taps dropout", {"reverse": True}),
    "no batch": ((), "lengths state taps", {"reverse": True}),
    "stored every fourth": ((4,), "taps dropout", {"store_every": 4}),
    "stored every third, no batch": ((), "state taps", {"store_every": 3}),
    "stored every third": ((2, 2), "lengths state taps dropout", {"store_every": 3, "reverse": True}),
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        slow_unless(case == "stored every third" or (name == "LSTM" and case in ("ragged", "no batch")), name, case)
        for name in CELLS
        for case in CASES
    ]
    + [slow_unless(False, name, "ragged") for name in VARIANTS]
    + [("SimpleRNN relu", "stored every third")],
)
def test_fused_equals_autodiff_in_float64(x64, name, case):
    cell, (batch_shape, given, options) = (CELLS | VARIANTS)[name], CASES[case]
    arguments, other = make_case(cell, batch_shape, given)
    fused, autodiff = fused_and_autodiff(cell, arguments, options | other)
    assert_close(fused, autodiff, 1e-12)
    assert all(np.any(a != 0) and a.dtype == jnp.float64 for a in jax.tree.leaves(fused))


@pytest.mark.parametrize(
    ("name", "case", "steps"),
    [
        slow_unless((case[:3] == "two" and steps < STEPS) or (name, case[:6]) == ("LSTM", "stored"), name, case, steps)
        for name in CELLS
        for case in ("bare", "two batch dimensions, reverse", "stored every fourth")
        for steps in (STEPS, STEPS - 1)  # divisible by 2, and not
    ],
)
def test_fused_equals_autodiff_in_chunks(x64, set_chunk_length, name, case, steps):
    set_chunk_length(2)
    cell, (batch_shape, given, options) = ZONED[name], CASES[case]
    arguments, other = make_case(cell, batch_shape, given, steps, np.minimum(LENGTHS, steps))
    fused, autodiff = fused_and_autodiff(cell, arguments, options | other)
    assert_close(fused, autodiff, 1e-12)


READ = {
    "final": lambda results: results[0],
    "states": lambda results: results[1],
    "the memory of states": lambda results: results[1][-1],
    "final h, and the memory of states": lambda results: (results[0].h, results[1][-1]),
}


@pytest.mark.parametrize(
    ("name", "read", "given"),
    [
        slow_unless(given and (name == "LSTM" or (name, read) == ("GRU", "final")), name, read, given)
        for name in CELLS
        for read in READ
        for given in ("", "lengths state taps")
    ],
)
def test_fused_equals_autodiff_where_the_loss_reads_only_some_outputs(x64, name, read, given):
    arguments, other = make_case(CELLS[name], (4,), given)
    fused, autodiff = fused_and_autodiff(CELLS[name], arguments, other, READ[read])
    assert_close(fused, autodiff, 1e-12)
    assert all(np.any(a != 0) for a in jax.tree.leaves(fused[0]["params"]))


@pytest.mark.parametrize(
    ("cell", "shape", "expected"),
    [
        (rnnjax.LSTM(128), (500, 32), 10),  # 16 steps of 64 KiB fill the cache; 10 is the largest divisor of 500
        (rnnjax.LSTM(128), (512, 32), 16),
        (rnnjax.LSTM(128, param_dtype=jnp.bfloat16), (512, 32), 16),  # the gates are float32
        (rnnjax.SimpleRNN(128), (512, 32), 64),
        (rnnjax.LSTM(128), (16, 32), 16),
        (rnnjax.LSTM(512), (100, 256), 5),  # no step fits; the largest divisor of 100 up to the minimum, 8
        (rnnjax.LSTM(128), (505, 32), 16),  # its divisor 5 is less than half of 16, so the last of 32 chunks is padded
        (rnnjax.LSTM(128), (513, 32), 9),
        (rnnjax.LSTM(128), (201, 32), 16),
        (rnnjax.LSTM(64), (201, 32), 29),  # 7 chunks, two steps of padding
        (rnnjax.LSTM(128), (17, 32), 9),
    ],
)
def test_chunk_length(cell, shape, expected):
    assert chunk_length(cell, jnp.zeros((*shape, 3))) == expected


@pytest.mark.parametrize("name", [slow_unless(name == "SimpleRNN", name) for name in CELLS])
def test_fused_equals_autodiff_in_float32(optimized, name):
    cell = CELLS[name].replace(features=16, param_dtype=jnp.float32)
    arguments, other = make_case(cell, (4,), "lengths state taps", steps=50, lengths=(0, 50, 31, 1))
    fused, autodiff = fused_and_autodiff(cell, arguments, other)
    assert_close(fused, autodiff, 1e-5)
    assert all(np.any(a != 0) and a.dtype == jnp.float32 for a in jax.tree.leaves(fused))


@pytest.mark.parametrize(
    ("name", "given", "options", "backward"),
    [
        slow_unless(name == "LSTM" or (given and backward == "fused"), name, given, options, backward)
        for name in (*CELLS, "SimpleRNN relu")
        for given, options in (("", {"store_every": 3}), ("lengths state dropout", {}))
        for backward in ("fused", "autodiff")
    ],
)
def test_the_scan_equals_a_loop_over_step(x64, name, given, options, backward):
    cell = (CELLS | VARIANTS)[name]
    arguments, other = make_case(cell, (2, 2), given)
    expected = loop(cell, **({"state": cell.initial_state((2, 2))} | arguments | other))
    actual = rnnjax.unroll(cell, **arguments, **other, **options, backward=backward)
    assert_close(actual, expected, 1e-14)


def test_a_sequence_can_be_continued_from_the_final_state(x64):
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (4,))
    final, states = rnnjax.unroll(cell, params, xs)
    middle, before = rnnjax.unroll(cell, params, xs[:3])
    end, after = rnnjax.unroll(cell, params, xs[3:], middle)
    assert_close(end, final, 1e-14)
    assert_close(jax.tree.map(lambda *a: jnp.concatenate(a), before, after), states, 1e-14)


LSTM = rnnjax.LSTM(5)
STATE = LSTM.initial_state((4,))  # valid, so that each case below has one error


@pytest.mark.parametrize(
    ("argument", "changes"),
    [
        ("backward", {"backward": "numeric"}),
        ("store_every", {"store_every": 0}),
        ("xs must be", {"xs": np.zeros(3, np.float32)}),
        ("xs must", {"xs": np.zeros((0, 4, 3), np.float32)}),
        ("xs has 2 features", {"xs": np.zeros((8, 4, 2), np.float32)}),
        ("params.w_h", {"params": rnnjax.GRU(5).init(jax.random.key(0), 3)}),
        ("params.w_h", {"params": rnnjax.LSTM(6).init(jax.random.key(0), 3)}),
        ("lengths", {"lengths": np.zeros((3,), np.int32)}),
        ("lengths", {"lengths": np.zeros((4, 1), np.int32)}),
        (r"dropout\.x must have shape \(4, 3\)", {"dropout": DropoutMasks(np.ones((4, 5)), None)}),
        (r"dropout\.h must have shape \(4, 5\)", {"dropout": DropoutMasks(None, np.ones(5))}),
        (r"dropout\.hold must have shape \(8, 4, 5\)", {"dropout": DropoutMasks(None, None, np.ones((4, 5), bool))}),
        ("state must be a LSTMState, got GRUState", {"state": rnnjax.GRU(5).initial_state((4,))}),
        ("state must be a LSTMState, got tuple", {"state": tuple(STATE)}),
        (r"state\.h", {"state": LSTM.initial_state((3,))}),
        (r"state\.c", {"state": STATE._replace(c=np.zeros((4, 6), np.float32))}),
        ("taps must be a LSTMState", {"taps": np.zeros((8, 4, 5), np.float32)}),
        (r"taps\.h", {"taps": STATE}),
        (r"taps\.c", {"taps": LSTM.initial_state((8, 4))._replace(c=np.zeros((7, 4, 5), np.float32))}),
    ],
)
def test_errors_name_the_argument_that_does_not_fit(argument, changes):
    arguments = {"params": LSTM.init(jax.random.key(0), 3), "xs": np.zeros((8, 4, 3), np.float32)}
    with pytest.raises(ValueError, match=argument):
        rnnjax.unroll(LSTM, **(arguments | changes))
