"""``rnnjax.TrainingLog``: losses and gradients of a training loop of one's own, as a run folder for a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import check_integer, describe, is_array, is_number
from rnnjax.cells.registry import slug_of
from rnnjax.errors import UserError
from rnnjax.logged_gradients import statistics_of_scans
from rnnjax.regular_files import check_no_link
from rnnjax.runs import schema
from rnnjax.runs.folder import LEFT_BY_A_KILL, current_environment
from rnnjax.runs.json_io import read_json
from rnnjax.runs.lock import lock_folder
from rnnjax.runs.member_schema import MemberInfo, RunResult
from rnnjax.runs.reader import is_run_folder, read_config
from rnnjax.runs.schema import Config, TaskInfo
from rnnjax.runs.writer import MemberWriter, gradient_record, write_config, write_environment, write_task
from rnnjax.scans.sites import Site
from rnnjax.sharding.devices import describe_devices, describe_matmul_precision
from rnnjax.typing import AnyArray

EXPERIMENT = "training log"  # in the config of such a run
LEFT = LEFT_BY_A_KILL | {schema.TASK, f"{schema.TASK}.partial"}
MOST_SEED = 2**63 - 1
WAIT = 10.0  # seconds, for another process that begins a log in the same folder
NAN = float("nan")


class TrainingLog:
    """Writes losses and gradients of a training loop of one's own into a run folder.

        sites = rnnjax.observe(loss)(params, batch).sites
        with rnnjax.TrainingLog("runs/mine", "Flax LSTM", seed=0, last_step_only=True, sites=sites) as log:
            for step in range(1000):
                params, state, value, gradients = train_step(params, state, batch)
                log.step(step, value, gradients)

    ``gradients`` is what ``jax.grad`` gives with respect to the taps of ``rnnjax.observe``. ``python launch.py report
    runs/mine`` then draws the loss, the gradient by lag over the course of training, half-life and reach. Several logs
    write into one folder, also at the same time; those of one label count as seeds of one model.

    Args:
        folder: of the run; made where it does not exist.
        label: name of the model in tables and figures.
        seed: that tells apart the logs of one label.
        last_step_only: whether the loss reads the sequence at its last step alone, as that of a classifier. Otherwise,
            as in a language model, the gradient adds up over the losses of many steps and has no half-life.
        sites: of ``rnnjax.observe``, for steps that are logged with gradients: they say how the gradients are to be
            read. The log turns round those of a scan that runs from its last step to its first, so that lag 0 is the
            step that it computes last. The runs of a scan inside of another one count as further examples, as in
            ``rnnjax.gradient_flow``: each is a sequence along which the gradient fades, and an average over runs
            would hide those in which it does.

    Raises:
        ValueError: an argument has another type than described here, the folder holds something else, or this label
            and seed already.
        UserError: a file in the folder is damaged.
    """

    def __init__(
        self, folder: str | Path, label: str, *, seed: int = 0, last_step_only: bool, sites: Sequence[Site] = ()
    ) -> None:
        if not isinstance(folder, str | Path) or not str(folder):
            raise ValueError(f"folder must be the path of a folder, got {describe(folder)}")
        if not isinstance(label, str) or not label.strip() or not label.isprintable():
            raise ValueError(
                f"label must be a name in printable characters, such as 'Flax LSTM', got {describe(label)}"
            )
        check_integer("seed", seed, -MOST_SEED, MOST_SEED)
        if not isinstance(last_step_only, bool):
            raise ValueError(f"last_step_only must be True or False, got {describe(last_step_only)}")
        if not isinstance(sites, tuple | list) or not all(isinstance(site, Site) for site in sites):
            raise ValueError(f"sites must be those of rnnjax.observe(loss)(params, batch).sites, got {describe(sites)}")
        self._sites = tuple(sites)
        self._layers: dict[str, int] = {}
        self._last_step = -1
        self._best: tuple[float, int] | None = None  # validation loss, and its step
        info = MemberInfo(
            label=label,
            cell=slug_of(label),
            seed=int(seed),
            parameters=None,
            steps=None,
            last_step_only=last_step_only,
        )
        try:
            _begin_run(Path(folder))
            self._writer: MemberWriter | None = MemberWriter(
                _member_folder(Path(folder), label, int(seed)), tensorboard=False
            )
            self._writer.write_info(info)
        except OSError as error:
            raise ValueError(f"the folder '{folder}' cannot be written ({error.strerror}); give another one") from None

    def step(
        self,
        step: int,
        loss: float | AnyArray,
        gradients: Mapping[str, Sequence[AnyArray | None]] | None = None,
        *,
        lengths: AnyArray | None = None,
        validation: float | AnyArray | None = None,
    ) -> None:
        """Write one training step; not every step has to be written, nor every step with gradients.

        Args:
            step: updates before it, larger than that of the call before.
            loss: one number, the mean over the batch.
            gradients: of the taps of ``rnnjax.observe``: by the name of a scan, for each array of its carry the
                gradient of ``loss``, (T, B, ...), or None; of a scan inside of others (outer..., T, B, ...). B is the
                same in all scans. Arrays of the carry that are one number have no examples, and are left out.
            lengths: (B,) integers, the steps of each example that count, where all scans that are not inside of
                another one have the same T. If not given, and in scans inside of others, they are all steps up to the
                last one to which a gradient comes.
            validation: the loss on held-out examples at this step, one number.

        Raises:
            ValueError: an argument has another type or shape than described here, or the log is closed.
        """
        if self._writer is None:
            raise ValueError("the log is closed; begin another one with rnnjax.TrainingLog")
        check_integer("step", step, self._last_step + 1, MOST_SEED)
        value = _number("loss", loss)
        held_out = None if validation is None else _number("validation", validation)
        measured = {} if gradients is None else statistics_of_scans(gradients, self._sites, lengths)
        self._last_step = int(step)
        self._writer.append_train(int(step), 0, value, NAN, NAN)
        if held_out is not None:
            self._writer.append_validation(int(step), 0, held_out, NAN)
            if np.isfinite(held_out) and (self._best is None or held_out < self._best[0]):
                self._best = held_out, int(step)
        for name, states in measured.items():
            layer = self._layers.setdefault(name, len(self._layers))
            for state, statistics in states.items():
                self._writer.append_gradient(gradient_record(int(step), layer, state, statistics, name))

    def close(self) -> None:
        """End the log: the training has finished. Without this, or where it ends with an error, it counts as stopped.

        A second call does nothing.
        """
        if self._writer is None:
            return
        loss, step = self._best or (NAN, None)
        self._writer.sync()
        self._writer.write_result(
            RunResult(
                test_loss=NAN,
                test_accuracy=NAN,
                best_step=step,
                validation_accuracy=NAN,
                validation_loss=loss,
                seconds=NAN,
                steps_per_second=NAN,
                compile_seconds=NAN,
            )
        )
        self._release()

    def _release(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the log, or, after an error, its files alone."""
        if kind is None:
            self.close()
        self._release()


def _begin_run(folder: Path) -> None:
    """Make the folder of the run, unless a log before has."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"the folder '{folder}' is a file; give another one")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, wait=WAIT, remedy="give another folder"):
        if is_run_folder(folder):
            if read_config(folder).experiment != EXPERIMENT:
                raise ValueError(f"the folder '{folder}' holds a run of another kind; give another one")
            return
        if any(entry.name not in LEFT for entry in folder.iterdir()):
            raise ValueError(f"the folder '{folder}' is not empty; give another one")
        (folder / schema.MEMBERS).mkdir(exist_ok=True)
        write_environment(folder, current_environment(describe_devices(), describe_matmul_precision()))
        write_task(folder, TaskInfo(step="step", example="example", objective=None))
        write_config(  # last: a folder without it holds no run
            folder, Config(format_version=schema.FORMAT_VERSION, experiment=EXPERIMENT, flags={})
        )


def _member_folder(run: Path, label: str, seed: int) -> Path:
    """A new folder for a label and seed, with a number where another label's folder has the same name."""
    check_no_link(run / schema.MEMBERS)
    name, number = f"{slug_of(label)}-seed{seed}", 1
    while True:
        folder = schema.member_folder(run, name if number == 1 else f"{name}-{number}")
        check_no_link(folder)
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            if _label_of(folder) == label:
                raise ValueError(
                    f"the folder '{run}' already holds {label!r} with seed {seed}; give another label, seed or "
                    f"folder, or remove '{folder}'"
                ) from None
        number += 1


def _label_of(member: Path) -> str | None:
    try:
        info: MemberInfo = read_json(member / schema.MEMBER, MemberInfo)
    except UserError:
        return None
    return info.label


def _number(name: str, value: Any) -> float:
    if isinstance(value, jax.core.Tracer):
        raise ValueError(f"{name} is traced; call step outside of jax.jit, with what the jitted function returns")
    if not is_number(value) and not (is_array(value) and value.shape == () and jnp.isrealobj(value)):
        raise ValueError(f"{name} must be one number, got {describe(value)}")
    return float(value)
