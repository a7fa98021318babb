"""From an experiment's flags to its report: devices, processes, the run folder, training, and how it ended."""

import contextlib
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from experiments.base import Experiment
from experiments.registry import config_of, difference
from experiments.study import trials
from rnnjax.distributed.processes import first_says, several_processes
from rnnjax.errors import UserError
from rnnjax.runs.folder import run_folder, scratch_folder
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import StoppedError
from rnnjax.sharding.compilation_cache import keep_programs
from rnnjax.sharding.devices import check_devices, describe_devices, is_first, settle_devices


def conduct(experiment: Experiment) -> int:
    """Train into a run folder, and draw the report of what came of it, even if a member diverged; the exit status."""
    execution, config = experiment.execution, config_of(experiment)
    settle_devices(execution)
    keep_programs(execution.compilation_cache)
    try:
        with several_processes(execution):
            check_devices(execution)
            devices, differing = describe_devices(), difference(first_says(config), config)
            if differing:
                raise UserError(f"The processes were started with different flags ({'; '.join(differing)}).")
            changed = partial(difference, new=config)
            place = run_folder(experiment.out, config, devices, resume=execution.resume, difference=changed)
            with place if is_first() else scratch_folder() as folder:
                with ProgressView(Console(quiet=not is_first())) as view:
                    view.line(f"{config['experiment']} on {devices[0]}, into {folder}")
                    _trained(experiment, folder, view)
                if is_first():
                    _report(experiment, folder)
    except StoppedError as error:
        return error.status
    return 0


def train(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train and test every run of an experiment, or of its shard, into ``folder``."""
    from rnnjax.training.study import run_study

    run_study(folder, trials(experiment, view.line), experiment.execution, view)


def _trained(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train; where that ends early, say how to go on, or draw what there is."""
    try:
        train(experiment, folder, view)
    except StoppedError as error:
        if is_first():
            begun = any((folder / "members").iterdir())
            hint = f"go on with the same flags, --out {folder} and --resume" if begun else "no run had begun"
            print(f"{error}; {hint}.", file=sys.stderr)
        raise
    except UserError:
        if is_first() and any((folder / "members").iterdir()):
            with contextlib.suppress(UserError):  # the first error is the one to be said
                _report(experiment, folder)
        raise


def _report(experiment: Experiment, folder: Path) -> None:
    from rnnjax.report.printing import print_reports  # figures take a second to import, which training can do without

    print_reports((folder,))
    if experiment.training.tensorboard:
        from rnnjax.runs.writer import write_pictures

        write_pictures(folder / "tensorboard", sorted((folder / "figures").glob("*.png")))
