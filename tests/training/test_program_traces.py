"""Every function is traced once, whatever the lengths: a second trace would make training start later."""

from functools import partial

import chex
import jax
import numpy as np
import pytest
from studies import SETTINGS, make_dataset, make_ensemble, make_spec, mesh_layout, pmap_layout, run

import rnnjax
from rnnjax.training import compile as compile_module
from rnnjax.training.diagnose_run import diagnose_member
from rnnjax.training.setup import select_member, set_up_ensemble
from rnnjax.training.step.optimizer import make_optimizer

pytestmark = pytest.mark.slow

LAYOUTS = {
    "jit, map": lambda: mesh_layout(2),
    "jit, vmap": lambda: mesh_layout(2, together="vmap"),
    "jit, data": lambda: mesh_layout(2, data=2),
    "pmap": lambda: pmap_layout(2, 2),
}


@pytest.fixture
def traces(monkeypatch):
    """The names of the functions that programs are made from, one for each trace; a second raises an AssertionError."""
    chex.clear_trace_counter()
    names = []

    def counted(function, name):
        def wrapper(*args):
            names.append(name)
            return function(*args)

        wrapper.__name__ = name  # chex counts the functions of one name together
        return chex.assert_max_traces(wrapper, n=1)

    make_train_step, make_eval_step = compile_module.make_train_step, compile_module.make_eval_step

    def make_counted_train_step(*args, log_gradients, **options):
        step = make_train_step(*args, log_gradients=log_gradients, **options)
        return counted(step, "logged step" if log_gradients else "train step")

    def make_counted_eval_step(*args, **options):
        step = make_eval_step(*args, **options)
        return step._replace(score=counted(step.score, "evaluation step"))

    monkeypatch.setattr(compile_module, "make_train_step", make_counted_train_step)
    monkeypatch.setattr(compile_module, "make_eval_step", make_counted_eval_step)
    for name in ("init_state", "_measure_layers"):
        monkeypatch.setattr(compile_module, name, counted(getattr(compile_module, name), name))
    return names


@pytest.mark.parametrize("name", ["jit, map", *(pytest.param(n, marks=pytest.mark.slow) for n in list(LAYOUTS)[1:])])
def test_every_function_is_traced_once(name, traces, tmp_path):
    """The programs of the first step before it; those of validation and diagnosis when they are first needed."""
    dataset, cell = make_dataset(), rnnjax.SimpleRNN(4)
    ensemble = make_ensemble(*[make_spec(dataset, cell, seed=seed) for seed in (0, 1)])
    first = ["init_state", "logged step", "train step"]
    setup = set_up_ensemble(ensemble, LAYOUTS[name]())
    assert sorted(traces) == first
    members, done = run(setup, tmp_path)
    assert done.step == setup.steps
    assert all(member.best is not None for member in members)
    assert traces[3:] == ["evaluation step"]
    for i in (0, 1):
        diagnose_member(setup.programs, dataset, select_member(setup.initial_state.params, i), 0)
    assert traces[4:] == ["_measure_layers"]


def test_a_second_trace_is_an_error(traces):
    model = rnnjax.SequenceClassifier(9, 3, rnnjax.RNN(rnnjax.SimpleRNN(4)))
    inputs, optimizer = np.zeros((1, 1), np.int32), make_optimizer(SETTINGS, steps=10)
    init = partial(compile_module.init_state, model, optimizer, inputs, None)
    jax.eval_shape(init, jax.random.key(0))
    assert traces == ["init_state"]
    with pytest.raises(AssertionError, match="'init_state' is traced > 1 times"):
        jax.eval_shape(lambda key: init(key), jax.random.key(0))
