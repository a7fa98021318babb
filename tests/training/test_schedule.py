"""The schedule: every step once, and everything when it is due."""

import numpy as np
import pytest
from studies import SETTINGS, make_dataset

from rnnjax.config.training import TrainingSettings
from rnnjax.training.schedule import schedule, shape_of, total_steps


@pytest.mark.parametrize("steps_of_buckets", [(1,), (19,), (2, 5, 1, 7)])
@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize(("log_every", "validate_every"), [(1, 1), (3, 4), (4, 3), (3, 0), (0, 4), (50, 50), (0, 0)])
@pytest.mark.parametrize("most", [None, 1, 3])
def test_segments_do_each_step_once_and_everything_when_it_is_due(
    steps_of_buckets, epochs, log_every, validate_every, most
):
    settings = TrainingSettings(
        epochs=epochs, batch_size=2, steps_per_program=8, log_gradients_every=log_every, validate_every=validate_every
    )
    lengths = np.repeat(np.arange(1, len(steps_of_buckets) + 1), 2 * np.array(steps_of_buckets))
    edges = tuple(range(1, len(steps_of_buckets) + 1))
    per_epoch = sum(steps_of_buckets)
    total = total_steps(lengths, settings, edges)
    assert total == epochs * per_epoch
    done, logged, validated = [], [], []
    for segment in schedule(lengths, settings, edges=edges, seed=3, most=most):
        assert 0 <= segment.start < segment.stop <= segment.chunk.steps
        assert segment.end - segment.step <= (most or 8)
        assert segment.epoch == segment.step // per_epoch
        done += range(segment.step, segment.end)
        if segment.log is not None:
            assert segment.step <= segment.log < segment.end
            logged.append(segment.log)
        if segment.validate:
            validated.append(segment.end)
    assert done == list(range(total))
    assert logged == (sorted({*range(0, total, log_every), total - 1}) if log_every else [])
    between = validate_every or per_epoch
    assert validated == sorted({*range(between, total + 1, between), total})


def test_segments_are_as_long_as_they_may_be():
    settings = TrainingSettings(batch_size=2, steps_per_program=8, log_gradients_every=0)
    lengths = np.ones(2 * 19, int)

    def sizes(most):
        return sorted(s.end - s.step for s in schedule(lengths, settings, edges=(1,), seed=0, most=most))

    assert sizes(None) == sizes(8) == sizes(99) == [3, 8, 8]
    assert sizes(3) == [2, 2, 3, 3, 3, 3, 3]


def test_a_log_cuts_no_segment_unless_there_are_two():
    lengths = np.ones(2 * 16, int)

    def sizes(log_every):
        settings = TrainingSettings(batch_size=2, steps_per_program=8, log_gradients_every=log_every)
        return [s.end - s.step for s in schedule(lengths, settings, edges=(1,), seed=0)]

    assert sizes(0) == sizes(20) == [8, 8]
    assert sizes(3) == [3, 3, 2, 4, 3, 1]  # logged are 0, 3, 6; 9, 12, and 15, the last


@pytest.mark.parametrize("most", [None, 2])
def test_the_schedules_of_two_seeds_are_aligned_and_of_other_examples(most):
    settings = TrainingSettings(epochs=2, batch_size=4, steps_per_program=3, log_gradients_every=5, validate_every=4)
    lengths = np.random.default_rng(0).integers(1, 17, 90)
    one, other = (list(schedule(lengths, settings, edges=(8, 16), seed=seed, most=most)) for seed in (0, 1))
    for mine, theirs in zip(one, other, strict=True):
        assert mine._replace(chunk=mine.chunk.kind) == theirs._replace(chunk=theirs.chunk.kind)
    assert np.mean([np.any(a.chunk.indices != b.chunk.indices) for a, b in zip(one, other, strict=True)]) > 0.9


def test_what_runs_must_have_in_common_is_the_number_of_examples_of_each_length():
    dataset, settings, edges = make_dataset(), SETTINGS, (4, 7)
    shape = shape_of(dataset, settings, edges)
    assert shape_of(make_dataset(), settings, edges) == shape
    train, test = dataset.train, dataset.test
    longer = train._replace(
        lengths=np.where(np.arange(len(train.lengths)) == np.argmin(train.lengths), 7, train.lengths)
    )
    assert shape_of(dataset._replace(train=longer), settings, edges) != shape
    assert shape_of(dataset._replace(train=longer), settings, (7,)) == shape_of(dataset, settings, (7,))
    fewer = test._replace(**{name: getattr(test, name)[1:] for name in ("inputs", "lengths", "labels", "distances")})
    assert shape_of(dataset._replace(test=fewer), settings, edges) != shape
