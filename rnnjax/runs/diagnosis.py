"""What a diagnosis of one set of parameters measured: the belt and the detour, the gates, the flow's stability."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnjax.runs.json_numbers import as_float, row
from rnnjax.typing import Floats

QUANTILES = ("q10", "q50", "q90")


@dataclass(frozen=True, eq=False)
class Levels:
    """Quantiles over the examples that reach a lag, each (L,); lag 0 is the last valid step."""

    q10: Floats
    q50: Floats
    q90: Floats


@dataclass(frozen=True, eq=False)
class Lyapunov:
    """Exponents (S,) a step, largest first; ``largest`` (P,) is the running estimate of the first after ``steps``."""

    exponents: Floats
    steps: Floats
    largest: Floats


@dataclass(frozen=True, eq=False)
class Singular:
    """log10 of the extreme singular values of the product of the last ``lag`` step Jacobians, each (P,)."""

    lag: Floats
    largest: Floats
    smallest: Floats


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """One recurrent layer in one direction.

    ``by_lag`` maps a quantity to its quantiles by lag: the norms "m" (and the LSTM's "h"), "belt", "detour",
    "enters k" and "into k" of each gate k, and "belt_share", "keep" and "gate k", which are no norms. ``horizon``
    is in time steps, ``count`` (L,) holds the examples that reach each lag. Of a cell that does not tell its gates'
    values there is no ``saturation`` and no "gate k".
    """

    name: str
    cell: str
    reverse: bool
    gates: tuple[str, ...]
    units: int
    count: Floats
    by_lag: Mapping[str, Levels]
    saturation: Mapping[str, float]
    keep_at_bias: float
    horizon: float
    belt_share: float
    omega: float
    padding_read: float
    lyapunov: Lyapunov | None
    singular: Singular | None


@dataclass(frozen=True, eq=False)
class Text:
    """A review: the logit (T,) had it ended after each word, and ‖∂logit/∂x_t‖ (T,) of each word of the whole."""

    words: tuple[str, ...]
    label: int
    logits: Floats
    connectivity: Floats


@dataclass(frozen=True, eq=False)
class Swaps:
    """One word of each of N examples exchanged: how far back, and the change of the logit, measured and predicted."""

    what: str
    lag: Floats
    measured: Floats
    predicted: Floats


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was measured on one batch of validation examples with the parameters after ``step`` updates."""

    step: int
    examples: int
    loss: float
    layers: tuple[LayerDiagnosis, ...]
    texts: tuple[Text, ...]
    swaps: Swaps | None


def parse_diagnosis(record: dict[str, Any]) -> Diagnosis:
    """The diagnosis in a JSON object, as training writes it; JSON's null is NaN.

    Raises:
        KeyError, TypeError, ValueError: something that belongs there is missing, or lists that belong together
            differ in length.
    """
    swaps = record.get("swaps")
    return Diagnosis(
        step=int(record["step"]),
        examples=int(record["examples"]),
        loss=as_float(record["loss"]),
        layers=tuple(_layer(layer) for layer in record["layers"]),
        texts=tuple(_text(text) for text in record.get("texts") or ()),
        swaps=Swaps(str(swaps["what"]), *_rows(swaps, "lag", "measured", "predicted")) if swaps else None,
    )


def _layer(told: dict[str, Any]) -> LayerDiagnosis:
    count = row(told["count"])
    lyapunov, singular = told.get("lyapunov"), told.get("singular")
    return LayerDiagnosis(
        name=str(told["name"]),
        cell=str(told["cell"]),
        reverse=bool(told["reverse"]),
        gates=tuple(str(gate) for gate in told["gates"]),
        units=int(told["units"]),
        count=count,
        by_lag={str(name): _levels(name, levels, count) for name, levels in told["by_lag"].items()},
        saturation={str(gate): as_float(share) for gate, share in (told["saturation"] or {}).items()},
        **{name: as_float(told[name]) for name in ("keep_at_bias", "horizon", "belt_share", "omega", "padding_read")},
        lyapunov=Lyapunov(row(lyapunov["exponents"]), *_rows(lyapunov, "steps", "largest")) if lyapunov else None,
        singular=Singular(*_rows(singular, "lag", "largest", "smallest")) if singular else None,
    )


def _levels(name: str, told: dict[str, Any], count: Floats) -> Levels:
    """Quantiles by lag, NaN where no example is."""
    rows = _rows(told, *QUANTILES)
    if len(rows[0]) != len(count):
        raise ValueError(f"'{name}' holds {len(rows[0])} lags, expected {len(count)}")
    return Levels(*(np.where(count > 0, values, np.nan) for values in rows))


def _text(told: dict[str, Any]) -> Text:
    words = tuple(str(word) for word in told["words"])
    logits, connectivity = _rows(told, "logits", "connectivity")
    if len(words) != len(logits):
        raise ValueError(f"a text of {len(words)} words holds {len(logits)} logits")
    if told["label"] not in (0, 1):
        raise ValueError(f"a text has the label {told['label']!r}, expected 0 or 1")
    return Text(words, int(told["label"]), logits, connectivity)


def _rows(told: dict[str, Any], *names: str) -> list[Floats]:
    rows = [row(told[name]) for name in names]
    if len({len(values) for values in rows}) > 1:
        raise ValueError(f"{', '.join(names)} are lists of unequal length")
    return rows
