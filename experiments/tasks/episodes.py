"""Episodes: several memory tasks in one sequence, with the state reset between them, or at the wrong step."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments.base import StepwiseExperiment
from rnnjax.config.training import TrainingSettings, require

if TYPE_CHECKING:
    import flax.linen as nn

    from rnnjax.cells import Cell
    from rnnjax.data.dataset import Dataset, Sizes

DEFAULT_TRAINING = TrainingSettings(
    epochs=2, batch_size=64, learning_rate=3e-3, schedule="cosine", validate_every=100, log_gradients_every=50, seeds=3
)


@dataclasses.dataclass(frozen=True)
class Episodes(StepwiseExperiment):
    """A memory task with episodes inside of one sequence, as in reinforcement learning and packed documents.

    An episode begins with a cue and ends by asking for it. With --resets exact the state is reset at the first step of
    every episode. A reset one step early or late is a common fault: one step early it erases the cue before the
    question, one step late right after it was read. The diagnosis detects both by the gradient that crosses the
    beginning of an episode, which must be 0.

    Attributes:
        steps: training steps in an epoch; each example is used once an epoch.
        length: steps of a sequence.
        longest_episode: steps of the longest episode; the last one of a sequence can be a step longer.
        resets: where the state is reset: exact, at the first step of each episode; none, nowhere; early or late, one
            step before or after the first step of each episode.
    """

    cells: tuple[str, ...] = ("simple", "lstm", "gru")
    features: int = 64
    training: Annotated[TrainingSettings, tyro.conf.arg(name="")] = DEFAULT_TRAINING
    steps: int = 400
    length: int = 100
    longest_episode: int = 40
    resets: Literal["exact", "none", "early", "late"] = "exact"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "length"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        require(self, "longest_episode", 2 <= self.longest_episode <= self.length, "from 2 to --length")

    @property
    def longest(self) -> int:
        """Steps of the longest episode, over which a cue must be remembered."""
        return self.longest_episode

    def model(self, sizes: "Sizes", cell: "Cell") -> "nn.Module":
        """The model to train, built around ``cell``."""
        from rnnjax.data.synthetic.episodes import CUES

        cues = tuple(range(1, 1 + len(CUES)))
        model = self.architecture.model(sizes, cell, every_step=True)
        if self.resets == "none":
            return model
        if self.resets == "exact":
            return model.clone(reset_words=cues)
        from experiments.shifted_resets import ShiftedResets

        shift = -1 if self.resets == "early" else 1
        options = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
        return ShiftedResets(**{**options, "reset_words": cues, "shift": shift, "parent": None, "name": None})

    def dataset(self, seed: int, progress: Callable[[str], None]) -> "Dataset":
        """The sequences generated from ``seed``; ``progress`` is not called."""
        from rnnjax.data.synthetic.episodes import episodes

        return episodes(
            length=self.length,
            longest_episode=self.longest_episode,
            train_examples=self.steps * self.training.batch_size,
            validation_examples=500,
            test_examples=1000,
            seed=seed,
        )
