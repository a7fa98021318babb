"""Runs an experiment: sets up devices and processes, opens the run folder, trains, and writes the report."""

import contextlib
import sys
from functools import partial
from pathlib import Path

import msgspec

from experiments.base import Experiment
from experiments.registry import check_readable, config_differences, experiment_to_config
from experiments.study import run_specs
from rnnjax.distributed.collectives import require_same_flags
from rnnjax.distributed.session import distributed_session
from rnnjax.errors import UserError
from rnnjax.runs.codec import encode
from rnnjax.runs.folder import current_environment, run_folder, scratch_folder
from rnnjax.runs.schema import Config
from rnnjax.runtime.console import Terminal, printable
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import StoppedError
from rnnjax.sharding.compilation_cache import configure_compilation_cache
from rnnjax.sharding.devices import (
    check_devices,
    configure_devices,
    describe_devices,
    describe_matmul_precision,
    is_first_process,
)
from rnnjax.typing import JSONObject


def run_experiment(experiment: Experiment) -> int:
    """Train into a run folder and write its report, even if a member diverged; returns the exit status."""
    execution, config = experiment.execution, experiment_to_config(experiment)
    configure_devices(execution)
    configure_compilation_cache(execution.compilation_cache, _warn)
    try:
        with distributed_session(execution):
            check_devices(execution)
            require_same_flags(encode(config), execution, _flag_difference)
            devices, changed = describe_devices(), partial(_difference_from_folder, new=config)
            environment = current_environment(devices, describe_matmul_precision())
            opened = run_folder(experiment.out, config, environment, resume=execution.resume, difference=changed)
            with opened if is_first_process() else scratch_folder() as folder:
                with ProgressView(Terminal(quiet=not is_first_process())) as view:
                    view.line(f"{config.experiment} on {devices[0]}, into {folder}")
                    _train_with_hints(experiment, folder, view)
                if is_first_process():
                    _write_report(experiment, folder)
    except StoppedError as error:
        return error.status
    return 0


def _warn(line: str) -> None:
    print(printable(line), file=sys.stderr)


def _difference_from_folder(old: Config, new: Config) -> list[str]:
    """``config_differences``; UserError where a file of the run cannot be read."""
    check_readable(old, new)
    return config_differences(old, new)


def _flag_difference(first: JSONObject, other: JSONObject) -> list[str]:
    """``config_differences`` of two configs as JSON."""
    return config_differences(msgspec.convert(first, Config), msgspec.convert(other, Config))


def train(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train and test every run of an experiment, or of its shard, into ``folder``."""
    from rnnjax.cells.specs.own_cells import own_cell_errors
    from rnnjax.training.study import run_study

    specs = run_specs(experiment, view.line)
    with own_cell_errors(spec.cell for spec in specs):
        run_study(folder, specs, experiment.execution, view)


def _train_with_hints(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train; if it is stopped, print how to resume, and if it fails, report the runs that were started."""
    try:
        train(experiment, folder, view)
    except StoppedError as error:
        if is_first_process():
            started = any((folder / "members").iterdir())
            hint = f"continue with the same flags, --out {folder} and --resume" if started else "no run had started"
            print(printable(f"{error}; {hint}."), file=sys.stderr)
        raise
    except UserError:
        if is_first_process() and any((folder / "members").iterdir()):
            with contextlib.suppress(UserError):  # the first error is the one to report
                _write_report(experiment, folder)
        raise


def _write_report(experiment: Experiment, folder: Path) -> None:
    from rnnjax.report.printing import print_reports  # drawing libraries take a second to import

    print_reports((folder,))
    if experiment.training.tensorboard:
        from rnnjax.runs.tensorboard import write_pictures

        write_pictures(folder / "tensorboard", sorted((folder / "figures").glob("*.png")))
