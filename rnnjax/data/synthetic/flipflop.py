"""The flip-flop task: remember the sign of the last pulse of each of several channels."""

import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.synthetic.sampling import draw_splits
from rnnjax.errors import UserError


def flipflop(
    *,
    channels: int,
    length: int,
    pulse_probability: float,
    train_examples: int,
    validation_examples: int,
    test_examples: int,
    seed: int,
) -> Dataset:
    """Inputs are rare pulses of +1 or -1 in each channel; the label of a channel is the sign of its last pulse.

    The task of Sussillo & Barak 2013, Opening the black box, which has three channels. At each step each channel has a
    pulse with ``pulse_probability``, of either sign with the same probability, and is 0 otherwise. The first step has a
    pulse in every channel, so that the inputs determine every label; the label of a step with a pulse is that pulse.
    The baseline repeats the pulse of its step and answers 0 where there is none: a mean squared error of
    (1 - ``pulse_probability``)·(``length`` - 1)/``length``.

    Args:
        channels: K, at least 1.
        length: Number of steps, at least 2.
        pulse_probability: Above 0 and at most 1.
        train_examples: Number of training sequences.
        validation_examples: Number of validation sequences.
        test_examples: Number of test sequences.
        seed: Not negative; determines every number in the result.

    Returns:
        A data set whose ``inputs`` and ``labels`` are (N, length, channels) float32.

    Raises:
        UserError: If an argument is out of its range.
    """
    if channels < 1:
        raise UserError(f"channels is {channels}; give a number of at least 1.")
    if length < 2:
        raise UserError(f"length is {length} steps; give a number of at least 2.")
    if not 0 < pulse_probability <= 1:
        raise UserError(f"pulse_probability is {pulse_probability}; give a number above 0 and at most 1.")

    def draw(rng: np.random.Generator, count: int) -> Examples:
        pulses = rng.random((count, length, channels), np.float32) < pulse_probability
        pulses[:, 0] = True
        signs = rng.integers(2, size=pulses.shape, dtype=np.int8) * np.int8(2) - np.int8(1)
        inputs = np.where(pulses, signs, np.int8(0)).astype(np.float32)
        steps = np.where(pulses, np.arange(length, dtype=np.int32)[None, :, None], 0)
        labels = np.take_along_axis(inputs, np.maximum.accumulate(steps, axis=1), axis=1)
        return Examples(inputs=inputs, lengths=np.full(count, length, np.int32), labels=labels)

    train, validation, test = draw_splits(
        draw,
        train_examples=train_examples,
        validation_examples=validation_examples,
        test_examples=test_examples,
        seed=seed,
    )
    return Dataset(
        train,
        validation,
        test,
        objective=Objective.SIGNALS,
        baseline=(1 - pulse_probability) * (length - 1) / length,
        fixed_points=True,
    )
