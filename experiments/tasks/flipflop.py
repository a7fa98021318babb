"""The flip-flop task: remember the sign of the last pulse of each of three channels."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments.base import StepwiseExperiment
from rnnjax.config.training import TrainingSettings, require

if TYPE_CHECKING:
    from rnnjax.data.dataset import Dataset

DEFAULT_TRAINING = TrainingSettings(
    epochs=4, batch_size=64, learning_rate=3e-3, schedule="cosine", validate_every=100, log_gradients_every=50
)


@dataclasses.dataclass(frozen=True)
class Flipflop(StepwiseExperiment):
    """Flip-flop task (Sussillo & Barak 2013): remember the sign of the last pulse of each channel.

    Each step shows, in each channel, a pulse of +1 or -1 or nothing, and asks for the sign of the channel's last pulse;
    the first step has a pulse in every channel. After training, the fixed points of the network without input are
    searched for: a network that has learnt three channels has eight stable ones.

    Attributes:
        steps: training steps in an epoch; each example is used once an epoch.
        length: steps of a sequence.
        channels: number of channels.
        pulse_probability: probability of a pulse, at each step in each channel.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 64
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 500
    length: int = 64
    channels: int = 3
    pulse_probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "steps", self.steps >= 1, "at least 1")
        require(self, "length", self.length >= 2, "at least 2")
        require(self, "channels", self.channels >= 1, "at least 1")
        require(self, "pulse_probability", 0 < self.pulse_probability <= 1, "above 0 and at most 1")

    @property
    def longest(self) -> int:
        """Steps of a sequence."""
        return self.length

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The sequences generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.flipflop import flipflop

        return flipflop(
            channels=self.channels,
            length=self.length,
            pulse_probability=self.pulse_probability,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=500,
            test_examples=1000,
            seed=seed,
        )
