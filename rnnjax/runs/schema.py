"""The format of a run folder: the names of its files, and the records that all of its members share.

RUN/config.json  environment.json  task.json  vocabulary.json  figures/  report.html  table.csv  table.parquet
RUN/members/lstm-seed0/  member.json  model.json  metrics.jsonl  gradients.jsonl  params.msgpack  result.json
                         diagnosis-start.json  diagnosis-end.json  diverged.json  failure.json
RUN/checkpoints/         while it trains
RUN/reach.csv  reach-curves.csv                            once ``launch.py reach`` has measured it

A record's fields are written in the order in which its type has them. The records of a member are in
``member_schema``, and the diagnosis is in ``rnnjax.analysis.diagnosis``. Folders without a ``format_version`` were
written before there was one; what their records lack has a default.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.formatting import Nouns
from rnnjax.runs.published import Published
from rnnjax.typing import Floats, JSONObject

FORMAT_VERSION = 1

CONFIG, ENVIRONMENT, TASK, VOCABULARY = "config.json", "environment.json", "task.json", "vocabulary.json"
MEMBERS, CHECKPOINTS = "members", "checkpoints"
MEMBER, METRICS, GRADIENTS, PARAMS = "member.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack"
MODEL = "model.json"
FIGURES, REACH, REACH_CURVES = "figures", "reach.csv", "reach-curves.csv"
RESULT, DIVERGENCE, FAILURE = "result.json", "diverged.json", "failure.json"
RECORDS = (METRICS, GRADIENTS)  # the files of a member that grow while it trains

Stage = Literal["start", "end"]  # of training, at which a member is diagnosed: before it, and with the best parameters
STAGES: tuple[Stage, ...] = get_args(Stage)
DIAGNOSES: dict[Stage, str] = {stage: f"diagnosis-{stage}.json" for stage in STAGES}
MEMBER_FILES = (
    MEMBER,
    MODEL,
    VOCABULARY,
    *RECORDS,
    PARAMS,
    RESULT,
    *DIAGNOSES.values(),
    DIVERGENCE,
    FAILURE,
)  # all but TensorBoard's

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Finite: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]  # with room for the margin of an axis


def member_folder(run: Path, name: str) -> Path:
    """The folder of one member, as "lstm-seed0", of a run."""
    return run / MEMBERS / name


def diagnosis_file(member: Path, stage: Stage) -> Path:
    """The file of a member's diagnosis at a stage of its training."""
    return member / DIAGNOSES[stage]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """``config.json``: what was to be trained.

    Attributes:
        format_version: of the run folder; 0 where it was written before there were versions.
        experiment: name of the experiment, as "recall".
        flags: its settings by name, nested as its dataclasses are.
        contents: SHA-256 of the user's files, by the name of the flag that names them.
    """

    format_version: Count = 0
    experiment: str
    flags: JSONObject
    contents: dict[str, str] = {}


class Environment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``environment.json``: on what a run was trained. Runs of other versions lack some of it.

    Attributes:
        started: date and time, ISO 8601.
        command: the command line.
        python: version of Python.
        packages: version of each package; in the file they stand beside the other fields.
        platform: the operating system.
        cpu_cores: how many the machine has.
        devices: a line for each device.
        matmul_precision: of products of float32 matrices, as JAX names it.
        git_commit: commit of rnnjax, with "+changes" where the files differ from it; None outside of git.
        resumed: the environments in which the run was continued, the oldest first.
        merged: names of the folders of which this one is a merge.
    """

    started: str | msgspec.UnsetType = msgspec.UNSET
    command: str | msgspec.UnsetType = msgspec.UNSET
    python: str | msgspec.UnsetType = msgspec.UNSET
    packages: JSONObject = {}
    platform: str | msgspec.UnsetType = msgspec.UNSET
    cpu_cores: int | msgspec.UnsetType | None = msgspec.UNSET
    devices: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    matmul_precision: str | msgspec.UnsetType = msgspec.UNSET
    git_commit: str | msgspec.UnsetType | None = msgspec.UNSET
    resumed: tuple[JSONObject, ...] = ()
    merged: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


def environment_to_json(environment: JSONObject) -> JSONObject:
    """The encoded environment with its packages beside the other fields, as they stand in the file."""
    flattened: JSONObject = {}
    for name, value in environment.items():
        flattened |= value if name == "packages" else {name: value}
    return flattened


def environment_from_json(values: JSONObject) -> JSONObject:
    """The fields of an environment in the file's object; what is no field of it counts as a package."""
    fields = {*Environment.__struct_fields__} - {"packages"}
    packages = {name: value for name, value in values.items() if name not in fields}
    return {name: value for name, value in values.items() if name in fields} | {"packages": packages}


class TaskInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``task.json``: what is learnt. Without this file it is a yes-or-no question about reviews.

    Attributes:
        step: what a sentence calls one time step.
        example: what a sentence calls one example.
        published: figures to compare with.
        objective: what the labels are; None where nothing but the loss was recorded, see ``rnnjax.TrainingLog``.
        classes: names of the labels; none where they have no names.
        constant: accuracy of the best constant answer where classes differ in size, else None.
        loss: name and unit of the loss; empty in runs that did not write it.
        label_scale: mean and standard deviation by which labels that are numbers were standardised for the training;
            unset where they were not, and in runs that did not write it.
        restarts: of a text that is read in streams, the probability with which a stream starts again from zeros in
            front of a training window; unset for other tasks, and in runs that did not write it.
    """

    step: str = "word"
    example: str = "review"
    published: tuple[Published, ...] = ()
    objective: Objective | None = Objective.BINARY
    classes: tuple[str, ...] = ()
    constant: Finite | None = msgspec.field(name="chance", default=None)
    loss: str = ""
    label_scale: tuple[float, float] | msgspec.UnsetType = msgspec.UNSET
    restarts: float | msgspec.UnsetType = msgspec.UNSET

    @property
    def nouns(self) -> Nouns:
        """What sentences call a time step and an example."""
        return Nouns(self.step, self.example)

    @property
    def sides(self) -> tuple[str, str]:
        """What the two answers to a yes-or-no question are called, that of label 0 first."""
        return (self.classes[0], self.classes[1]) if len(self.classes) == 2 else ("negative", "positive")

    @property
    def by_loss(self) -> bool:
        """Whether the loss is the main score, and not the share of right answers."""
        return self.loss_alone or self.objective in (Objective.NUMBER, Objective.SYMBOLS, Objective.SIGNALS)

    @property
    def loss_alone(self) -> bool:
        """Whether nothing is known of the task but the loss."""
        return self.objective is None

    @property
    def by_rmse(self) -> bool:
        """Whether the main score is the root mean squared error in the unit of the labels that the user gave."""
        return self.label_scale is not msgspec.UNSET

    def main_error(self, losses: Floats | float) -> Floats:
        """Mean losses of any shape, as the report shows them: root mean squared errors where ``by_rmse``."""
        mean_losses = np.asarray(losses, np.float64)
        if self.label_scale is msgspec.UNSET:
            return mean_losses
        return np.sqrt(np.maximum(mean_losses, 0)) * self.label_scale[1]

    @property
    def chance(self) -> float | None:
        """The accuracy of the best answer that remembers nothing, where it is known."""
        if self.constant is not None:
            return self.constant
        if self.objective is Objective.BINARY:
            return 0.5
        return 1 / len(self.classes) if self.objective is Objective.CLASSES and self.classes else None
