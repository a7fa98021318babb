"""Which runs share a program, and the steps that they take side by side."""

import dataclasses

import numpy as np
import pytest
from studies import SETTINGS, make_dataset, make_group, make_trial

import rnnjax
from rnnjax.data.synthetic.recall import recall
from rnnjax.errors import UserError
from rnnjax.training.ensemble import MEMBER_STEPS, MOST, ensembles, pad_batch, plan_ensembles
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
    "buckets": {"buckets": 2},
    "steps_per_program": {"steps_per_program": 4},
    "validate_every": {"validate_every": 6},
    "log_gradients_every": {"log_gradients_every": 0},
    "curriculum": {"curriculum": 0.5},
    "clip_by": {"clip_by": "value"},
}
PENALISED = dataclasses.replace(SETTINGS, clip=1.0, omega=0.1, flossing=0.1)


def trial(cell=LSTM, *, seed=0, task="tiny", dataset=DATASET, **settings):
    made = make_trial(dataset, cell, dataclasses.replace(PENALISED, **settings), seed=seed)
    return dataclasses.replace(made, task=task)


@pytest.mark.parametrize("changes", SHARED.values(), ids=SHARED)
def test_runs_that_differ_in_a_number_share_a_program(changes):
    both = trial(), trial(**changes)
    assert plan_ensembles(both) == [both]


@pytest.mark.parametrize("changes", APART.values(), ids=APART)
def test_runs_that_differ_in_what_is_compiled_do_not(changes):
    one, other = trial(), trial(**changes)
    assert plan_ensembles([one, other]) == [(one,), (other,)]


@pytest.mark.parametrize(
    "begins",
    [
        {"forget_bias": 0.0},
        {"chrono": 9},
        {"recurrent_init": rnnjax.Orthogonal(0.5)},
        {"kernel_init": rnnjax.Orthogonal()},
    ],
    ids=["forget_bias", "chrono", "recurrent_init", "kernel_init"],
)
def test_cells_that_differ_in_how_they_begin_share_a_program(begins):
    both = trial(), trial(LSTM.replace(**begins))
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
def test_cells_that_compute_something_else_do_not(cell, other):
    one, two = trial(cell), trial(other)
    assert plan_ensembles([one, two]) == [(one,), (two,)]


def test_tasks_that_differ_do_not():
    one, two = trial(), trial(task="longer")
    assert plan_ensembles([one, two]) == [(one,), (two,)]


def test_groups_come_in_the_order_of_the_first_of_each():
    gru = rnnjax.GRU(4)
    trials = [trial(gru, seed=1), trial(seed=0), trial(gru, seed=0), trial(seed=2), trial(clip=0.0)]
    assert plan_ensembles(trials) == [(trials[0], trials[2]), (trials[1], trials[3]), (trials[4],)]
    assert plan_ensembles([]) == []


def test_a_group_does_not_grow_without_bound():
    trials = [trial(seed=seed) for seed in range(2 * MOST + 6)]
    some = plan_ensembles(trials)
    assert [len(part) for part in some] == [MOST, MOST, 6]
    assert [one for part in some for one in part] == trials


def reviews(seed):
    """Of up to 21 words, so that two buckets are two."""
    return recall(
        min_distance=1, max_distance=20, train_examples=90, validation_examples=30, test_per_distance=2, seed=seed
    )


def test_groups_are_split_where_the_lengths_differ_in_kind():
    seeds = range(3)
    apart = tuple(trial(seed=seed, dataset=reviews(seed), buckets=2) for seed in seeds)
    assert [(group.trials, len(group.edges)) for group in ensembles(apart)] == [((one,), 2) for one in apart]
    together = tuple(trial(seed=seed, dataset=reviews(seed)) for seed in seeds)
    (group,) = ensembles(together)
    assert (group.trials, group.edges) == (together, (21,))
    assert [dataset.train.lengths.tolist() for dataset in group.datasets] == [
        reviews(seed).train.lengths.tolist() for seed in seeds
    ]
    assert not group.share_data


def test_a_curriculum_with_nothing_to_order_is_refused():
    def reviews_of(shortest):
        return recall(
            min_distance=shortest, max_distance=6, train_examples=9, validation_examples=4, test_per_distance=1, seed=0
        )

    (group,) = ensembles((trial(dataset=reviews_of(1), curriculum=0.5),))
    assert group.settings.curriculum == 0.5
    ensembles((trial(dataset=reviews_of(6)),))
    with pytest.raises(UserError, match=r"^--curriculum 0\.5 has nothing to order, since all sequences are 7 steps"):
        ensembles((trial(dataset=reviews_of(6), curriculum=0.5),))


def test_seeds_that_read_the_same_reviews_stay_together_whatever_the_buckets():
    dataset = reviews(0)
    trials = tuple(trial(seed=seed, dataset=dataset, buckets=2) for seed in range(3))
    (group,) = ensembles(trials)
    assert (group.trials, group.share_data) == (trials, True)
    assert len(group.edges) == 2


def test_members_take_their_own_steps_side_by_side():
    trials = [trial(seed=seed, epochs=2, batch_size=4, steps_per_program=3, validate_every=5) for seed in (4, 5, 9)]
    group = make_group(*trials)
    segments = list(group.segments())
    own = [schedule(DATASET.train.lengths, group.settings, edges=group.edges, seed=seed) for seed in (4, 5, 9)]
    for segment, parts in zip(segments, zip(*own, strict=True), strict=True):
        assert segment.chunk.indices.shape == segment.chunk.weights.shape == (3, 3, 4)
        for i, part in enumerate(parts):
            chunk = segment.chunk
            mine = segment._replace(chunk=chunk._replace(indices=chunk.indices[i], weights=chunk.weights[i]))
            assert str(mine) == str(part)
    assert np.mean([np.any(s.chunk.indices[0] != s.chunk.indices[1]) for s in segments]) > 0.9


def test_a_run_that_goes_on_takes_the_steps_that_are_left():
    group = make_group(trial(seed=1), trial(seed=2))
    whole = list(group.segments())
    for place in (0, 3, len(whole) - 1, len(whole)):
        start = whole[place].step if place < len(whole) else whole[-1].end
        assert str(list(group.segments(start))) == str(whole[place:])


@pytest.mark.parametrize("members", [1, 3, 16, MOST, 2 * MEMBER_STEPS])
def test_many_members_take_few_steps_without_a_word(members):
    group = make_group(*[trial(seed=seed, steps_per_program=100, batch_size=1) for seed in range(members)])
    segments = [*group.segments()]
    longest = max(segment.end - segment.step for segment in segments)
    assert longest * members <= max(MEMBER_STEPS, members)
    assert [segment.step for segment in segments[1:]] == [segment.end for segment in segments[:-1]]
    assert segments[-1].end == 2 * len(DATASET.train.lengths)


@pytest.mark.parametrize("lead", [(), (2,)])
def test_wider_batches_have_the_same_examples_and_others_of_no_weight(lead):
    segment = next(make_group(trial(), trial(seed=1)).segments())
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
    assert wide.kind._replace(full=chunk.kind.full) == chunk.kind
    assert str(pad_batch(chunk, 4)) == str(chunk)


def test_the_title_says_who_trains():
    assert make_group(trial(seed=3)).title == "Tiny, seed 3"
    assert make_group(trial(seed=3), trial(seed=5)).title == "Tiny, seeds 3, 5"
    other = dataclasses.replace(trial(), label="Tiny clip=7")
    assert make_group(trial(), other, trial(seed=1)).title == "Tiny and 2 more"
