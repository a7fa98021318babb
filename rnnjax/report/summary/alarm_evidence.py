"""The alarms of a run: the evidence of each member, and its alarms, those of the seeds of one cell together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.diagnostics.alarms.registry import Alarm, Evidence, check
from rnnjax.report.summary.diagnosis import by_lag, has_belt, mean_keep, member_layer, pad_rows
from rnnjax.report.summary.seed_groups import SeedGroups, measured_lags, memory_key
from rnnjax.report.summary.task import best_skills, chance_loss, learning_progress, skill, task_key
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.runs.schema import STAGES
from rnnjax.typing import Floats


@dataclass(frozen=True, eq=False)
class GroupAlarm:
    """An alarm of a cell: as the first seed raised it, with the evidence of each of ``seeds``, out of ``total``."""

    alarm: Alarm
    seeds: tuple[int, ...]
    total: int
    numbers: tuple[Mapping[str, float | str], ...]


def member_evidence(member: RunRecord, clip: float, best: float | None = None) -> Evidence:
    """What the records of a member contain for the rules, about the layer that reads the inputs.

    Args:
        member: one seed.
        clip: the threshold of gradient clipping, 0 where clipping was off.
        best: see ``task.best_skills``.
    """
    start = member_layer(member, "start")
    latest = member_layer(member, "end") or start
    same = member.task.objective in (Objective.BINARY, Objective.CLASSES)  # one answer for the whole example
    padding = np.nan if latest is None or member.task.nouns.step != "word" else latest.padding_read
    keep = np.nan if start is None else start.keep_at_bias
    return Evidence(
        label=member.label,
        unit=member.task.nouns.step,
        curves=_curves(member),
        last_step_only=member.last_step_only,
        accuracy=learning_progress(member),
        skill=skill(member),
        best_skill=best,
        keep_at_bias=None if np.isnan(keep) else keep,
        keep=None if latest is None else mean_keep(latest),
        saturation=None if latest is None else _without_nan(latest.saturation or {}),
        belt_share=None if latest is None else by_lag(latest, "belt_share"),
        has_belt=latest is not None and has_belt(latest),
        padding_read=None if np.isnan(padding) else padding,
        crossing=None if latest is None else latest.crossing,
        ours=not member.task.loss_alone and (latest is None or bool(latest.gates)),
        gradient_norms=None if member.task.loss_alone else _none_if_empty(member.gradient_norms),
        clip=clip,
        losses=_none_if_empty(member.train.loss),
        chance_loss=chance_loss(member),
        chance_answer="always giving the same answer" if same else "the best answer that remembers nothing",
        origin=member.diverged,
    )


def _curves(member: RunRecord) -> Floats | None:
    """The norms by lag that decay, at every moment at which they were measured (S, L)."""
    if member.last_step_only:
        log = member.gradients.get(memory_key(member))
        return None if log is None else np.where(measured_lags(log), log.q50, np.nan)
    layers = [layer for when in STAGES if (layer := member_layer(member, when)) is not None]
    return pad_rows([by_lag(layer, "decay") for layer in layers]) if layers else None


def _without_nan(shares: Mapping[str, float]) -> dict[str, float]:
    return {gate: share for gate, share in shares.items() if not np.isnan(share)}


def _none_if_empty(values: Floats) -> Floats | None:
    return values if len(values) else None


def member_clip(run: Run, member: RunRecord) -> float:
    """The threshold of a member's gradient clipping, 0 for none; of older runs taken from the flags."""
    if member.clip is not None:
        return member.clip
    clip = run.training_flag("clip", member)
    return float(clip) if isinstance(clip, int | float) else 0.0


def group_alarms(run: Run, groups: SeedGroups) -> list[GroupAlarm]:
    """The alarms of all members, finished or not; one entry for the seeds of a cell that raise the same alarm."""
    alarms, best = [], best_skills(run.members)
    for group in groups:
        by_name: dict[str, list[tuple[int, Alarm]]] = {}
        for member in group.members:
            evidence = member_evidence(member, member_clip(run, member), best.get(task_key(member)))
            for alarm in check(evidence):
                by_name.setdefault(alarm.name, []).append((member.seed, alarm))
        for seeds in by_name.values():
            numbers = tuple(alarm.evidence for _, alarm in seeds)
            alarms.append(GroupAlarm(seeds[0][1], tuple(seed for seed, _ in seeds), len(group.members), numbers))
    return alarms
