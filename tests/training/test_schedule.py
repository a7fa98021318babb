"""The schedule: every step once, and everything when it is due."""

import numpy as np
import pytest

from rnnjax.training.schedule import schedule, total_steps
from rnnjax.training.settings import TrainingSettings


@pytest.mark.parametrize("steps_of_buckets", [(1,), (19,), (2, 5, 1, 7)])
@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize(("log_every", "validate_every"), [(1, 1), (3, 4), (4, 3), (3, 0), (0, 4), (50, 50), (0, 0)])
def test_segments_do_each_step_once_and_everything_when_it_is_due(steps_of_buckets, epochs, log_every, validate_every):
    settings = TrainingSettings(
        epochs=epochs, batch_size=2, steps_per_program=8, log_gradients_every=log_every, validate_every=validate_every
    )
    lengths = np.repeat(np.arange(1, len(steps_of_buckets) + 1), 2 * np.array(steps_of_buckets))
    edges = tuple(range(1, len(steps_of_buckets) + 1))
    per_epoch = sum(steps_of_buckets)
    total = total_steps(lengths, settings, edges)
    assert total == epochs * per_epoch
    done, logged, validated = [], [], []
    for segment in schedule(lengths, settings, edges=edges, seed=3):
        assert 0 <= segment.start < segment.stop <= segment.chunk.steps
        assert segment.epoch == segment.step // per_epoch
        done += range(segment.step, segment.end)
        if segment.log:
            assert segment.end == segment.step + 1
            logged.append(segment.step)
        if segment.validate:
            validated.append(segment.end)
    assert done == list(range(total))
    assert logged == (sorted({*range(0, total, log_every), total - 1}) if log_every else [])
    between = validate_every or per_epoch
    assert validated == sorted({*range(between, total + 1, between), total})
