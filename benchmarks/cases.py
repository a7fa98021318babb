"""The timed layer: its sizes, and the weights and inputs that every library gets."""

from typing import Literal, NamedTuple

import numpy as np

CellName = Literal["simple", "lstm", "gru"]
GATES: dict[CellName, int] = {"simple": 1, "lstm": 4, "gru": 3}


class Case(NamedTuple):
    """One layer of H units that reads B sequences of T steps with H features."""

    cell: CellName
    batch: int
    steps: int
    features: int

    @property
    def title(self) -> str:
        """The case as a table shows it."""
        return f"{self.cell} ({self.batch}, {self.steps}, {self.features})"

    @property
    def multiply_adds(self) -> float:
        """Of the matrix products of a forward and a backward pass; the backward pass takes two for each forward one."""
        return 3.0 * self.batch * self.steps * GATES[self.cell] * 2 * self.features**2


class Weights(NamedTuple):
    """Weights in rnnjax's layout: kernels (in, G·H), gates packed as i, f, g, o or r, u, n."""

    w_x: np.ndarray  # (H, G·H)
    w_h: np.ndarray  # (H, G·H)
    b: np.ndarray  # (G·H,) added to z^x
    b_h: np.ndarray  # (H,) added to z^h of the GRU's gate n, the only one that has it in Flax; zeros for other cells


def weights(case: Case) -> Weights:
    """Random weights, small enough that no gate is saturated."""
    rng, size, gates = np.random.default_rng(0), case.features, GATES[case.cell]

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(size)).astype(np.float32)

    b_h = draw(size) if case.cell == "gru" else np.zeros(size, np.float32)
    return Weights(draw(size, gates * size), draw(size, gates * size), draw(gates * size), b_h)


def inputs(case: Case) -> np.ndarray:
    """Standard normal inputs (B, T, H)."""
    return np.random.default_rng(1).normal(size=(case.batch, case.steps, case.features)).astype(np.float32)


def blocks(case: Case, packed: np.ndarray) -> list[np.ndarray]:
    """The columns of ``packed`` (..., G·H) for each gate, each (..., H)."""
    return np.split(packed, GATES[case.cell], axis=-1)
