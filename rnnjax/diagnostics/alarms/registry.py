"""All alarm rules, in the order in which they are checked.

A rule is a function of the evidence. It returns an alarm, or None where there is no fault or where too little was
measured to judge; its docstring holds its threshold and the reason for it.
"""

from collections.abc import Callable

from rnnjax.argument_checks import describe
from rnnjax.diagnostics.alarms.evidence import Action, Alarm, Evidence, Origin
from rnnjax.diagnostics.alarms.gradient_rules import exploding, vanishing
from rnnjax.diagnostics.alarms.layer_rules import (
    clipping,
    crosses_reset,
    dead_memory,
    forget_bias,
    not_finite,
    padding_read,
    plateau,
    saturated,
)

__all__ = ["RULES", "Action", "Alarm", "Evidence", "Origin", "check"]

RULES: tuple[Callable[[Evidence], Alarm | None], ...] = (  # causes before effects, so the plateau is last
    not_finite,
    padding_read,
    crosses_reset,
    exploding,
    vanishing,
    dead_memory,
    forget_bias,
    saturated,
    clipping,
    plateau,
)


def check(evidence: Evidence) -> tuple[Alarm, ...]:
    """Every alarm that ``evidence`` raises, in the order of ``RULES``; empty for a healthy training.

    Raises:
        ValueError: ``evidence`` is not an ``Evidence``.
    """
    if not isinstance(evidence, Evidence):
        raise ValueError(f"evidence must be a rnnjax.diagnostics.Evidence, got {describe(evidence)}")
    return tuple(alarm for rule in RULES if (alarm := rule(evidence)) is not None)
