"""The alarms of a run, on its page and in the terminal: what is wrong, and the remedy."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup
from rich import console
from rich.text import Text

from rnnjax.formatting import number
from rnnjax.report.html import render
from rnnjax.report.summary.alarm_evidence import GroupAlarm, group_alarms
from rnnjax.report.summary.seed_groups import SeedGroups, seed_groups
from rnnjax.report.text.remedies import remedy_with_flags
from rnnjax.runs.run_record import Run


class AlarmText(NamedTuple):
    """An alarm as the page shows it: ``title`` and ``sentence`` open, ``remedy`` and ``evidence`` folded."""

    title: str
    sentence: str
    remedy: str
    evidence: str = ""


def alarm_box(alarms: Sequence[AlarmText]) -> Markup:
    """A box with an entry for each alarm; empty without any."""
    return render("alarms", alarms=alarms) if alarms else Markup()


def alarm_texts(run: Run, groups: SeedGroups) -> list[AlarmText]:
    """The alarms of each cell of a run."""
    return [
        AlarmText(
            f"{cell(alarm)}: {alarm.alarm.name}",
            sentence(alarm),
            remedy_with_flags(alarm.alarm, run.flags),
            evidence(alarm),
        )
        for alarm in group_alarms(run, groups)
    ]


def cell(alarm: GroupAlarm) -> str:
    """The label and how many of its seeds: "LSTM, 2 of 3 seeds"; the label alone where it has one seed."""
    label = alarm.alarm.label
    return label if alarm.total == 1 else f"{label}, {len(alarm.seeds)} of {alarm.total} seeds"


def sentence(alarm: GroupAlarm) -> str:
    """The alarm's sentence without the label; with the seed that it is about where several raised the alarm."""
    bare = alarm.alarm.sentence.removeprefix(f"{alarm.alarm.label}: ")
    bare = bare[:1].upper() + bare[1:]
    return bare if len(alarm.seeds) == 1 else f"Seed {alarm.seeds[0]}: {bare}"


def evidence(alarm: GroupAlarm) -> str:
    """Each number of the evidence, of all seeds that raised the alarm: "belt share 0.012, 0.023 (seeds 0, 2)"."""
    names = dict.fromkeys(name for numbers in alarm.numbers for name in numbers)
    parts = []
    for name in names:
        values = [_number(numbers[name]) if name in numbers else "–" for numbers in alarm.numbers]
        parts.append(f"{name.replace('_', ' ')} {values[0] if len(set(values)) == 1 else ', '.join(values)}")
    seeds = f"seed{'' if len(alarm.seeds) == 1 else 's'} {', '.join(map(str, alarm.seeds))}"
    return f"{'; '.join(parts)} ({seeds})" if parts else f"({seeds})"


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if abs(value) < 1000 else number(value)


def rich_alarms(run: Run) -> console.Group | None:
    """The alarms for ``rich.print``; None without any."""
    lines = []
    for alarm in alarm_texts(run, seed_groups(run)):
        lines.append(Text.assemble((f"alarm: {alarm.title}. ", "bold red"), alarm.sentence))
        lines.append(Text(f"  {alarm.remedy}", style="dim"))
    return console.Group(*lines) if lines else None
