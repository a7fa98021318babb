"""The input of the alarm rules, what was measured of one recurrent layer, and their output, an alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rnnjax.typing import Floats

A_QUARTER, HALF = 0.25, 0.5  # see ``Evidence.does_its_work``


class Origin(NamedTuple):
    """Where the first number that is not finite arose; None where that is unknown, or outside the recurrent layers."""

    phase: Literal["forward", "backward"]  # pass
    layer: str | None  # path of the module, with slashes
    gate: str | None  # of ``cell.gates``
    timestep: int | None  # 0 = first step of the sequence
    step: int | None  # training step


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of one recurrent layer in one training; None where a quantity was not measured.

    Attributes:
        label: name of the cell or of the layer in sentences.
        unit: noun for one time step in sentences, in the singular.
        curves: (S, L) median gradient norm of the memory by lag at S moments of training, NaN where not measured. It
            must decay over the lag alone: where the loss reads more than the last step, it is that of ``loss_decay``.
        last_step_only: whether the loss reads the last step alone, so that nothing else carries a gradient far back.
        accuracy: best validation accuracy, a fraction. In tasks whose answers are numbers or symbols: the fraction by
            which the loss is below that of the best answer that remembers nothing.
        skill: best validation score as a share of the way from the best answer that remembers nothing (0) to a perfect
            one (1), as the skill score of forecasts (Murphy 1988); negative where it is worse.
        best_skill: the highest ``skill`` among all networks of the run that learn the same task.
        keep_at_bias: share of the memory that the biases alone keep at a step, at the start of training.
        keep: share of the memory that the gates keep at a step of the measured examples, the mean over steps.
        saturation: for each gate, the share of (step, unit) pairs at which its slope is nearly 0.
        belt_share: (L,) median share of the gradient that travelled along the belt alone, by lag; NaN at lag 0.
        ours: whether the cell is one of rnnjax, so that remedies can name its options.
        has_belt: whether ∂m_t/∂m_{t-1} at fixed z is anything but 0 (False for a SimpleRNN).
        padding_read: share of the steps read that look like padding.
        crossing: largest gradient that crosses a reset of the state, as a share of the largest gradient.
        gradient_norms: (steps,) global norm of the parameters' gradient before clipping, of every training step.
        clip: the norm at which gradients are clipped; 0 for no clipping.
        losses: (steps,) training loss, of every training step.
        chance_loss: loss of the best answer that remembers nothing.
        chance_answer: what a sentence calls that answer.
        origin: where the first number that is not finite arose.
    """

    label: str
    unit: str = "word"
    curves: Floats | None = None
    last_step_only: bool = True
    accuracy: float | None = None
    skill: float | None = None
    best_skill: float | None = None
    keep_at_bias: float | None = None
    keep: float | None = None
    saturation: Mapping[str, float] | None = None
    belt_share: Floats | None = None
    ours: bool = True
    has_belt: bool = False
    padding_read: float | None = None
    crossing: float | None = None
    gradient_norms: Floats | None = None
    clip: float = 0.0
    losses: Floats | None = None
    chance_loss: float | None = None
    chance_answer: str = "always giving the same answer"
    origin: Origin | None = None

    @property
    def does_its_work(self) -> bool:
        """Whether the network has learnt its task, so that what looks like a fault does no harm.

        It has come a quarter of the way to a perfect answer, and half as far as the best network of the run: nobody
        comes near a perfect answer about texts or noisy data, and what can be reached there is only known from other
        networks. False where ``skill`` was not measured.
        """
        if self.skill is None:
            return False
        best = self.skill if self.best_skill is None else self.best_skill
        return self.skill >= max(A_QUARTER, HALF * best)


Option = Literal[
    "chrono",  # of a cell with a keep gate, in steps
    "clip",  # largest global norm of the parameters' gradient
    "embedding_scale",  # standard deviation of the initial word vectors
    "epochs",
    "flossing",  # weight of this penalty
    "forget_bias",  # of a cell with a keep gate
    "identity_init",  # a SimpleRNN with relu, its recurrent kernel the identity matrix
    "learning_rate",
    "omega",  # weight of this penalty
    "orthogonal_scale",  # scale of an orthogonal recurrent kernel
    "seed",
]


class Action(NamedTuple):
    """One change that a remedy proposes, for programs: a command line turns it into a flag."""

    option: Option
    value: float | None = None  # None: the remedy proposes a direction only


@dataclass(frozen=True)
class Alarm:
    """A fault that a rule detected.

    Attributes:
        name: of the rule.
        label: of the evidence.
        sentence: what is wrong, with its numbers.
        remedy: what to do, in terms of this library's functions and options.
        evidence: the numbers; a dictionary that JSON can hold, every float finite.
        actions: the changes that ``remedy`` proposes, in its order; empty where no option would help.
    """

    name: str
    label: str
    sentence: str
    remedy: str
    evidence: Mapping[str, float | str]
    actions: tuple[Action, ...] = ()
