"""What a diagnosis of one set of parameters measured, as arrays; a run folder keeps it as ``diagnosis-*.json``."""

from typing import Literal

import msgspec

from rnnjax.typing import Floats, Integers, Number

QUANTILE_NAMES = ("q10", "q50", "q90")


class LagQuantiles(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Quantiles over the examples that reach a lag, each (L,); lag 0 is the last valid step."""

    q10: Floats
    q50: Floats
    q90: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, *QUANTILE_NAMES)


class LyapunovEstimate(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Lyapunov exponents, in nats per time step.

    Attributes:
        exponents: (S,) for each number of the state, largest first.
        steps: (P,) time steps after which ``largest`` was estimated.
        largest: (P,) the running estimate of the largest exponent.
    """

    exponents: Floats
    steps: Integers
    largest: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, "steps", "largest")


class JacobianProducts(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """log10 of the extreme singular values of the product of the last ``lag`` step Jacobians, each (P,)."""

    lag: Integers
    largest: Floats
    smallest: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, "lag", "largest", "smallest")


class LayerDiagnosis(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One recurrent layer in one direction.

    Attributes:
        name: path of its module, with slashes.
        cell: name of the cell's class, as "LSTM".
        reverse: whether the layer reads the sequence from its end.
        gates: names of the cell's gates.
        units: features of the cell.
        count: (L,) examples that reach each lag.
        by_lag: quantiles by lag of the norms "m" (and the LSTM's "h"), "belt", "detour", and for each gate k
            "enters k" and "into k", of "decay", a norm relative to that at lag 0, and of "belt_share", "keep" and
            "gate k", which are no norms; see ``analysis.measure.LayerMeasurements``. NaN where no example reaches the
            lag. Runs of older versions lack "decay".
        saturation: for each gate the share of its values that are stuck; None for a cell that does not give its gates'
            values, for which there is no "gate k" either.
        keep_at_bias: share of the memory that the biases alone keep at a step, the mean over units.
        horizon: median over units, in time steps.
        belt_share: mean over lags of the median share of the gradient that travelled along the belt.
        omega: Ω of Pascanu et al. 2013, the mean over examples.
        padding_read: share of the steps read that look like padding.
        lyapunov: of the longest example; None where it was not measured.
        singular: of the longest example; None where they were not measured.
        crossing: the largest gradient that crosses the beginning of an episode, as a share of the largest; None where
            no episodes are known.
        last_step_only: whether the loss reads the layer at its last step alone, so that "m" is a decay over lag as
            "decay" is; None in runs that did not write it.
    """

    name: str
    cell: str
    reverse: bool
    gates: tuple[str, ...]
    units: int
    count: Integers
    by_lag: dict[str, LagQuantiles]
    saturation: dict[str, Number] | None = None
    keep_at_bias: Number
    horizon: Number
    belt_share: Number
    omega: Number
    padding_read: Number
    lyapunov: LyapunovEstimate | None = None
    singular: JacobianProducts | None = None
    last_step_only: bool | None = None
    crossing: Number | None = None

    def __post_init__(self) -> None:
        for name, quantiles in self.by_lag.items():
            if len(quantiles.q50) != len(self.count):
                raise ValueError(f"{name!r} in by_lag holds {len(quantiles.q50)} lags, expected {len(self.count)}")


class TextAttribution(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A text of T words and what each of them does to the answer.

    Attributes:
        words: the T words.
        label: 0 or 1.
        logits: (T,) the logit, had the text ended after each word.
        connectivity: (T,) ‖∂logit/∂x_t‖ of each word of the whole text (Madsen, Distill 2019).
    """

    words: tuple[str, ...]
    label: Literal[0, 1]
    logits: Floats
    connectivity: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, "words", "logits", "connectivity")


class WordSwaps(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One word of each of N examples exchanged.

    Attributes:
        what: which word is exchanged for which, for a sentence.
        lag: (N,) time steps from the word to the end of the example.
        measured: (N,) change of the logit.
        predicted: (N,) the same to first order, from the gradient.
    """

    what: str
    lag: Integers
    measured: Floats
    predicted: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, "lag", "measured", "predicted")


class StationaryPoint(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A state of the whole model at which it stays under inputs of zeros, or nearly so.

    Attributes:
        fixed: whether it is a fixed point; else it is a slow point.
        speed: q = ½‖F(h) - h‖².
        unstable: number of directions in which a small change grows.
        candidates: that ended here.
        position: (3,) on the principal axes of ``FixedPointSearch``.
        outputs: (K,) of the model at this state.
        eigenvalues_real: (E,) real parts of the largest eigenvalues of the Jacobian, largest modulus first.
        eigenvalues_imag: (E,) their imaginary parts.
    """

    fixed: bool
    speed: Number
    unstable: int
    candidates: int
    position: Floats
    outputs: Floats
    eigenvalues_real: Floats
    eigenvalues_imag: Floats

    def __post_init__(self) -> None:
        _require_equal_lengths(self, "eigenvalues_real", "eigenvalues_imag")
        _require_three_axes("position", len(self.position))


class StatePath(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The states along one validation example on the principal axes of ``FixedPointSearch``: three arrays (T,)."""

    axes: tuple[Floats, ...]

    def __post_init__(self) -> None:
        _require_three_axes("axes", len(self.axes))
        if len({len(axis) for axis in self.axes}) > 1:
            raise ValueError("axes are of unequal length")


class FixedPointSearch(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The fixed and slow points of the model under inputs of zeros, see ``diagnostics.fixed_points``.

    Positions are on the first three principal axes of the states that validation examples visit; 0 where a state has
    fewer numbers.

    Attributes:
        points: fixed points first, those with fewer unstable directions first.
        paths: of a few validation examples.
        variance: (3,) share of the variance of the visited states along each axis.
        candidates: from which the search began.
        not_finite: of the candidates, those that became NaN or infinite.
        far: those that ended far away from all visited states.
        fast: those that ended at neither a fixed nor a slow point.
    """

    points: tuple[StationaryPoint, ...]
    paths: tuple[StatePath, ...]
    variance: Floats
    candidates: int
    not_finite: int
    far: int
    fast: int

    def __post_init__(self) -> None:
        _require_three_axes("variance", len(self.variance))


class Diagnosis(msgspec.Struct, frozen=True, eq=False, kw_only=True, omit_defaults=True):
    """What was measured on one batch of validation examples.

    Attributes:
        step: updates that the parameters had taken.
        examples: size of the batch.
        loss: mean over the batch.
        layers: every recurrent layer and direction, in the order in which the model calls them.
        texts: a few texts, word by word; none where the task reads no words.
        swaps: None where the task reads no words.
        fixed_points: None where they were not searched for, as before training and in most tasks.
    """

    step: int
    examples: int
    loss: Number
    layers: tuple[LayerDiagnosis, ...]
    texts: tuple[TextAttribution, ...] = ()
    swaps: WordSwaps | None = None
    fixed_points: FixedPointSearch | None = None


def _require_three_axes(name: str, length: int) -> None:
    if length != 3:
        raise ValueError(f"{name}: {length} entries, expected 3, one for each principal axis")


def _require_equal_lengths(record: msgspec.Struct, *names: str) -> None:
    lengths = [len(getattr(record, name)) for name in names]
    if len(set(lengths)) > 1:
        raise ValueError(f"{', '.join(names)} are of unequal length ({', '.join(map(str, lengths))})")
