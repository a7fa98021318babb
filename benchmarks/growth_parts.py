"""``python -m benchmarks.growth_parts``: the inputs of ``benchmarks.growth``, and what it measures beside commands."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Union

import numpy as np
import tyro

if TYPE_CHECKING:
    from rnnjax.analysis.diagnosis import Diagnosis
    from rnnjax.runs.writer import MemberWriter

WORDS, WORDS_IN_A_LINE = 50_000, 20
STEPS_PER_LOGGED = 10  # training steps between two logged ones
GATES = ("i", "f", "g", "o")  # of the LSTM


@dataclasses.dataclass(frozen=True)
class WriteRun:
    """Write the folder of a finished run with random records.

    Attributes:
        folder: to be made.
        seeds: members that differ in their seed alone.
        values: values of a swept learning rate, each with all seeds; no sweep for 1.
        logged: logged steps of each member.
        lags: time steps in which a gradient is logged.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    seeds: int = 1
    values: int = 1
    logged: int = 40
    lags: int = 100


@dataclasses.dataclass(frozen=True)
class WriteText:
    """Write labelled lines of words whose frequencies follow Zipf's law.

    Attributes:
        file: tsv file to be made.
        lines: how many.
    """

    file: Annotated[Path, tyro.conf.Positional]
    lines: int = 1000


@dataclasses.dataclass(frozen=True)
class PrepareText:
    """Read, split and encode a file as ``launch.py text`` does before it trains.

    Attributes:
        file: tsv file with texts and labels.
    """

    file: Annotated[Path, tyro.conf.Positional]


def main() -> None:
    """Do one of them."""
    command = tyro.cli(
        Union[  # noqa: UP007
            Annotated[WriteRun, tyro.conf.subcommand("write-run")],
            Annotated[WriteText, tyro.conf.subcommand("write-text")],
            Annotated[PrepareText, tyro.conf.subcommand("prepare-text")],
        ]
    )
    if isinstance(command, WriteRun):
        write_run(command)
    elif isinstance(command, WriteText):
        write_text(command)
    else:
        prepare_text(command)


def write_text(command: WriteText) -> None:
    """Write the lines, a thousand at a time; the label is whether the line's number is odd."""
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(WORDS)])
    cumulative = np.cumsum(1 / np.arange(1, WORDS + 1))
    cumulative /= cumulative[-1]
    with command.file.open("w") as file:
        file.write("text\tlabel\n")
        for first in range(0, command.lines, 1000):
            count = min(1000, command.lines - first)
            drawn = words[np.searchsorted(cumulative, rng.random((count, WORDS_IN_A_LINE)))]
            file.writelines(f"{' '.join(line)}\t{(first + i) % 2}\n" for i, line in enumerate(drawn))


def prepare_text(command: PrepareText) -> None:
    """Prepare the data set with the default flags of the task."""
    from experiments.tasks.text import Text

    Text(train=str(command.file)).dataset(0, lambda line: None)


def write_run(command: WriteRun) -> None:
    """Write every member with the writer that training uses."""
    from rnnjax.runs import schema, writer
    from rnnjax.runs.folder import current_environment

    rng = np.random.default_rng(0)
    (command.folder / schema.MEMBERS).mkdir(parents=True)
    writer.write_environment(command.folder, current_environment(["cpu:0 cpu"], "default"))
    config = schema.Config(format_version=schema.FORMAT_VERSION, experiment="recall", flags={"seeds": command.seeds})
    writer.write_config(command.folder, config)
    writer.write_task(command.folder, schema.TaskInfo(loss="cross-entropy, nats"))
    for value in range(command.values):
        for seed in range(command.seeds):
            _write_member(command, value, seed, rng)


def _write_member(command: WriteRun, value: int, seed: int, rng: np.random.Generator) -> None:
    from rnnjax.runs import schema
    from rnnjax.runs.member_schema import AccuracyByDistance, MemberInfo, RunResult
    from rnnjax.runs.writer import MemberWriter

    rate, swept = float(f"{1e-4 * 1.02**value:.4g}"), command.values > 1
    steps = command.logged * STEPS_PER_LOGGED
    folder = schema.member_folder(command.folder, f"lstm-{value}-seed{seed}")
    folder.mkdir()
    writer = MemberWriter(folder, tensorboard=False)
    writer.write_info(
        MemberInfo(
            label=f"LSTM learning_rate={rate}" if swept else "LSTM", cell="lstm", seed=seed,
            varied={"learning_rate": rate} if swept else {}, parameters=10_000, steps=steps, clip=1.0,
            last_step_only=True,
        )
    )  # fmt: skip
    _append_records(writer, command, rng)
    writer.write_diagnosis("start", _diagnosis(0, command.lags, rng))
    writer.write_diagnosis("end", _diagnosis(steps, command.lags, rng))
    distances = np.arange(10, command.lags, 10)
    accuracy = AccuracyByDistance(
        distance=distances, accuracy=rng.uniform(0.5, 1, len(distances)), count=np.full(len(distances), 200)
    )
    score = float(rng.uniform(0.7, 0.9))
    writer.write_result(
        RunResult(
            test_loss=0.4, test_accuracy=score, best_step=steps, validation_accuracy=score, validation_loss=0.4,
            seconds=10.0, steps_per_second=40.0, compile_seconds=3.0, accuracy_by_distance=accuracy,
        )
    )  # fmt: skip
    writer.close()


def _append_records(writer: "MemberWriter", command: WriteRun, rng: np.random.Generator) -> None:
    """Each training step, a validation for every ten logged steps, and the gradients and updates of logged steps."""
    from rnnjax.runs.member_schema import GradientRecord

    lags = np.arange(command.lags)
    for logged in range(command.logged):
        first = logged * STEPS_PER_LOGGED
        for step in range(first, first + STEPS_PER_LOGGED):
            loss, accuracy = 0.7 - 0.3 * step / (command.logged * STEPS_PER_LOGGED), float(rng.uniform(0.5, 1))
            writer.append_train(step, 0, loss, accuracy, float(rng.uniform(0.1, 1)))
        blocks = ("Dense_0/kernel", "Embed_0/embedding", "recurrent/cell/w_h", "recurrent/cell/w_x")
        writer.append_logged_step(first, 0, (), {block: rng.uniform(1e-3, 1e-2) for block in blocks})
        for state in ("c", "h"):
            norms = 0.97**lags * rng.uniform(0.5, 1, command.lags)
            writer.append_gradient(
                GradientRecord(
                    step=first, layer=0, state=state, count=np.full(command.lags, 32), mean=norms, q10=norms / 2,
                    q50=norms, q90=2 * norms,
                )
            )  # fmt: skip
        if logged % 10 == 9 or logged == command.logged - 1:
            writer.append_validation(first + STEPS_PER_LOGGED, 0, 0.4, float(rng.uniform(0.7, 0.9)))


def _diagnosis(step: int, lags: int, rng: np.random.Generator) -> "Diagnosis":
    """An LSTM's layer, with a gradient that decays over lag."""
    from rnnjax.analysis.diagnosis import Diagnosis, JacobianProducts, LagQuantiles, LayerDiagnosis, LyapunovEstimate

    by_gate = [f"{part} {gate}" for part in ("enters", "into", "gate") for gate in GATES]
    norms = {
        name: 0.97 ** np.arange(lags) * rng.uniform(0.5, 1, lags)
        for name in ("m", "h", "belt", "detour", "decay", "belt_share", "keep", *by_gate)
    }
    points = np.array([1, 10, lags])
    layer = LayerDiagnosis(
        name="recurrent", cell="LSTM", reverse=False, gates=GATES, units=64, count=np.full(lags, 32),
        by_lag={name: LagQuantiles(q10=values / 2, q50=values, q90=2 * values) for name, values in norms.items()},
        saturation=dict.fromkeys(GATES, 0.0), keep_at_bias=0.5, horizon=2.0, belt_share=0.5, omega=1.0,
        padding_read=0.0, last_step_only=True,
        lyapunov=LyapunovEstimate(exponents=np.array([-0.1, -0.5]), steps=points, largest=np.array([0.5, 0, -0.1])),
        singular=JacobianProducts(lag=points, largest=np.array([0.1, -1, -2]), smallest=np.array([-1.0, -10, -20])),
    )  # fmt: skip
    return Diagnosis(step=step, examples=32, loss=0.7, layers=(layer,))


if __name__ == "__main__":
    main()
