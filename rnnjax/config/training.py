"""Training flags of every experiment, checked, without an import of jax."""

import dataclasses
import math
from typing import Literal

from rnnjax.errors import UserError

INT32_MAX = 2**31 - 1  # indices of examples and steps are int32
FLOAT32_MIN, FLOAT32_MAX = 2.0**-126, 2.0**128 - 2.0**104  # the normal numbers of float32
FLOAT32_NUMBER = "from 1.2e-38 to 3.4e38, which single precision can hold"


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to train and what to log.

    Attributes:
        epochs: passes over the training split.
        batch_size: examples in one step.
        optimizer: adam, or sgd: the plain gradient times the learning rate, without momentum.
        learning_rate: peak learning rate of the optimizer; plain gradient descent often needs a larger one than Adam.
        schedule: learning rate over the run: constant, or cosine decay to zero.
        warmup_steps: steps in which the learning rate rises linearly from zero.
        clip: largest norm or value of the parameter gradient; 0 switches clipping off.
        clip_by: norm scales the gradient down to this global norm, value clips each of its numbers.
        omega: weight of Pascanu's penalty on steps that shrink or stretch the gradient; 0 switches it off.
        flossing: weight of the penalty on squared Lyapunov exponents (gradient flossing), not for
            relu, whose exponents have no gradient; 0 switches it off.
        log_gradients_every: steps between two records of the gradient at every timestep; the first and the last
            step are always recorded; 0 switches the gradient log off.
        validate_every: steps between two validations; 0 validates at the end of each epoch.
        curriculum: how strictly the first epoch goes from short to long sequences: 0 shuffles them, 1 sorts them.
        sorted_batches: number of batches that are cut together from examples sorted by length; 1 mixes all lengths
            in a batch, more need less padding.
        steps_per_program: steps that run in one call of a compiled program.
        seed: first random seed.
        seeds: number of seeds, one run each, counted from the first seed.
        tensorboard: write TensorBoard event files beside the records.
    """

    epochs: int = 1
    batch_size: int = 32
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    clip: float = 1.0
    clip_by: Literal["norm", "value"] = "norm"
    omega: float = 0.0
    flossing: float = 0.0
    log_gradients_every: int = 50
    validate_every: int = 0
    curriculum: float = 0.0
    sorted_batches: int = 1
    steps_per_program: int = 8
    seed: int = 0
    seeds: int = 1
    tensorboard: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "sorted_batches", "steps_per_program", "seeds"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_steps", "log_gradients_every", "validate_every", "seed", "clip", "omega", "flossing"):
            require(self, name, getattr(self, name) >= 0, "0 or more")
        require(self, "curriculum", 0 <= self.curriculum <= 1, "from 0 to 1")
        require(self, "learning_rate", 0 < self.learning_rate < math.inf, "a number above 0")
        for name in ("learning_rate", "clip", "omega", "flossing"):
            value = getattr(self, name)
            holds = value == 0 or FLOAT32_MIN <= value <= FLOAT32_MAX or (name, value) == ("clip", math.inf)
            require(self, name, holds, FLOAT32_NUMBER)
        require(self, "seed", self.seed + self.seeds <= 2**32, "at most 2^32 with --seeds added")
        require_sizes(self)


def require_sizes(settings: object) -> None:
    """Raise ``UserError`` naming the first flag of a dataclass whose integer does not fit into an int32."""
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if type(value) is int and field.name != "seed":
            require(settings, field.name, value <= INT32_MAX, f"at most {INT32_MAX}")


def require(settings: object, name: str, holds: bool, wanted: str) -> None:
    """Raise ``UserError`` naming the flag of field ``name`` unless ``holds``."""
    if not holds:
        value = getattr(settings, name)
        raise UserError(f"--{name.replace('_', '-')} must be {wanted}, but {value} was given.")
