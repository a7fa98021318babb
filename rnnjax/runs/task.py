"""What a run was trained to answer, as its task.json tells it; without one it is a yes-or-no question on reviews."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rnnjax.errors import UserError
from rnnjax.formatting import Nouns
from rnnjax.runs.json_io import read_json
from rnnjax.runs.json_numbers import as_float

Objective = Literal["binary", "classes", "number", "symbols"]


@dataclass(frozen=True)
class Published:
    """A figure from the literature: ``score`` is what was measured, accuracies are fractions, ``cell`` may be None."""

    model: str
    cell: str | None
    score: str
    value: float
    setting: str
    source: str


@dataclass(frozen=True)
class TaskInfo:
    """What the labels are, what the loss is, and what sentences call a time step and an example.

    ``loss`` is empty and ``classes``, the names of the labels, are none where they are not known; ``published`` holds
    figures to compare with; ``constant`` is the accuracy of the best constant answer where classes differ in size.
    """

    objective: Objective = "binary"
    nouns: Nouns = field(default_factory=Nouns)
    loss: str = ""
    classes: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    constant: float | None = None

    @property
    def sides(self) -> tuple[str, str]:
        """What the two answers to a yes-or-no question are called, that of label 0 first."""
        return (self.classes[0], self.classes[1]) if len(self.classes) == 2 else ("negative", "positive")

    @property
    def by_loss(self) -> bool:
        """Whether the loss is the main score, and not the share of right answers."""
        return self.objective in ("number", "symbols")

    @property
    def chance(self) -> float | None:
        """The accuracy of the best answer that remembers nothing, where it is known."""
        if self.constant is not None:
            return self.constant
        if self.objective == "binary":
            return 0.5
        return 1 / len(self.classes) if self.objective == "classes" and self.classes else None


def read_task(file: Path) -> TaskInfo:
    """The task in ``file``, or, where there is none, that of runs that are older than it.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return parse_task(read_json(file)) if file.exists() else TaskInfo()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"'{file}' is damaged ({type(error).__name__}: {error}); expected what a run writes there: run again."
        ) from error


def parse_task(told: dict[str, Any]) -> TaskInfo:
    """The task in a JSON object, of which every name may be missing.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a value that does not fit.
    """
    objective = told.get("objective") or "binary"
    if objective not in get_args(Objective):
        raise ValueError(f"objective is {objective!r}, expected one of {', '.join(get_args(Objective))}")
    return TaskInfo(
        objective=cast(Objective, objective),
        nouns=Nouns(str(told.get("step") or "word"), str(told.get("example") or "review")),
        loss=str(told.get("loss") or ""),
        classes=tuple(str(name) for name in told.get("classes") or ()),
        published=tuple(_published(one) for one in told.get("published") or ()),
        constant=None if told.get("chance") is None else float(told["chance"]),
    )


def _published(told: dict[str, Any]) -> Published:
    return Published(
        model=str(told["model"]),
        cell=None if told.get("cell") is None else str(told["cell"]),
        score=str(told["score"]),
        value=as_float(told["value"]),
        setting=str(told.get("setting") or ""),
        source=str(told.get("source") or ""),
    )
