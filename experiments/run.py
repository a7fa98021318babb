"""From an experiment's flags to its report: devices, processes, the run folder, training, and how it ended."""

import contextlib
import sys
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from experiments.base import Experiment
from experiments.registry import config_of, difference
from experiments.study import run_specs
from rnnjax.distributed.collectives import require_same_flags
from rnnjax.distributed.session import distributed_session
from rnnjax.errors import UserError
from rnnjax.runs.codec import encode
from rnnjax.runs.folder import run_folder, scratch_folder
from rnnjax.runs.schema import Config
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import StoppedError
from rnnjax.sharding.compilation_cache import configure_compilation_cache
from rnnjax.sharding.devices import check_devices, configure_devices, describe_devices, is_first_process
from rnnjax.typing import JSONObject


def run_experiment(experiment: Experiment) -> int:
    """Train into a run folder, and draw the report of what came of it, even if a member diverged; the exit status."""
    execution, config = experiment.execution, config_of(experiment)
    configure_devices(execution)
    configure_compilation_cache(execution.compilation_cache)
    try:
        with distributed_session(execution):
            check_devices(execution)
            require_same_flags(encode(config), execution.num_processes, _flag_difference)
            devices, changed = describe_devices(), partial(difference, new=config)
            place = run_folder(experiment.out, config, devices, resume=execution.resume, difference=changed)
            with place if is_first_process() else scratch_folder() as folder:
                with ProgressView(Console(quiet=not is_first_process())) as view:
                    view.line(f"{config.experiment} on {devices[0]}, into {folder}")
                    _trained(experiment, folder, view)
                if is_first_process():
                    _report(experiment, folder)
    except StoppedError as error:
        return error.status
    return 0


def _flag_difference(first: JSONObject, other: JSONObject) -> list[str]:
    """``difference`` of two configs as JSON."""
    return difference(msgspec.convert(first, Config), msgspec.convert(other, Config))


def train(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train and test every run of an experiment, or of its shard, into ``folder``."""
    from rnnjax.training.study import run_study

    run_study(folder, run_specs(experiment, view.line), experiment.execution, view)


def _trained(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train; where that ends early, say how to go on, or draw what there is."""
    try:
        train(experiment, folder, view)
    except StoppedError as error:
        if is_first_process():
            begun = any((folder / "members").iterdir())
            hint = f"go on with the same flags, --out {folder} and --resume" if begun else "no run had begun"
            print(f"{error}; {hint}.", file=sys.stderr)
        raise
    except UserError:
        if is_first_process() and any((folder / "members").iterdir()):
            with contextlib.suppress(UserError):  # the first error is the one to be said
                _report(experiment, folder)
        raise


def _report(experiment: Experiment, folder: Path) -> None:
    from rnnjax.report.printing import print_reports  # figures take a second to import, which training can do without

    print_reports((folder,))
    if experiment.training.tensorboard:
        from rnnjax.runs.tensorboard import write_pictures

        write_pictures(folder / "tensorboard", sorted((folder / "figures").glob("*.png")))
