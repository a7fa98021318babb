"""What a run was trained to answer, as its task.json tells it; without one it is a yes-or-no question on reviews."""

from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from rnnjax.report.json_files import as_float
from rnnjax.report.wording import Nouns

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
class Task:
    """What the labels are, what the loss is, and what sentences call a time step and an example.

    ``loss`` is empty and ``classes``, the names of the labels, are none where they are not known; ``published`` holds
    figures to compare with.
    """

    objective: Objective = "binary"
    nouns: Nouns = field(default_factory=Nouns)
    loss: str = ""
    classes: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()

    @property
    def by_loss(self) -> bool:
        """Whether the loss is the main score, and not the share of right answers."""
        return self.objective in ("number", "symbols")

    @property
    def chance(self) -> float | None:
        """The accuracy of guessing, where it is known."""
        if self.objective == "binary":
            return 0.5
        return 1 / len(self.classes) if self.objective == "classes" and self.classes else None


def parse_task(told: dict[str, Any]) -> Task:
    """The task in a JSON object, of which every name may be missing.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: a value that does not fit.
    """
    objective = told.get("objective") or "binary"
    if objective not in get_args(Objective):
        raise ValueError(f"objective is {objective!r}, expected one of {', '.join(get_args(Objective))}")
    return Task(
        objective=cast(Objective, objective),
        nouns=Nouns(str(told.get("step") or "word"), str(told.get("example") or "review")),
        loss=str(told.get("loss") or ""),
        classes=tuple(str(name) for name in told.get("classes") or ()),
        published=tuple(_published(one) for one in told.get("published") or ()),
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
