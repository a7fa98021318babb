"""Diagnoses with known numbers, written by hand as rnnjax wrote them before run folders had a ``format_version``."""

import json
from pathlib import Path
from typing import Any

import numpy as np

GATES = {"LSTM": ["i", "f", "g", "o"], "GRU": ["r", "u", "n"], "SimpleRNN": ["h"]}
LAGS = np.arange(41)


def write_diagnosis(folder: Path, when: str, *layers: dict[str, Any], **more: Any) -> Path:
    """``diagnosis-<when>.json`` of a member; ``more`` replaces what the object holds, as texts or swaps."""
    record = {"step": 0 if when == "start" else 200, "examples": 32, "loss": 0.69, "layers": list(layers)}
    record |= {"texts": [], "swaps": None} | more
    path = folder / f"diagnosis-{when}.json"
    path.write_text(json.dumps(record))
    return path


def layer_record(
    cell: str = "LSTM",
    belt: np.ndarray | float = 0.0,
    detour: np.ndarray | float = 0.5**LAGS,
    *,
    keep: float = 0.0,
    weights: dict[str, Any] | None = None,
    values: dict[str, float] | None = None,
    share: float | None = None,
    decay: np.ndarray | None = None,
    exponents: tuple[float, ...] = (-0.1, -0.5),
    **more: Any,
) -> dict[str, Any]:
    """One layer; ``belt`` and ``detour`` are median norms by lag (L,), of which ``weights`` go through each gate.

    Quantiles of norms are half and twice the median; those of shares and gates are the median itself. ``decay`` is the
    gradient of one step's loss by lag, which older runs lack.
    """
    belt, detour = (np.array(row, float) for row in np.broadcast_arrays(belt, detour))
    gates = GATES[cell]
    weights = weights or dict.fromkeys(gates, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = belt / (belt + detour)
    shares[:1] = np.nan
    flat = {"belt_share": shares, "keep": np.full(len(belt), keep)}
    flat |= {f"gate {gate}": np.full(len(belt), value) for gate, value in (values or {}).items()}
    norms = {"m": belt + detour, "belt": belt, "detour": detour}
    norms |= {f"{way} {gate}": detour * weights[gate] for way in ("enters", "into") for gate in gates}
    flat |= {} if decay is None else {"decay": decay}
    known = shares[np.isfinite(shares)]
    return {
        **{"name": "recurrent", "cell": cell, "reverse": False, "gates": gates, "units": 8},
        "count": [32] * len(belt),
        "by_lag": {name: quantiles(values, 2.0) for name, values in norms.items()}
        | {name: quantiles(values, 1.0) for name, values in flat.items()},
        "saturation": dict.fromkeys(gates, 0.0),
        **{"keep_at_bias": keep, "horizon": 1 / (1 - keep) if keep < 1 else float("inf"), "omega": 1.0},
        "belt_share": (float(known.mean()) if known.size else float("nan")) if share is None else share,
        "padding_read": 0.0,
        "lyapunov": {"exponents": list(exponents), "steps": [1, 10, 20], "largest": [0.5, -0.2, exponents[0]]},
        "singular": {"lag": [1, 10, 20], "largest": [0.1, -1.0, -2.0], "smallest": [-1.0, -10.0, -20.0]},
    } | more


def quantiles(median: np.ndarray, spread: float) -> dict[str, list[float]]:
    rows = {"q10": median / spread, "q50": median, "q90": median * spread}
    return {name: [float(value) for value in row] for name, row in rows.items()}


def text_record(words: list[str], label: int, logits: list[float], connectivity: list[float]) -> dict[str, Any]:
    return {"words": words, "label": label, "logits": logits, "connectivity": connectivity}


def swap_record(lag: list[int], measured: list[float], predicted: list[float]) -> dict[str, Any]:
    what = "the opinion word for one of the other polarity"
    return {"what": what, "lag": lag, "measured": measured, "predicted": predicted}


def points_record(points: dict[int | str, int], far: int = 0) -> dict[str, Any]:
    """A search for fixed points; ``points``: number of unstable directions, or "slow" -> how many were found."""
    records = []
    for kind, count in points.items():
        for number in range(count):
            unstable = 0 if kind == "slow" else kind
            record = {"fixed": kind != "slow", "speed": 1e-13, "unstable": unstable, "candidates": 5}
            record |= {"position": [float(number), float(unstable), 1.0], "outputs": [1.0, -1.0]}
            records.append(record | {"eigenvalues_real": [0.9, 0.5], "eigenvalues_imag": [0.0, 0.0]})
    paths = [{"axes": [[0.0, 1.0, 2.0], [0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]}]
    total = {"candidates": 5 * len(records) + far, "not_finite": 0, "far": far, "fast": 0}
    return {"points": records, "paths": paths, "variance": [0.5, 0.25, 0.125], **total}


def update_records(folder: Path, ratios: dict[str, list[float]], steps: list[int]) -> None:
    """Append update ratios to a member's metrics, one of each block a step."""
    with (folder / "metrics.jsonl").open("a") as file:
        for number, step in enumerate(steps):
            row = {block: values[number] for block, values in ratios.items()}
            file.write(json.dumps({"kind": "updates", "step": step, "epoch": 0, "ratios": row}) + "\n")
