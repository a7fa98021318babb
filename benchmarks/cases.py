"""What is timed: one recurrent layer, its sizes, and numbers that every peer is given alike."""

from typing import Literal, NamedTuple

import numpy as np

CellName = Literal["simple", "lstm", "gru"]
GATES: dict[CellName, int] = {"simple": 1, "lstm": 4, "gru": 3}


class Case(NamedTuple):
    """One layer: B sequences of T steps of H numbers, read by H units."""

    cell: CellName
    batch: int
    steps: int
    features: int

    @property
    def title(self) -> str:
        """For a table."""
        return f"{self.cell} ({self.batch}, {self.steps}, {self.features})"

    @property
    def multiply_adds(self) -> float:
        """Of the matrix products of a forward and a backward pass, which takes two for each of the forward's."""
        return 3.0 * self.batch * self.steps * GATES[self.cell] * 2 * self.features**2


class Weights(NamedTuple):
    """In rnnjax's layout: kernels (in, G·H), gates i, f, g, o or r, u, n."""

    w_x: np.ndarray  # (H, G·H)
    w_h: np.ndarray  # (H, G·H)
    b: np.ndarray  # (G·H,) added to z^x
    b_h: np.ndarray  # (H,) added to z^h of the GRU's n alone, since Flax has no other; zeros elsewhere


def weights(case: Case) -> Weights:
    """Random ones, small enough that no gate is saturated."""
    rng, size, gates = np.random.default_rng(0), case.features, GATES[case.cell]

    def draw(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(size)).astype(np.float32)

    b_h = draw(size) if case.cell == "gru" else np.zeros(size, np.float32)
    return Weights(draw(size, gates * size), draw(size, gates * size), draw(gates * size), b_h)


def inputs(case: Case) -> np.ndarray:
    """(B, T, H) standard normal."""
    return np.random.default_rng(1).normal(size=(case.batch, case.steps, case.features)).astype(np.float32)


def blocks(case: Case, packed: np.ndarray) -> list[np.ndarray]:
    """Columns (..., G·H) gate by gate, each (..., H)."""
    return np.split(packed, GATES[case.cell], axis=-1)
