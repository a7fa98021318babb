"""What the alarms know of a recurrent layer, and what one of them says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np


class Origin(NamedTuple):
    """Where the first number that is not finite was made; None where that is not known, or lies outside the layers."""

    phase: Literal["forward", "backward"]  # pass
    layer: str | None  # path of the module, with slashes
    gate: str | None  # of ``cell.gates``
    timestep: int | None  # 0 = first step of the sequence
    step: int | None  # training step


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of one recurrent layer in one training; None where it was not.

    Attributes:
        label: how sentences name the cell or the layer.
        unit: what a step reads, as sentences count it.
        curves: (S, L) median gradient norm of the memory by lag at S moments of training, NaN where not measured.
        accuracy: best validation accuracy, a fraction; where answers are numbers or symbols the share of the loss of
            the best answer that remembers nothing that is gone.
        keep_at_bias: share of the memory that the biases alone keep at a step, at the start of training.
        saturation: for each gate, the share of (step, unit) pairs at which its slope is nearly 0.
        belt_share: (L,) median share of the gradient that travelled along the belt alone, by lag; NaN at lag 0.
        has_belt: whether ∂m_t/∂m_{t-1} at fixed z is anything but 0 (not so in a SimpleRNN).
        padding_read: share of the steps read that look like padding.
        gradient_norms: (steps,) global norm of the parameters' gradient before clipping, of every training step.
        clip: largest norm that is let through; 0 where clipping is off.
        losses: (steps,) training loss, of every training step.
        chance_loss: loss of the best answer that remembers nothing.
        chance_answer: what a sentence calls that answer.
        origin: where the first number that is not finite was made.
    """

    label: str
    unit: str = "word"
    curves: np.ndarray | None = None
    accuracy: float | None = None
    keep_at_bias: float | None = None
    saturation: Mapping[str, float] | None = None
    belt_share: np.ndarray | None = None
    has_belt: bool = False
    padding_read: float | None = None
    gradient_norms: np.ndarray | None = None
    clip: float = 0.0
    losses: np.ndarray | None = None
    chance_loss: float | None = None
    chance_answer: str = "always giving the same answer"
    origin: Origin | None = None


@dataclass(frozen=True)
class Alarm:
    """A fault found.

    Attributes:
        name: of the rule.
        label: of the evidence.
        sentence: what is wrong, for a human, with its numbers.
        remedy: what to do, in flags of ``launch.py`` or names of the library.
        evidence: the numbers; a dictionary that JSON can hold, every float finite.
    """

    name: str
    label: str
    sentence: str
    remedy: str
    evidence: Mapping[str, float | str]


def number(value: float) -> str:
    """As a reader expects it: one decimal below 10, whole above."""
    if value >= 1e6:
        return "over a million"
    return (f"{value:.1f}" if value < 9.95 else f"{value:,.0f}").removesuffix(".0")


def distance(value: float, unit: str) -> str:
    """A number of units: "1 word", "1.3 words"."""
    text = number(value)
    return f"{text} {unit}{'' if text == '1' else 's'}"


def percent(fraction: float) -> str:
    """Three digits: 0.974 → "97.4%"."""
    return f"{100 * fraction:.3g}%"
