"""The same numbers on one device and on eight, for every layout of members, examples and parameters."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest
import studies
from sequences import assert_close
from studies import SETTINGS, make_dataset, make_ensemble, make_spec, mesh_layout, pmap_layout, run

import rnnjax
from rnnjax.nn import embedding
from rnnjax.runs.json_io import read_records
from rnnjax.sharding import layout as layouts
from rnnjax.sharding.program_spec import Division, ShardingRole
from rnnjax.training.evaluate import evaluate
from rnnjax.training.setup import set_up_ensemble, stack_trees
from rnnjax.training.step.state import STATE_ROLES, TrainState

# 50 steps; 6 examples in a batch, which 8 devices do not divide, and the last batch of an epoch has 2
FIFTY = dataclasses.replace(SETTINGS, epochs=8, batch_size=6, log_gradients_every=10, validate_every=25)
PENALISED = dataclasses.replace(FIFTY, epochs=1, omega=0.01, flossing=0.003)
CLIPPED_BY_VALUE = dataclasses.replace(FIFTY, epochs=1, optimizer="sgd", clip_by="value", clip=0.001)
LSTM = rnnjax.LSTM(4, recurrent_dropout=0.2)
LAYOUTS = {
    "jit, data": partial(mesh_layout, data=8),
    "jit, data, vmap": partial(mesh_layout, data=8, together="vmap"),
    "jit, members": partial(mesh_layout, member=2),
    "jit, both": partial(mesh_layout, member=2, data=4, together="vmap"),
    "sharded": partial(mesh_layout, data=4, model=2),
    "sharded, both": partial(mesh_layout, member=2, data=2, model=2),
    "pmap": partial(pmap_layout, count=8),
    "pmap, vmap": partial(pmap_layout, count=4, together="vmap"),
}


def study(cell, settings, embedding=3):
    """Two seeds that read the same examples, and one learning rate more."""

    def make_model(sizes, cell):
        return dataclasses.replace(studies.make_model(sizes, cell), embedding=embedding)

    dataset = make_dataset()
    trials = [make_spec(dataset, cell, settings, seed=seed) for seed in (0, 1)]
    faster = dataclasses.replace(settings, learning_rate=0.05)
    trials.append(make_spec(dataset, cell, faster, label="faster"))
    return make_ensemble(*[dataclasses.replace(trial, make_model=make_model) for trial in trials])


def outcome(group, layout, folder):
    """Records, parameters, and scores of the test split."""
    prepared = set_up_ensemble(group, layout)
    members, done = run(prepared, folder)
    records = [
        [read_records(member.folder / name) for name in ("metrics.jsonl", "gradients.jsonl")] for member in members
    ]
    best = layout.put(ShardingRole.PARAMS, stack_trees([member.params for member in members]))
    scores = [score[:2] for score in evaluate(prepared, "test", best)]
    return records, layout.fetch(done.state.params), scores


def assert_records_close(records, expected, tolerance):
    for actual, wanted in zip(jax.tree.leaves(records), jax.tree.leaves(expected), strict=True):
        assert type(actual) is type(wanted)
        if isinstance(actual, float):
            assert actual == pytest.approx(wanted, rel=tolerance, abs=tolerance, nan_ok=True)
        else:
            assert actual == wanted


@pytest.mark.slow
def test_a_layout_gives_the_numbers_of_one_device(tmp_path):
    """In single precision after 50 steps; below is every layout in double precision."""
    group = study(LSTM, FIFTY)
    expected = outcome(group, mesh_layout(3), tmp_path / "one")
    records, params, scores = outcome(group, LAYOUTS["jit, both"](3), tmp_path / "both")
    assert_close(params, expected[1], 1e-5)
    assert_records_close(records, expected[0], 1e-4)
    assert_records_close(scores, expected[2], 1e-5)


@pytest.mark.slow
def test_every_layout_gives_the_numbers_of_one_device_in_double_precision(tmp_path, x64):
    group = study(LSTM.replace(param_dtype=np.float64), FIFTY)
    expected = outcome(group, mesh_layout(3), tmp_path / "one")
    for name, layout in LAYOUTS.items():
        records, params, scores = outcome(group, layout(3), tmp_path / name)
        assert_close(params, expected[1], 1e-12)
        assert_records_close(records, expected[0], 1e-9)
        assert_records_close(scores, expected[2], 1e-9)


@pytest.mark.slow
def test_row_sharded_matrices_give_the_numbers_of_one_device(tmp_path, monkeypatch, x64):
    group = study(LSTM.replace(param_dtype=np.float64), dataclasses.replace(FIFTY, epochs=2))
    expected = outcome(group, mesh_layout(3), tmp_path / "one")
    monkeypatch.setattr(layouts, "MIN_SHARDED_SIZE", 1)
    for name in ("jit, data", "jit, both"):
        records, params, scores = outcome(group, LAYOUTS[name](3), tmp_path / name)
        assert_close(params, expected[1], 1e-12)
        assert_records_close(records, expected[0], 1e-9)
        assert_records_close(scores, expected[2], 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [dataclasses.replace(FIFTY, epochs=2), PENALISED, CLIPPED_BY_VALUE])
def test_word_vectors_with_divided_columns_give_the_numbers_of_one_device(tmp_path, monkeypatch, x64, settings):
    """With reviews that are looked up in one piece, and in chunks of three words."""
    group = study(LSTM.replace(param_dtype=np.float64), settings, embedding=8)
    expected = outcome(group, mesh_layout(3), tmp_path / "one")
    monkeypatch.setattr(layouts, "MIN_SHARDED_SIZE", 64)
    monkeypatch.setattr(layouts, "FEWEST_COLUMNS", 1)
    for name, most in (("jit, data", 128), ("jit, both", 3), ("jit, data", 3)):
        monkeypatch.setattr(embedding, "MOST_EXCHANGED_STEPS", most)
        monkeypatch.setattr(embedding, "MOST_RAGGED_STEPS", min(most, 32))
        records, params, scores = outcome(group, LAYOUTS[name](3), tmp_path / f"{name} {most}")
        assert_close(params, expected[1], 1e-12)
        assert_records_close(records, expected[0], 1e-9)
        assert_records_close(scores, expected[2], 1e-9)


@pytest.mark.slow
def test_penalties_and_dropout_do_not_depend_on_the_layout(tmp_path, x64):
    cell = rnnjax.GRU(4, input_dropout=0.2, recurrent_dropout=0.2, param_dtype=np.float64)
    group = study(cell, PENALISED)
    expected = outcome(group, mesh_layout(3), tmp_path / "one")
    for name in ("sharded, both", "pmap"):
        records, params, _ = outcome(group, LAYOUTS[name](3), tmp_path / name)
        assert_close(params, expected[1], 1e-12)
        assert_records_close(records, expected[0], 1e-9)


def test_large_parameters_are_divided_over_the_model_axis():
    layout = mesh_layout(2, data=2, model=4)
    shapes = {"embedding": (40, 8), "w_h": (4, 16), "odd": (5, 3), "b": (16,)}
    arrays = {name: np.random.default_rng(0).normal(size=(2, *shape)) for name, shape in shapes.items()}
    placed = layout.put(ShardingRole.PARAMS, {name: a.astype(np.float32) for name, a in arrays.items()})
    held = {name: a.addressable_shards[0].data.shape for name, a in placed.items()}
    assert held == {"embedding": (2, 10, 8), "w_h": (2, 4, 4), "odd": (2, 5, 3), "b": (2, 16)}
    assert all(np.array_equal(a, arrays[name].astype(np.float32)) for name, a in layout.fetch(placed).items())


def test_rows_of_large_matrices_are_divided_over_the_data_axis(monkeypatch):
    monkeypatch.setattr(layouts, "MIN_SHARDED_SIZE", 64)
    layout = mesh_layout(2, data=4)
    shapes = {"embedding": (40, 8), "small": (4, 8), "odd": (42, 8), "b": (64,)}
    tree = {name: np.random.default_rng(0).normal(size=(2, *shape)) for name, shape in shapes.items()}
    placed = layout.put(ShardingRole.PARAMS, tree)
    held = {name: a.addressable_shards[0].data.shape for name, a in placed.items()}
    assert held == {name: (2, *shape) for name, shape in shapes.items()} | {"embedding": (2, 10, 8)}
    assert all(np.array_equal(a, tree[name].astype(np.float32)) for name, a in layout.fetch(placed).items())
    params = {name: a[0] for name, a in tree.items()}
    whole = dict.fromkeys(shapes, Division.WHOLE)
    assert layout.batch_shard(params).division == whole | {"embedding": Division.ROWS}
    assert mesh_layout(2, data=4, model=2).batch_shard(params).division == whole
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert layout.batch_shard(params).division == whole


def test_columns_of_word_vectors_are_divided_on_cpus_where_each_device_has_enough(monkeypatch):
    monkeypatch.setattr(layouts, "MIN_SHARDED_SIZE", 64)
    monkeypatch.setattr(layouts, "FEWEST_COLUMNS", 2)
    for columns, held, division in (
        (8, (1, 40, 2), Division.COLUMNS),
        (6, (1, 10, 6), Division.ROWS),
        (4, (1, 10, 4), Division.ROWS),
    ):
        layout, table = mesh_layout(1, data=4), np.random.default_rng(0).normal(size=(1, 40, columns))
        tree = {"Embed_0": {"embedding": table.astype(np.float32)}}
        placed = layout.put(ShardingRole.PARAMS, {"params": tree, "moments": (tree, tree)})
        assert {a.addressable_shards[0].data.shape for a in jax.tree.leaves(placed)} == {held}
        assert all(np.array_equal(a, tree["Embed_0"]["embedding"]) for a in jax.tree.leaves(layout.fetch(placed)))
        shard = layout.batch_shard({"Embed_0": {"embedding": table[0]}})
        assert shard.division == {"Embed_0": {"embedding": division}}
        assert shard.columns_axis == ("data" if division is Division.COLUMNS else None)


def test_a_carried_state_is_never_divided(monkeypatch):
    monkeypatch.setattr(layouts, "MIN_SHARDED_SIZE", 1)
    state = TrainState({"w": np.zeros((1, 8, 2))}, {"m": np.zeros((1, 8, 2))}, *np.zeros((2, 1)), np.zeros((1, 8, 2)))
    placed = mesh_layout(1, data=4).put(STATE_ROLES, state)
    held = [a.addressable_shards[0].data.shape for a in jax.tree.leaves(placed)]
    assert held == [(1, 2, 2), (1, 2, 2), (1,), (1,), (1, 8, 2)]


@pytest.mark.parametrize("layout", [mesh_layout(3, member=2, data=2), pmap_layout(3, 4)])
def test_fetch_returns_what_was_put(layout):
    tree = {"a": np.arange(12.0).reshape(3, 4), "b": np.arange(3)}
    back = layout.fetch(layout.put(ShardingRole.MEMBER, tree))
    assert all(np.array_equal(back[name], tree[name]) for name in tree)
