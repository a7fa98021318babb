"""Which runs share a program, and the steps that they take together."""

import dataclasses

import numpy as np
import pytest
from studies import SETTINGS, make_dataset, make_ensemble, make_spec

import rnnjax
from rnnjax.data.synthetic.recall import recall
from rnnjax.errors import UserError
from rnnjax.training.ensemble import (
    MAX_MEMBER_STEPS,
    MAX_MEMBERS,
    later_tasks,
    load_ensembles,
    pad_batch,
    plan_ensembles,
)
from rnnjax.training.schedule import schedule

DATASET = make_dataset()
LSTM = rnnjax.LSTM(4)
SHARED = {
    "learning_rate": {"learning_rate": 0.5},
    "clip": {"clip": 7.0},
    "omega": {"omega": 0.3},
    "flossing": {"flossing": 0.3},
    "seed": {"seed": 3, "seeds": 2},
    "tensorboard": {"tensorboard": True},
}
APART = {
    "no clip": {"clip": 0.0},
    "no omega": {"omega": 0.0},
    "no flossing": {"flossing": 0.0},
    "batch_size": {"batch_size": 5},
    "epochs": {"epochs": 3},
    "schedule": {"schedule": "cosine"},
    "warmup_steps": {"warmup_steps": 2},
    "sorted_batches": {"sorted_batches": 2},
    "steps_per_program": {"steps_per_program": 4},
    "validate_every": {"validate_every": 6},
    "log_gradients_every": {"log_gradients_every": 0},
    "curriculum": {"curriculum": 0.5},
    "clip_by": {"clip_by": "value"},
    "optimizer": {"optimizer": "sgd"},
}
PENALISED = dataclasses.replace(SETTINGS, clip=1.0, omega=0.1, flossing=0.1)


def spec(cell=LSTM, *, seed=0, task="tiny", dataset=DATASET, **settings):
    made = make_spec(dataset, cell, dataclasses.replace(PENALISED, **settings), seed=seed)
    return dataclasses.replace(made, task=task)


@pytest.mark.parametrize("changes", SHARED.values(), ids=SHARED)
def test_runs_that_differ_in_a_number_share_a_program(changes):
    both = spec(), spec(**changes)
    assert plan_ensembles(both) == [both]


@pytest.mark.parametrize("changes", APART.values(), ids=APART)
def test_runs_that_differ_in_what_is_compiled_do_not(changes):
    first, second = spec(), spec(**changes)
    assert plan_ensembles([first, second]) == [(first,), (second,)]


@pytest.mark.parametrize(
    "options",
    [
        {"forget_bias": 0.0},
        {"chrono": 9},
        {"recurrent_init": rnnjax.Orthogonal(0.5)},
        {"kernel_init": rnnjax.Orthogonal()},
    ],
    ids=["forget_bias", "chrono", "recurrent_init", "kernel_init"],
)
def test_cells_that_differ_in_initialisation_share_a_program(options):
    both = spec(), spec(LSTM.replace(**options))
    assert plan_ensembles(both) == [both]


@pytest.mark.parametrize(
    ("cell", "other"),
    [
        (LSTM, rnnjax.GRU(4)),
        (LSTM, rnnjax.LSTM(5)),
        (LSTM, rnnjax.LSTM(4, recurrent_dropout=0.1)),
        (LSTM, rnnjax.LSTM(4, input_dropout=0.1)),
        (LSTM, rnnjax.LSTM(4, param_dtype=np.float64)),
        (rnnjax.SimpleRNN(4), rnnjax.SimpleRNN(4, activation="relu")),
    ],
)
def test_cells_that_differ_in_computation_do_not(cell, other):
    first, second = spec(cell), spec(other)
    assert plan_ensembles([first, second]) == [(first,), (second,)]


def test_tasks_that_differ_do_not():
    first, second = spec(), spec(task="longer")
    assert plan_ensembles([first, second]) == [(first,), (second,)]


def test_ensembles_come_in_the_order_of_their_first_run():
    gru = rnnjax.GRU(4)
    specs = [spec(gru, seed=1), spec(seed=0), spec(gru, seed=0), spec(seed=2), spec(clip=0.0)]
    assert plan_ensembles(specs) == [(specs[0], specs[2]), (specs[1], specs[3]), (specs[4],)]
    assert plan_ensembles([]) == []


def test_an_ensemble_has_a_largest_size():
    specs = [spec(seed=seed) for seed in range(2 * MAX_MEMBERS + 6)]
    planned = plan_ensembles(specs)
    assert [len(members) for members in planned] == [MAX_MEMBERS, MAX_MEMBERS, 6]
    assert [member for members in planned for member in members] == specs


def reviews(seed):
    """Of up to 21 words."""
    return recall(
        min_distance=1, max_distance=20, train_examples=90, validation_examples=30, test_per_distance=2, seed=seed
    )


@pytest.mark.parametrize("sorted_batches", [1, 2])
def test_seeds_with_reviews_of_their_own_stay_together(sorted_batches):
    seeds = range(3)
    specs = tuple(spec(seed=seed, dataset=reviews(seed), sorted_batches=sorted_batches) for seed in seeds)
    (ensemble,) = load_ensembles(specs)
    assert ensemble.specs == specs
    assert [dataset.train.lengths.tolist() for dataset in ensemble.datasets] == [
        reviews(seed).train.lengths.tolist() for seed in seeds
    ]
    assert not ensemble.share_data


def test_ensembles_are_split_where_the_arrays_differ_in_shape():
    specs = tuple(spec(seed=seed, dataset=make_dataset(seed) if seed else reviews(0)) for seed in range(3))
    assert [ensemble.specs for ensemble in load_ensembles(specs)] == [specs[:1], specs[1:]]


def test_a_curriculum_with_nothing_to_order_is_refused():
    def reviews_of(shortest):
        return recall(
            min_distance=shortest, max_distance=6, train_examples=9, validation_examples=4, test_per_distance=1, seed=0
        )

    (ensemble,) = load_ensembles((spec(dataset=reviews_of(1), curriculum=0.5),))
    assert ensemble.settings.curriculum == 0.5
    load_ensembles((spec(dataset=reviews_of(6)),))
    with pytest.raises(UserError, match=r"^--curriculum 0\.5 has nothing to order, since all sequences are 7 steps"):
        load_ensembles((spec(dataset=reviews_of(6), curriculum=0.5),))


def test_of_each_later_task_the_strictest_curriculum_is_checked():
    first = (spec(), spec(seed=1), spec(seed=2, curriculum=0.2))
    later = [spec(cell=rnnjax.GRU(4)), spec(curriculum=1.0), spec(task="other"), spec(curriculum=0.5)]
    assert later_tasks([first, *((one,) for one in later)]) == later[1:3]
    assert later_tasks([first, (later[0],), (first[2],)]) == []
    assert later_tasks([]) == []


def test_seeds_that_read_the_same_reviews_share_them():
    dataset = reviews(0)
    specs = tuple(spec(seed=seed, dataset=dataset) for seed in range(3))
    (ensemble,) = load_ensembles(specs)
    assert (ensemble.specs, ensemble.share_data) == (specs, True)


def test_members_take_the_steps_of_their_own_schedules():
    specs = [spec(seed=seed, epochs=2, batch_size=4, steps_per_program=3, validate_every=5) for seed in (4, 5, 9)]
    ensemble = make_ensemble(*specs)
    segments = list(ensemble.segments())
    schedules = [schedule(DATASET.train.lengths, ensemble.settings, seed=seed) for seed in (4, 5, 9)]
    for segment, parts in zip(segments, zip(*schedules, strict=True), strict=True):
        assert segment.chunk.indices.shape == segment.chunk.weights.shape == (3, 3, 4)
        for i, part in enumerate(parts):
            chunk = segment.chunk
            member = segment._replace(chunk=chunk._replace(indices=chunk.indices[i], weights=chunk.weights[i]))
            assert str(member) == str(part)
    assert np.mean([np.any(s.chunk.indices[0] != s.chunk.indices[1]) for s in segments]) > 0.9


def test_a_resumed_run_takes_the_remaining_steps():
    ensemble = make_ensemble(spec(seed=1), spec(seed=2))
    whole = list(ensemble.segments())
    for i in (0, 3, len(whole) - 1, len(whole)):
        start = whole[i].step if i < len(whole) else whole[-1].end
        assert str(list(ensemble.segments(start))) == str(whole[i:])


@pytest.mark.parametrize("members", [1, 3, 16, MAX_MEMBERS, 2 * MAX_MEMBER_STEPS])
def test_more_members_take_fewer_steps_in_one_call(members):
    ensemble = make_ensemble(*[spec(seed=seed, steps_per_program=100, batch_size=1) for seed in range(members)])
    segments = [*ensemble.segments()]
    longest = max(segment.end - segment.step for segment in segments)
    assert longest * members <= max(MAX_MEMBER_STEPS, members)
    assert [segment.step for segment in segments[1:]] == [segment.end for segment in segments[:-1]]
    assert segments[-1].end == 2 * len(DATASET.train.lengths)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_padded_batches_have_the_same_examples_and_added_ones_of_weight_zero(lead):
    segment = next(make_ensemble(spec(), spec(seed=1)).segments())
    chunk = segment.chunk
    if not lead:
        chunk = chunk._replace(indices=chunk.indices[0], weights=chunk.weights[0])
    wide = pad_batch(chunk, 6)
    assert wide.indices.shape == wide.weights.shape == (*lead, 3, 6)
    np.testing.assert_array_equal(wide.indices[..., :4], chunk.indices)
    np.testing.assert_array_equal(wide.weights[..., :4], chunk.weights)
    assert not wide.weights[..., 4:].any()
    assert np.isin(wide.indices, chunk.indices).all()
    assert (wide.indices.dtype, wide.weights.dtype) == (np.int32, np.float32)
    assert wide.steps == chunk.steps
    assert str(pad_batch(chunk, 4)) == str(chunk)


def test_the_title_names_label_and_seeds():
    assert make_ensemble(spec(seed=3)).title == "Tiny, seed 3"
    assert make_ensemble(spec(seed=3), spec(seed=5)).title == "Tiny, seeds 3, 5"
    other = dataclasses.replace(spec(), label="Tiny clip=7")
    assert make_ensemble(spec(), other, spec(seed=1)).title == "Tiny and 2 more"
