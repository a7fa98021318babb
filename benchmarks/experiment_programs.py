"""The programs of every experiment, with arrays of the real sizes, to be compiled for devices that are not here."""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import numpy as np
import tyro
from jax.stages import Compiled

import launch
from experiments.base import Experiment
from experiments.study import run_specs
from rnnjax.config.execution import Execution
from rnnjax.data.dataset import SPECIAL_WORDS, Dataset, Examples, Objective
from rnnjax.sharding.ahead_of_time import compile_for_device
from rnnjax.sharding.devices import choose_layout
from rnnjax.sharding.layout import Layout
from rnnjax.sharding.targets import Target
from rnnjax.training.compile import ProgramSpecs
from rnnjax.training.ensemble import Ensemble, load_ensembles, plan_ensembles
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.setup import specs_of_ensemble

ProgramName = Literal["train", "evaluate", "init", "measure"]
PROGRAMS: tuple[ProgramName, ...] = ("train", "evaluate", "init", "measure")
DEFAULT_EXECUTION = Execution()
# Every experiment with its own flags, as far as cells differ in their programs, and the flags that change a program.
COMMANDS = (
    "recall --cells simple",
    "recall --cells lstm",
    "recall --cells gru",
    "imdb --cells simple",
    "imdb --cells lstm",
    "imdb --cells gru",
    "adding --cells lstm",
    "copying --cells gru",
    "temporal --cells simple:omega=2",
    "episodes --cells gru",
    "flipflop --cells simple",
    "mnist --cells lstm",
    "characters --cells lstm",
    "text --train texts.tsv --cells gru --layers 2 --bidirectional --pooling attention --dropout 0.2",
    "series --train series.npz --cells simple --flossing 1",
    "trainability --cells gru --distances 160",
)
OTHER_CELLS = tuple(
    f"recall --max-distance 50 --cells {cell}"
    for cell in (
        "peephole", "janet", "indrnn", "mingru", "minlstm", "ctrnn", "layernorm_lstm", "lstmp", "slstm", "lru", "cornn",
    )
)  # fmt: skip


@functools.lru_cache(maxsize=1)
def ensemble(command: str) -> Ensemble:
    """The runs that ``python launch.py`` with these arguments trains; they must share their programs."""
    experiment = tyro.cli(launch.Command, args=command.split())
    assert isinstance(experiment, Experiment)
    (planned,) = plan_ensembles(run_specs(experiment, lambda line: None))
    make_dataset = FROM_FILES.get(command.split()[0])
    (loaded,) = load_ensembles(planned if make_dataset is None else _with_dataset(planned, make_dataset()))
    return loaded


class TargetPrograms(NamedTuple):
    """The programs of an ensemble on the devices of a ``Target``."""

    device: jax.Device  # the first one
    layout: Layout
    specs: ProgramSpecs

    def compile(self, name: ProgramName) -> Compiled:
        """Compile a program as a run on these devices would."""
        if name in ("train", "evaluate"):
            program = self.layout.lower(self.specs.train if name == "train" else self.specs.evaluate)()
            assert isinstance(program, Compiled)
            return program
        function, arguments = self.specs.measure if name == "measure" else next(iter(self.specs.init.values()))
        return compile_for_device(function, arguments, self.device)


def programs_for(target: Target, command: str, execution: Execution = DEFAULT_EXECUTION) -> TargetPrograms:
    """The programs of ``python launch.py`` with the arguments ``command`` on the devices of ``target``."""
    runs, devices = ensemble(command), target.devices()
    layout = choose_layout(execution, len(runs.specs), runs.settings.batch_size, devices)
    return TargetPrograms(devices[0], layout, specs_of_ensemble(runs, layout))


def _with_dataset(specs: tuple[RunSpec, ...], dataset: Dataset) -> tuple[RunSpec, ...]:
    return tuple(dataclasses.replace(spec, make_dataset=lambda: dataset) for spec in specs)


def _examples(count: int, steps: int, features: int = 0, *, dtype: type = np.int32, ragged: bool = True) -> Examples:
    """Zeros that take no memory, with labels that are classes."""
    shape = (count, steps, features) if features else (count, steps)
    lengths = np.full(count, steps, np.int32)
    lengths[0] -= ragged
    return Examples(np.broadcast_to(np.zeros((), dtype), shape), lengths, np.zeros(count, np.int32))


def _texts(classes: int) -> Dataset:
    """As many texts as in IMDB, of up to 500 of 20,000 words."""
    return Dataset(
        *[_examples(count, 500) for count in (22_500, 2_500, 25_000)],
        vocabulary=(*SPECIAL_WORDS, *map(str, range(19_998))),
        objective=Objective.BINARY if classes == 2 else Objective.CLASSES,
        classes=tuple(map(str, range(classes))),
    )


def _mnist() -> Dataset:
    return Dataset(
        *[_examples(count, 784, 1, dtype=np.uint8, ragged=False) for count in (55_000, 5_000, 10_000)],
        objective=Objective.CLASSES,
        classes=tuple(map(str, range(10))),
    )


def _characters() -> Dataset:
    """1.1 million characters of 65 kinds in windows of 100."""
    splits = [_examples(count, 100, ragged=False) for count in (10_000, 557, 557)]
    return Dataset(
        *[split._replace(labels=split.inputs) for split in splits],
        vocabulary=(*SPECIAL_WORDS, *map(str, range(65))),
        objective=Objective.SYMBOLS,
        carried=True,
    )


def _series() -> Dataset:
    """Series of up to 300 steps with 12 numbers each, and a number as label."""
    splits = [_examples(count, 300, 12, dtype=np.float32) for count in (8_000, 1_000, 1_000)]
    return Dataset(
        *[split._replace(labels=split.labels.astype(np.float32)) for split in splits], objective=Objective.NUMBER
    )


FROM_FILES: dict[str, Callable[[], Dataset]] = {  # experiments whose data need files
    "imdb": partial(_texts, 2),
    "text": partial(_texts, 4),
    "mnist": _mnist,
    "characters": _characters,
    "series": _series,
}
