"""From a run to its alarms: what each member's records tell the rules, and what seeds of one cell have in common."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.diagnostics.alarms.registry import Alarm, Evidence, check
from rnnjax.report.summary.diagnosis import by_lag, has_belt, layer_of
from rnnjax.report.summary.seed_groups import SeedGroup, measured, memory
from rnnjax.report.summary.task import chance_loss, learnt
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.typing import Floats


@dataclass(frozen=True, eq=False)
class Raised:
    """One alarm of one cell: the first seed's words, and the numbers of each ``seeds`` out of ``of`` that raised it."""

    alarm: Alarm
    seeds: tuple[int, ...]
    of: int
    numbers: tuple[Mapping[str, float | str], ...]


def evidence_of(member: RunRecord, clip: float) -> Evidence:
    """What is known of the layer that reads the inputs, of the parameters after training where they were diagnosed.

    Args:
        member: one seed.
        clip: the largest gradient norm that training let through, 0 where clipping was off.
    """
    start = layer_of(member, "start")
    latest = layer_of(member, "end") or start
    log = member.gradients.get(memory(member))
    same = member.task.objective in (Objective.BINARY, Objective.CLASSES)  # the answer is one for the whole example
    padding = np.nan if latest is None or member.task.nouns.step != "word" else latest.padding_read
    kept = np.nan if start is None else start.keep_at_bias
    return Evidence(
        label=member.label,
        unit=member.task.nouns.step,
        curves=None if log is None else np.where(measured(log), log.q50, np.nan),
        accuracy=learnt(member),
        keep_at_bias=None if np.isnan(kept) else kept,
        saturation=None if latest is None else _known(latest.saturation or {}),
        belt_share=None if latest is None else by_lag(latest, "belt_share"),
        has_belt=latest is not None and has_belt(latest),
        padding_read=None if np.isnan(padding) else padding,
        gradient_norms=_some(member.gradient_norms),
        clip=clip,
        losses=_some(member.train.loss),
        chance_loss=chance_loss(member),
        chance_answer="always giving the same answer" if same else "the best answer that remembers nothing",
        origin=member.diverged,
    )


def _known(shares: Mapping[str, float]) -> dict[str, float]:
    return {gate: share for gate, share in shares.items() if not np.isnan(share)}


def _some(values: Floats) -> Floats | None:
    return values if len(values) else None


def clip_of(run: Run, member: RunRecord) -> float:
    """The largest gradient norm that the member let through, 0 for any; of older runs as their flags tell."""
    if member.clip is not None:
        return member.clip
    training = run.flags.get("training")
    known = training if isinstance(training, dict) else {}
    clip = member.varied.get("clip", known.get("clip"))
    return float(clip) if isinstance(clip, int | float) else 0.0


def raised(run: Run, labels: tuple[SeedGroup, ...]) -> list[Raised]:
    """The alarms of all members, also of those that have not finished; seeds of one cell together."""
    found = []
    for group in labels:
        by_name: dict[str, list[tuple[int, Alarm]]] = {}
        for member in group.members:
            for alarm in check(evidence_of(member, clip_of(run, member))):
                by_name.setdefault(alarm.name, []).append((member.seed, alarm))
        for seeds in by_name.values():
            numbers = tuple(alarm.evidence for _, alarm in seeds)
            found.append(Raised(seeds[0][1], tuple(seed for seed, _ in seeds), len(group.members), numbers))
    return found
