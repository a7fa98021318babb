"""The schedule: every step once, and every log and validation when it is due."""

import numpy as np
import pytest
from studies import make_dataset

from rnnjax.config.training import TrainingSettings
from rnnjax.training.schedule import schedule, shape_signature, total_steps


@pytest.mark.parametrize("per_epoch", [1, 15, 19])
@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize(("log_every", "validate_every"), [(1, 1), (3, 4), (4, 3), (3, 0), (0, 4), (50, 50), (0, 0)])
@pytest.mark.parametrize("max_steps", [None, 1, 3])
def test_segments_take_each_step_once_and_log_and_validate_when_due(
    per_epoch, epochs, log_every, validate_every, max_steps
):
    settings = TrainingSettings(
        epochs=epochs, batch_size=2, steps_per_program=8, log_gradients_every=log_every, validate_every=validate_every
    )
    lengths = np.arange(1, 2 * per_epoch + 1)
    total = total_steps(lengths, settings)
    assert total == epochs * per_epoch
    done, logged, validated = [], [], []
    for segment in schedule(lengths, settings, seed=3, max_steps=max_steps):
        assert 0 <= segment.start < segment.stop <= segment.chunk.steps
        assert segment.end - segment.step <= (max_steps or 8)
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


def test_segments_are_as_long_as_allowed():
    settings = TrainingSettings(batch_size=2, steps_per_program=8, log_gradients_every=0)
    lengths = np.ones(2 * 19, int)

    def sizes(max_steps):
        return sorted(s.end - s.step for s in schedule(lengths, settings, seed=0, max_steps=max_steps))

    assert sizes(None) == sizes(8) == sizes(99) == [3, 8, 8]
    assert sizes(3) == [2, 2, 3, 3, 3, 3, 3]


def test_a_segment_is_cut_only_before_a_second_logged_step():
    lengths = np.ones(2 * 16, int)

    def sizes(log_every):
        settings = TrainingSettings(batch_size=2, steps_per_program=8, log_gradients_every=log_every)
        return [s.end - s.step for s in schedule(lengths, settings, seed=0)]

    assert sizes(0) == sizes(20) == [8, 8]
    assert sizes(3) == [3, 3, 2, 4, 3, 1]  # logged are 0, 3, 6; 9, 12, and 15, the last


@pytest.mark.parametrize("max_steps", [None, 2])
def test_the_schedules_of_two_seeds_are_aligned_and_have_different_examples(max_steps):
    settings = TrainingSettings(epochs=2, batch_size=4, steps_per_program=3, log_gradients_every=5, validate_every=4)
    lengths = np.random.default_rng(0).integers(1, 17, 90)
    first, second = (list(schedule(lengths, settings, seed=seed, max_steps=max_steps)) for seed in (0, 1))
    for a, b in zip(first, second, strict=True):
        assert a._replace(chunk=a.chunk.steps) == b._replace(chunk=b.chunk.steps)
    assert np.mean([np.any(a.chunk.indices != b.chunk.indices) for a, b in zip(first, second, strict=True)]) > 0.9


def test_the_shape_signature_is_of_all_splits():
    dataset = make_dataset()
    assert shape_signature(make_dataset(1)) == shape_signature(dataset)
    test = dataset.test
    fewer = test._replace(**{name: getattr(test, name)[1:] for name in ("inputs", "lengths", "labels", "distances")})
    assert shape_signature(dataset._replace(test=fewer)) != shape_signature(dataset)
