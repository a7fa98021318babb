"""Every wrong call of the library raises ValueError with one sentence, before anything is compiled."""

import jax
import numpy as np
import pytest
from cases_library import SHOWN
from cases_measuring import SHOWN as MEASURING
from given import names

import rnnjax

CASES = [(call, message) for cases in (SHOWN | MEASURING).values() for call, message in cases]


@pytest.fixture(scope="module")
def given():
    return names()


def test_there_are_many_and_none_twice():
    assert len(CASES) == len({call for call, _ in CASES}) >= 80


@pytest.mark.parametrize(("call", "message"), CASES, ids=[call for call, _ in CASES])
def test_a_wrong_call_is_one_sentence(call, message, given):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole message is compared
        eval(call, given)
    assert str(error.value) == message
    assert type(error.value) is ValueError


def test_shapes_are_checked_where_values_are_traced_and_values_are_not(given):
    """Constant arguments are checked while a function is traced; lengths passed into jit are not."""
    cell, params, xs = (given[name] for name in ("cell", "params", "xs"))
    run = jax.jit(lambda xs, lengths: rnnjax.unroll(cell, params, xs, lengths=lengths))
    with pytest.raises(ValueError, match=r"^lengths must have shape \(4,\), got \(3,\)"):
        run(xs, np.array([8, 2, 3]))
    final, _ = run(xs + 1, np.array([8, 9, 3, -1]))
    expected, _ = run(xs + 1, np.array([8, 8, 3, 0]))
    jax.tree.map(np.testing.assert_array_equal, final, expected)


def spoilt(given, bad):
    """Parameters that pass every input on, and inputs that are ``bad`` at step 2 of example 1."""
    params = jax.tree.map(lambda a: a + 0.5, given["params"])
    xs = given["xs"].copy()
    xs[2, 1] = bad
    return params._replace(w_x=params.w_x * 0 + np.array([[1.0], [-1.0], [0.0]], np.float32)), xs


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_go_through_unroll_and_stay_in_their_example(bad, given):
    """``unroll`` is a function of arrays: NaN in, NaN out."""
    _, states = rnnjax.unroll(given["cell"], *spoilt(given, bad))
    finite = np.isfinite(states.h).all(axis=-1)
    assert finite[:, [0, 2, 3]].all()
    assert finite[:2, 1].all()
    assert not finite[2:, 1].any()


@pytest.mark.slow
def test_where_they_came_from_is_what_diagnose_says(given):
    params, xs = spoilt(given, np.nan)
    alarms = rnnjax.diagnose(given["cell"], params, xs, given["loss"]).alarms
    (alarm,) = [alarm for alarm in alarms if alarm.name == "not finite"]
    assert "in the forward pass" in alarm.sentence
    assert "at timestep 2" in alarm.sentence
