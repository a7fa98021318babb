"""Alarms: named rules that say in a sentence what is wrong with a layer, by which numbers, and what to do about it.

Each rule is a function of the evidence, silent where what it needs was not measured or is too short to judge; its
docstring holds its threshold and the reason for it.
"""

from collections.abc import Callable

from rnnjax.argument_checks import describe
from rnnjax.diagnostics.alarms.evidence import Alarm, Evidence, Origin
from rnnjax.diagnostics.alarms.gradient_rules import exploding, vanishing
from rnnjax.diagnostics.alarms.layer_rules import (
    clipping,
    dead_memory,
    forget_bias,
    not_finite,
    padding_read,
    plateau,
    saturated,
)

__all__ = ["RULES", "Alarm", "Evidence", "Origin", "check"]

RULES: tuple[Callable[[Evidence], Alarm | None], ...] = (  # causes first, the plateau that they lead to last
    not_finite,
    padding_read,
    exploding,
    vanishing,
    dead_memory,
    forget_bias,
    saturated,
    clipping,
    plateau,
)


def check(evidence: Evidence) -> tuple[Alarm, ...]:
    """Every alarm that ``evidence`` raises, in the order of ``RULES``; none for a healthy training.

    Raises:
        ValueError: ``evidence`` is none.
    """
    if not isinstance(evidence, Evidence):
        raise ValueError(f"evidence must be a rnnjax.diagnostics.Evidence, got {describe(evidence)}")
    return tuple(alarm for rule in RULES if (alarm := rule(evidence)) is not None)
