"""Run folders with known curves, written by hand as rnnjax wrote them before they had a ``format_version``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_diagnosis import layer_record, write_diagnosis


def write_run(path: Path, experiment: str = "recall", flags: dict[str, Any] | None = None) -> Path:
    (path / "members").mkdir(parents=True)
    config = {"experiment": experiment, "flags": flags or {"hidden": 64, "seeds": [0, 1]}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "environment.json").write_text(json.dumps({"python": "3.11", "devices": ["cpu:0"]}))
    return path


def write_task(run: Path, objective: str, step: str, example: str, **more: Any) -> None:
    """``task.json``; ``more`` as the loss, the names of the classes, or what was published."""
    task = {"objective": objective, "step": step, "example": example}
    (run / "task.json").write_text(json.dumps(task | more))


def write_number_task(path: Path, **more: Any) -> Path:
    """A finished run of the adding problem: an LSTM of two seeds that learns it, a SimpleRNN that does not."""
    run = write_run(path, "adding")
    write_task(run, "number", "step", "sequence", loss="mean squared error", **more)
    curve = np.exp(-0.05 * np.arange(41))
    for seed in range(2):
        rows = [(100, 0.166, 0.1), (200, 0.02, 0.3), (300, 0.0011 + 0.0001 * seed, 0.9)]
        scores = {"validation": rows, "test": 0.91, "losses": (0.0012 + 0.0002 * seed, rows[-1][1]), "varied": {}}
        curves = {"h": [curve] * 2, "c": [curve, curve**0.1]}
        write_member(run, "LSTM", seed, curves=curves, baseline=1 / 6, parameters=2000, **scores)
    rows = [(100, 0.168, 0.1), (200, 0.1667, 0.1), (300, 0.17, 0.1)]
    scores = {"validation": rows, "losses": (0.1672, 0.1667), "test": 0.1, "varied": {}, "train": [0.1675] * 100}
    write_member(run, "SimpleRNN", curves={"h": [curve] * 2}, baseline=1 / 6, **scores)
    return run


def write_symbols_task(path: Path) -> Path:
    """A run of a language model of characters, without a baseline.

    The loss is read at every step, so the logged gradient adds up and does not fade; that of one step's loss does.
    """
    run = write_run(path, "characters")
    write_task(run, "symbols", "character", "window", loss="cross-entropy a step, nats")
    rows = [(100, 2.5, 0.3), (200, 2.08, 0.4)]
    whole = 10 - 9 * 0.9 ** np.arange(41)
    folder = write_member(run, "GRU", curves={"h": [whole] * 2}, validation=rows, losses=(2.1, 2.08), test=0.4)
    for when, factor in (("start", 0.8), ("end", 0.9)):
        write_diagnosis(folder, when, layer_record("GRU", whole, 0 * whole, keep=0.9, decay=factor ** np.arange(41)))
    return run


def write_member(
    run: Path,
    label: str,
    seed: int = 0,
    *,
    curves: dict[str, list[np.ndarray]] | None = None,
    gradient_steps: list[int] | None = None,
    counts: list[Any] | None = None,
    validation: list[tuple[int, float, float]] = ((100, 0.6, 0.7), (200, 0.3, 0.9)),
    by_distance: dict[float, float] | None = None,
    test: float | None = 0.9,
    parameters: int = 1000,
    steps: int = 200,
    varied: dict[str, Any] | None = None,
    failure: str | None = None,
    baseline: float | None = None,
    losses: tuple[float, float] | None = None,
    train: list[float] = (0.69,),
) -> Path:
    """One member; ``curves`` maps a state to its median norm by lag, one array for each logged step.

    Where ``varied`` is None the member is as older runs wrote it; with a ``failure`` it has no result. ``losses`` are
    those of test and validation.
    """
    folder = run / "members" / f"{label.lower().replace(' ', '-')}-seed{seed}"
    folder.mkdir()
    member = {"label": label, "cell": label.split()[0].lower(), "seed": seed, "parameters": parameters, "steps": steps}
    member |= {} if varied is None else {"varied": varied}
    member |= {} if baseline is None else {"baseline": baseline}
    (folder / "member.json").write_text(json.dumps(member))
    lines(
        folder / "metrics.jsonl",
        [
            {"kind": "train", "step": 10 + step, "epoch": 0, "loss": loss, "accuracy": 0.5, "gradient_norm": 0.3}
            for step, loss in enumerate(train)
        ]
        + [
            {"kind": "validation", "step": step, "epoch": 0, "loss": loss, "accuracy": accuracy}
            for step, loss, accuracy in validation
        ],
    )
    if curves is not None:
        lines(folder / "gradients.jsonl", gradient_records(curves, gradient_steps, counts))
    if failure is not None:
        (folder / "failure.json").write_text(json.dumps({"message": failure}))
    elif test is not None:
        write_result(folder, test, by_distance, losses)
    return folder


def write_sweep(run: Path, name: str, accuracies: dict[tuple[str, float], list[float]]) -> Path:
    """A sweep of one flag: of each (cell, value) the test accuracies of its seeds, which diverged where it is NaN."""
    for (cell, value), seeds in accuracies.items():
        for seed, test in enumerate(seeds):
            failure = f"{cell} diverged." if np.isnan(test) else None
            label = f"{cell} {name.removeprefix('cell.')}={value}"
            write_member(run, label, seed, test=test, varied={name: value}, failure=failure)
    return run


def gradient_records(
    curves: dict[str, list[np.ndarray]], steps: list[int] | None, counts: list[Any] | None
) -> list[dict[str, Any]]:
    records = []
    for state, rows in curves.items():
        for number, norms in enumerate(rows):
            values = {"mean": norms * 1.1, "q10": norms * 0.5, "q50": norms, "q90": norms * 2}
            records.append(
                {"step": number * 100 if steps is None else steps[number], "layer": 0, "state": state}
                | {"count": [32] * len(norms) if counts is None else counts}
                | {name: [float(value) for value in row] for name, row in values.items()}
            )
    return records


def write_result(
    folder: Path, test: float, by_distance: dict[float, float] | None, losses: tuple[float, float] | None
) -> None:
    table = by_distance and {
        "distance": list(by_distance),
        "accuracy": list(by_distance.values()),
        "count": [100] * len(by_distance),
    }
    result = {"test_loss": 0.2, "test_accuracy": test, "best_step": 200, "validation_accuracy": test}
    result |= {"seconds": 12.5, "steps_per_second": 16.0, "compile_seconds": 3.0, "accuracy_by_distance": table}
    result |= {} if losses is None else dict(zip(("test_loss", "validation_loss"), losses, strict=True))
    (folder / "result.json").write_text(json.dumps(result))


def lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
