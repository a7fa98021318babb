"""The records in the folder of one member of a run; see ``schema`` for the files."""

import re
from typing import Annotated, Literal, TypeAlias

import msgspec

from rnnjax.data.dataset import Objective
from rnnjax.data.preprocessing import Preprocessing
from rnnjax.runs.schema import Count, Finite
from rnnjax.typing import Floats, Integers, JSONObject, Number

Seed: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
SweptValue: TypeAlias = Seed | float | bool | str | None
STATE = re.compile(r"[^\W\d]\w{0,63}|carry\[\d{1,3}\]")  # of a gradient record: a name, or an array of a carry


class MemberInfo(msgspec.Struct, frozen=True, kw_only=True):
    """``member.json``: one cell that is trained from one seed.

    Attributes:
        label: the cell and what a sweep varies; members of one label differ in their seed alone.
        cell: name of the cell's class in lower case.
        seed: of the initial parameters, the order of the examples and dropout.
        varied: name of a swept flag -> its value.
        parameters: numbers that are trained; None where it is not known.
        steps: updates of the whole training; None where it is not known.
        baseline: loss of the best answer that remembers nothing; None where it is not known.
        clip: the largest gradient norm that is let through, 0 for any; None in runs that did not write it.
        last_step_only: whether the loss reads the sequence at its last step alone; None in runs that did not write it.
        chance: ``TaskInfo.constant`` of the member's own data, which a sweep may vary; None where the run's holds.
        label_scale: the same for ``TaskInfo.label_scale``.
    """

    label: str
    cell: str
    seed: Seed
    varied: dict[str, SweptValue] = {}
    parameters: Count | None
    steps: Count | None
    baseline: Finite | None = None
    clip: float | None = None
    last_step_only: bool | None = None
    chance: Finite | None = None
    label_scale: tuple[float, float] | None = None


class ModelRecord(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """``model.json``: what new inputs need beside the parameters and the vocabulary, to be given to the trained model.

    Attributes:
        model: see ``rnnjax.nn.description``.
        objective: what the labels are.
        classes: names of the labels; none where they have no names.
        preprocessing: of texts or series from files; None for other data.
        features: numbers of a step; 0 where the inputs are ids, and in runs that did not write it.
    """

    model: JSONObject
    objective: Objective
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    features: Count = 0


class TrainRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="train"):
    """A line of ``metrics.jsonl``: one training step.

    Attributes:
        step: updates before it.
        epoch: from 0.
        loss: mean over the batch, in the unit of ``TaskInfo.loss``.
        accuracy: a fraction; NaN where it was not measured.
        gradient_norm: global norm of the parameters' gradient before clipping; NaN where it was not measured.
    """

    step: Count
    epoch: Count = 0
    loss: Number
    accuracy: Number
    gradient_norm: Number


class RegressionErrors(msgspec.Struct, frozen=True, kw_only=True):
    """How far predicted numbers are from the labels of a split, in the unit of the labels as the user gave them.

    Attributes:
        rmse: root of the mean squared error.
        mae: mean absolute error.
        r2: coefficient of determination: 1 - (mean squared error) / (variance of the split's labels). 1 is perfect, 0
            as good as always answering their mean; NaN where they are all equal.
    """

    rmse: Number
    mae: Number
    r2: Number


class ValidationRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="validation"):
    """A line of ``metrics.jsonl``: the mean loss and accuracy of the validation examples after ``step`` updates.

    ``errors`` is there where labels are numbers, and unset in runs that did not write it.
    """

    step: Count
    epoch: Count = 0
    loss: Number
    accuracy: Number
    errors: RegressionErrors | msgspec.UnsetType = msgspec.UNSET


class UpdateRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="updates"):
    """A line of ``metrics.jsonl``: how much a step changes each block of parameters, ‖ΔW‖/‖W‖ by the block's path."""

    step: Count
    epoch: Count = 0
    ratios: dict[str, Number]


MetricsRecord: TypeAlias = TrainRecord | ValidationRecord | UpdateRecord


class GradientRecord(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A line of ``gradients.jsonl``: the gradient of one state of a layer, or scan, at a step; each array (L,) by lag.

    Attributes:
        step: updates before it.
        layer: from 0, the one that reads the inputs; of scans in the order of their names.
        state: name of the array in the cell's state, as "h", or the LSTM's "c"; of a scan its "carry", or "carry[0]"
            and so on where it has several states.
        name: of the scan; unset where the layer is one of rnnjax.
        count: examples that reach the lag, which is counted in time steps back from an example's last one.
        mean: of their ‖∂L_b/∂s_t‖, L_b being the example's own loss, before clipping.
        q10: quantile of the same, as ``q50`` and ``q90``.
    """

    step: Count
    layer: Count
    state: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    count: Integers
    mean: Floats
    q10: Floats
    q50: Floats
    q90: Floats

    def __post_init__(self) -> None:
        if len({len(values) for values in (self.count, self.mean, self.q10, self.q50, self.q90)}) > 1:
            raise ValueError("count, mean, q10, q50 and q90 are of unequal length")
        if not STATE.fullmatch(self.state):
            raise ValueError(f"state: {self.state!r}, expected a name such as 'h' or 'c', or 'carry[0]' and so on")


class AccuracyByDistance(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Test accuracy, a fraction, of ``count`` examples at each distance in time steps, ascending; each array (D,)."""

    distance: Integers
    accuracy: Floats
    count: Integers | None = None

    def __post_init__(self) -> None:
        if len({len(values) for values in (self.distance, self.accuracy, self.count) if values is not None}) > 1:
            raise ValueError("distance, accuracy and count are of unequal length")


class RunResult(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """``result.json``: what a finished member achieved; accuracies are fractions.

    Attributes:
        test_loss: of the parameters of the best validation, as ``test_accuracy``; NaN where there was no test.
        test_accuracy: see above.
        best_step: updates before the best validation; None where there was none.
        validation_accuracy: of the best validation.
        validation_loss: likewise; NaN in runs that did not write it.
        seconds: that the training steps took, those of members side by side divided among them; NaN, as the speed and
            the time to compile, where it was not measured.
        steps_per_second: of this member and those beside it together.
        compile_seconds: that its programs took to compile.
        accuracy_by_distance: where the task has distances, else None.
        test_errors: where labels are numbers, of the parameters of the best validation; else unset, as in runs that
            did not write it.
        validation_errors: likewise.
    """

    test_loss: Number
    test_accuracy: Number
    best_step: Count | None
    validation_accuracy: Number
    validation_loss: Number = float("nan")
    seconds: Number
    steps_per_second: Number
    compile_seconds: Number
    accuracy_by_distance: AccuracyByDistance | None = None
    test_errors: RegressionErrors | msgspec.UnsetType = msgspec.UNSET
    validation_errors: RegressionErrors | msgspec.UnsetType = msgspec.UNSET

    @property
    def distance(self) -> Floats | None:
        """(D,) distances of ``accuracy_by_distance`` in time steps."""
        return None if self.accuracy_by_distance is None else self.accuracy_by_distance.distance.astype(float)

    @property
    def accuracy(self) -> Floats | None:
        """(D,) the test accuracy at each distance."""
        return None if self.accuracy_by_distance is None else self.accuracy_by_distance.accuracy


class Failure(msgspec.Struct, frozen=True):
    """``failure.json``: why a member stopped before its end, one sentence."""

    message: str


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """``diverged.json``: where the first number that is not finite was made, see ``diagnostics`` ``Origin``."""

    phase: Literal["forward", "backward"]
    layer: str | None
    gate: str | None
    timestep: Count | None
    step: Count | None
